"""Key files (SPEC 3.4): secrets that only their owner may read, optionally locked with a passphrase."""

import os
import secrets
import stat
from pathlib import Path
from typing import Any, TypeVar

from sync.errors import SyncError
from sync.keys.key_pairs import RouteKey, SealKey, SigningKey
from sync.keys.passphrases import SALT_BYTES, derive_keys, lock_secret, unlock_secret
from sync.wire.encoding import b64u, canonical, strict_json, unb64u

Secret = TypeVar("Secret", SigningKey, SealKey, RouteKey)


def save_secret(path: Path, key: SigningKey | SealKey | RouteKey, phrase: str | None = None, salt: bytes = b"") -> None:
    """Write a new key file with mode 0600, locked if there is a passphrase.

    Raise SyncError `key.file_exists` if the file exists. `salt`: the 16 random bytes that the passphrase already uses;
    without them new ones are drawn.
    """
    content: dict[str, Any] = {"kid": key.kid, "kind": key.KIND}
    if phrase is None:
        content["secret"] = b64u(key.secret)
    else:
        salt = salt or secrets.token_bytes(SALT_BYTES)
        content["salt"] = b64u(salt)
        content["locked"] = lock_secret(key.secret, derive_keys(phrase, salt).lock, f"{key.KIND}/{key.kid}")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as wrong:
        raise SyncError("key.file_exists", f"{path} exists already") from wrong
    with os.fdopen(descriptor, "wb") as file:
        file.write(canonical(content) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def load_secret(path: Path, kind: type[Secret], phrase: str | None = None) -> Secret:
    """Read a key file of the wanted kind. Raise SyncError `key.file_readable_by_others` for another mode (SPEC 3.4)."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SyncError("key.file_readable_by_others", f"{path}: run chmod 600 on it")
    content = strict_json(path.read_bytes())
    if content.get("kind") != kind.KIND or not isinstance(content.get("kid"), str):
        raise SyncError("key.wrong_kind", f"{path} holds no {kind.KIND} key")
    key = kind.from_secret(_read_secret(content, path, phrase))
    if key.kid != content["kid"]:
        raise SyncError("key.malformed", f"{path}: the secret does not belong to {content['kid']}")
    return key


def _read_secret(content: dict[str, Any], path: Path, phrase: str | None) -> bytes:
    if "locked" not in content:
        return unb64u(str(content.get("secret", "")))
    if phrase is None:
        raise SyncError("key.locked", f"{path} needs a passphrase")
    lock_key = derive_keys(phrase, unb64u(str(content.get("salt", "")))).lock
    return unlock_secret(str(content["locked"]), lock_key, f"{content['kind']}/{content['kid']}")
