"""The key ceremony: founds a server and, for a demo, creates the keys of all people. `chaski init` and tests call it.

This is the offline half: it holds root, registrar and author secrets. The serving process must not import it. These
secrets must not be written under the server's data folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.ceremony.demo_people import DEMO_PEOPLE, REGIONS, DemoPerson
from server.config import ConfigError
from server.flows.operations import founding
from server.flows.operations.founding import NewKeyring, NewPerson, NewServer, WrappedCopy
from server.store.people import StaffAccount
from sync.documents import registry, trust
from sync.documents.registry import KINDS, NATIONAL, Desk, Keyring
from sync.documents.signed import Document
from sync.documents.trust import Signer
from sync.durations import YEAR
from sync.envelope import seal
from sync.keys.key_files import save_secret
from sync.keys.key_pairs import SealKey, SigningKey
from sync.keys.passphrases import DerivedKeys, derive_keys, generate_passphrase, lock_secret
from sync.wire.encoding import b64u

ROOTS = 3
THRESHOLD = 2
EPOCH = 1
# Roles that sign documents. Each has its own key, separate from the person's account key.
OFFICES = ("registrar", "author", "reviewer")
# Files in the people's folder: the index of people and, during the founding, the mark of its data folder.
INDEX_FILE, UNFINISHED_FILE = "people.json", "founding"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DemoUser:
    """A demo person during the ceremony, with all her secrets."""

    person: DemoPerson
    phrase: str = field(repr=False)
    salt: bytes
    derived: DerivedKeys = field(repr=False)
    seal: SealKey
    signing: SigningKey
    office: SigningKey | None

    @property
    def id(self) -> str:
        """Return the account's id: the kid of her signing key."""
        return self.signing.kid


def create_server(data: Path, *, now: int, progress: Progress) -> NewServer:
    """Create an empty server: folder, signing key, first route key, database. It has no trust and no accounts."""
    progress("server key, route key, database")
    with founding.lock_new_server(data):
        server = founding.create_server(data, now=now)
    key = server.keys.signing.public
    return replace(
        server,
        next_steps=(
            f"The server exists in {data}. Its public key is {b64u(key.raw)} (kid {key.kid}).",
            "It serves no tablet until offline root keys have signed a trust that names this key.",
            "This version has no command for that ceremony yet: it creates people and roots with --demo only.",
        ),
    )


def create_demo_server(data: Path, people: Path, *, now: int, progress: Progress) -> NewServer:
    """Found a server with all demo people. Their secrets are written to `people`, outside `data`."""
    if people.resolve().is_relative_to(data.resolve()):
        raise ConfigError("CHASKI_DATA", f"the people's secrets ({people}) must not be in the server's data folder")
    _refuse_others(people, founding.read_mark(data))
    with founding.lock_new_server(data) as mark, _lock_people_folder(people):
        _refuse_others(people, mark)  # Again under the lock: a founding of another server may have used the folder.
        _clear_people_folder(people, mark)
        server = _create_people(data, people, now, progress)
    # Deleted after the server's mark: a marked people's folder beside an unmarked server was written completely.
    (people / UNFINISHED_FILE).unlink()
    return server


