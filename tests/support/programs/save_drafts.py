"""Saves one draft repeatedly, each time with one more answer, until the process is killed.

Arguments: the tablet's folder, the number of the first save. Prints each number once it is on disk.
"""

import itertools
import sys
from pathlib import Path

from sync.tablet.drafts import Draft, Drafts
from sync.tablet.outbox import Outbox

folder = Path(sys.argv[1])
with Outbox(folder / "outbox.db") as outbox:
    drafts = Drafts(folder / "drafts", outbox)
    for number in itertools.count(int(sys.argv[2])):
        drafts.save(Draft("A" * 22, "a" * 64, 1, number, "es", {"answers": {str(n): "x" for n in range(number)}}))
        print(number, flush=True)
