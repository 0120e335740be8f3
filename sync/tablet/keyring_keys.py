"""The public keys of keyrings on the tablet: those of its region before it works, the others when there is time.

`sync.tablet.client` and `sync.tablet.trusted_documents` call it. A key that is missing must not hold up a screening:
the tablet then seals to the national keyring (SPEC 5.2).
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from sync.documents.registry import MAX_KEYS, Keyring
from sync.errors import SyncError
from sync.exchange.transport import Transport
from sync.tablet.document_store import DocumentStore
from sync.wire.encoding import strict_json, unb64u
from sync.wire.json_object import TEXT, JsonObject


def key_name(keyring: Keyring) -> str:
    """Return the name under which a keyring's key is stored."""
    return f"key/{keyring.key_sha256}"


def collect_keys(
    keyrings: Sequence[Keyring],
    near: Collection[str],
    store: DocumentStore,
    transport: Transport,
    came: Mapping[str, bytes],
) -> dict[str, bytes]:
    """Return the keys that the tablet lacks and that `came` by their hashes, by their names.

    Those of the keyrings `near` must come, and are fetched if they have not; the others then come with them.
    """
    missing = _list_missing(keyrings, store)
    required = [each for each in missing if each.id in near]
    if any(each.key_sha256 not in came for each in required):
        came = {**came, **fetch_keys(transport, sorted(missing, key=lambda each: each.id not in near))}
    for each in required:
        if each.key_sha256 not in came:
            raise SyncError("registry.wrong_key", f"the server did not send the key of {each.id}, epoch {each.epoch}")
    return _verify(missing, came)


def fetch_other_keys(keyrings: Sequence[Keyring], store: DocumentStore, transport: Transport) -> None:
    """Fetch the keys that the tablet still lacks, in one request. No error: the next sync tries again."""
    missing = _list_missing(keyrings, store)
    with suppress(SyncError):
        if missing and (verified := _verify(missing, fetch_keys(transport, missing))):
            store.update(verified)


def fetch_keys(transport: Transport, keyrings: Sequence[Keyring]) -> dict[str, bytes]:
    """Fetch the public keys of at most MAX_KEYS keyrings in one request; return them by their hashes."""
    told = transport.get(f"/v1/keys?want={','.join(each.key_sha256 for each in keyrings[:MAX_KEYS])}")
    return by_hash(JsonObject(strict_json(told), "the keys").texts("keys", TEXT))


def by_hash(keys: Sequence[str]) -> dict[str, bytes]:
    """Read public keys in base64url; return them by their hashes."""
    return {hashlib.sha256(raw).hexdigest(): raw for raw in map(unb64u, keys)}


def _list_missing(keyrings: Sequence[Keyring], store: DocumentStore) -> list[Keyring]:
    held = store.list_names()
    return [each for each in keyrings if key_name(each) not in held]


def _verify(keyrings: Sequence[Keyring], came: Mapping[str, bytes]) -> dict[str, bytes]:
    return {key_name(each): each.public(came[each.key_sha256]).raw for each in keyrings if each.key_sha256 in came}