@contextmanager
def _lock_people_folder(people: Path) -> Iterator[None]:
    """Create and lock the people's folder. Raises ConfigError if the founding of another server holds it."""
    people.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(people, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError("CHASKI_DATA", f"another `chaski init` is at work in {people}") from error
        yield
    finally:
        os.close(folder)


def _refuse_others(people: Path, mark: str) -> None:
    """Raise ConfigError if a folder contains anything that the interrupted founding with this mark did not write."""
    if not people.exists():
        return
    own = people / UNFINISHED_FILE
    theirs = not people.is_dir() or any(there != own for there in people.iterdir())
    if theirs and not (mark and own.is_file() and own.read_text(encoding="ascii") == mark):
        left = f"; {own} shows that a founding was cut off: repeat its `chaski init`, or delete the folder"
        raise ConfigError(
            "CHASKI_DATA", f"{people} is there already, with other people's secrets{left if own.is_file() else ''}"
        )


def _clear_people_folder(people: Path, mark: str) -> None:
    """Delete the files of an interrupted founding, and write the mark of this one."""
    for name in (*(f"raiz-{number}" for number in range(1, ROOTS + 1)), *(person.login for person in DEMO_PEOPLE)):
        if (people / name).exists():
            shutil.rmtree(people / name)
    for file in (INDEX_FILE, UNFINISHED_FILE):
        (people / file).unlink(missing_ok=True)
    write_private(people / UNFINISHED_FILE, mark)


def _create_people(data: Path, people: Path, now: int, progress: Progress) -> NewServer:
    """Create all keys, documents and accounts, in folders that are ready."""
    progress("server key, route key, database")
    server = founding.create_server(data, now=now)
    roots = [_create_root(people, number, progress) for number in range(1, ROOTS + 1)]
    users = [_create_user(people, person, progress) for person in DEMO_PEOPLE]
    progress("trust, signed by two of three roots")
    trusted = _make_trust(roots, users, server, now)
    progress("the desks' keyrings, wrapped to their members")
    keyrings = {name: SealKey.generate() for name in _keyring_names()}
    registered = _make_registry(keyrings, _office_keys(users, "registrar")[0], now)
    founding.set_up_desks(
        server,
        trust=trusted,
        registry=registered,
        people=[_make_account(user) for user in users],
        keyrings=[_new_keyring(name, key, users) for name, key in keyrings.items()],
        now=now,
    )
    write_index(people, users)
    return replace(
        server,
        next_steps=(
            f"Start it: CHASKI_DATA={data} CHASKI_PEOPLE_SECURE_COOKIE=no chaski serve",
            f"The people's six words are in {people}/<login>/passphrase.txt; their logins in {people}/people.json.",
            f"The roots' pin, by which people and tablets recognise this server: {trust.read(trusted).pin}",
        ),
    )


def _keyring_names() -> list[str]:
    return [f"{region}-{kind}" for region in REGIONS for kind in KINDS] + [NATIONAL]


def _create_root(people: Path, number: int, progress: Progress) -> SigningKey:
    progress(f"root key {number} of {ROOTS}")
    key, phrase = SigningKey.generate(), generate_passphrase()
    folder = people / f"raiz-{number}"
    folder.mkdir(mode=0o700)
    write_private(folder / "passphrase.txt", phrase + "\n")
    save_secret(folder / "root.key", key, phrase)
    return key


def _create_user(people: Path, person: DemoPerson, progress: Progress) -> DemoUser:
    progress(f"keys of {person.login}")
    phrase, salt = generate_passphrase(), secrets.token_bytes(16)
    offices = [role for role in OFFICES if role in person.roles]
    office = SigningKey.generate() if offices else None
    folder = people / person.login
    folder.mkdir(mode=0o700)
    write_private(folder / "passphrase.txt", phrase + "\n")
    if office is not None:
        save_secret(folder / f"{offices[0]}.key", office, phrase, salt)
    return DemoUser(person, phrase, salt, derive_keys(phrase, salt), SealKey.generate(), SigningKey.generate(), office)


def _office_keys(users: Sequence[DemoUser], role: str) -> list[SigningKey]:
    return [user.office for user in users if role in user.person.roles and user.office is not None]


def _list_signers(users: Sequence[DemoUser], role: str) -> list[Signer]:
    holders = [user for user in users if role in user.person.roles and user.office is not None]
    return [Signer(user.office.public, user.person.login) for user in holders if user.office is not None]


def _make_trust(roots: Sequence[SigningKey], users: Sequence[DemoUser], server: NewServer, now: int) -> Document:
    payload = trust.TrustContent(
        number=1,
        demo=True,
        roots=[root.public for root in roots],
        threshold=THRESHOLD,
        registrars=[key.public for key in _office_keys(users, "registrar")],
        authors=_list_signers(users, "author"),
        reviewers=_list_signers(users, "reviewer"),
        servers=[server.keys.signing.public],
        issued=now,
        expires=now + YEAR,
    ).to_payload()
    document = Document(payload)
    for root in roots[:THRESHOLD]:
        document = document.signed_by(root, trust.TYP)
    return document


def _make_registry(keyrings: Mapping[str, SealKey], registrar: SigningKey, now: int) -> Document:
    payload = registry.make(
        number=1,
        keyrings=[Keyring.of(name, EPOCH, key.public) for name, key in keyrings.items()],
        desks=[Desk(region, kind, f"{region}-{kind}") for region in REGIONS for kind in KINDS],
        revoked=[],
        issued=now,
    )
    return Document(payload).signed_by(registrar, registry.TYP)


def _make_account(user: DemoUser) -> NewPerson:
    def locked(key: SealKey | SigningKey, secret: bytes) -> str:
        return lock_secret(secret, user.derived.lock, f"{key.KIND}/{key.kid}")

    person = StaffAccount(
        id=user.id,
        login=user.person.login,
        name=user.person.name,
        seal_public=user.seal.public.raw,
        sign_public=user.signing.public.raw,
        locked_seal=locked(user.seal, user.seal.seed),
        locked_sign=locked(user.signing, user.signing.secret),
        roles=user.person.roles,
        groups=user.person.groups,
    )
    return NewPerson(person, user.salt, user.derived.auth)


def _new_keyring(name: str, key: SealKey, users: Sequence[DemoUser]) -> NewKeyring:
    """Wrap a keyring to its desk group and to the national desk, which is a member of every keyring by default."""
    members = [user for user in users if user.person.groups & {name, NATIONAL}]
    copies = [
        WrappedCopy(user.id, seal.wrap_seed(key.seed, user.seal.public, keyring=name, epoch=EPOCH, member_id=user.id))
        for user in members
    ]
    return NewKeyring(name, EPOCH, key.public, copies)


def write_index(people: Path, users: Sequence[DemoUser]) -> None:
    """Write who the demo people are: login, name, account id, roles and groups."""
    index = [
        {
            "login": user.person.login,
            "name": user.person.name,
            "id": user.id,
            "roles": sorted(user.person.roles),
            "groups": sorted(user.person.groups),
        }
        for user in users
    ]
    write_private(people / INDEX_FILE, json.dumps(index, ensure_ascii=False, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read. It never overwrites a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
