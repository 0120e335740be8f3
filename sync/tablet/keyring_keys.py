"""The public keys of keyrings on the tablet: those of its region before it works, the others when there is time.

`sync.tablet.client` and `sync.tablet.trusted_documents` call it. A key that is missing must not hold up a screening:
the tablet then seals to the national keyring (SPEC 5.2).
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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

    Those of the keyrings `near` must come, and are fetched if they have not; others then come with them. Each portion
    is stored as it arrives, so that a cut costs only what had not arrived.
    """
    missing = sorted(_list_missing(keyrings, store), key=lambda each: each.id not in near)
    arrived = _verify(missing, came)
    left = [each for each in missing if key_name(each) not in arrived]
    for portion in _portions(left):
        if portion[0].id not in near:
            break
        verified = _verify(portion, fetch_keys(transport, portion))
        store.update(verified)
        arrived |= verified
        for each in portion:
            if each.id in near and key_name(each) not in verified:
                raise SyncError("registry.wrong_key", f"the server sent no key of {each.id}, epoch {each.epoch}")
    return arrived


def fetch_other_keys(keyrings: Sequence[Keyring], store: DocumentStore, transport: Transport) -> None:
    """Fetch the keys that the tablet still lacks, and store each portion. No error: the next sync tries again."""
    with suppress(SyncError):
        for portion in _portions(_list_missing(keyrings, store)):
            if verified := _verify(portion, fetch_keys(transport, portion)):
                store.update(verified)


def fetch_keys(transport: Transport, keyrings: Sequence[Keyring]) -> dict[str, bytes]:
    """Fetch the public keys of at most MAX_KEYS keyrings in one request; return them by their hashes."""
    told = transport.get(f"/v1/keys?want={','.join(each.key_sha256 for each in keyrings)}")
    return by_hash(JsonObject(strict_json(told), "the keys").texts("keys", TEXT))


def by_hash(keys: Sequence[str]) -> dict[str, bytes]:
    """Read public keys in base64url; return them by their hashes."""
    return {hashlib.sha256(raw).hexdigest(): raw for raw in map(unb64u, keys)}


def _list_missing(keyrings: Sequence[Keyring], store: DocumentStore) -> list[Keyring]:
    held = store.list_names()
    return [each for each in keyrings if key_name(each) not in held]


def _portions(keyrings: Sequence[Keyring]) -> Iterator[Sequence[Keyring]]:
    return (keyrings[start : start + MAX_KEYS] for start in range(0, len(keyrings), MAX_KEYS))


def _verify(keyrings: Sequence[Keyring], came: Mapping[str, bytes]) -> dict[str, bytes]:
    verified = dict[str, bytes]()
    for each in keyrings:
        with suppress(SyncError):  # A key that cannot be used does not hold up the others.
            if each.key_sha256 in came:
                verified[key_name(each)] = each.public(came[each.key_sha256]).raw
    return verified
