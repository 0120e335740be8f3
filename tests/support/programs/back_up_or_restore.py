"""Makes a backup of a server's data, or restores one, in a process that a test can kill.

Arguments: `backup` or `restore`, the data folder, the backup key's file, then the folder for backups or the backup's
file.
"""

import sys
from pathlib import Path

from server import server_keys
from server.backup import backup_key
from server.config import Config
from server.flows.operations import backup, restore

what, data, key, place = sys.argv[1], *map(Path, sys.argv[2:])
config, identities = Config(data=data), backup_key.load_key(key, str)
if what == "backup":
    recipient = str(identities[0].to_public())
    keys = server_keys.load(config.keys)
    backup.write_backup(config, keys, recipient=recipient, folder=place, now=1, progress=lambda step: None)
else:
    restore.restore_backup(config, place, identities, now=1, progress=lambda step: None)
