"""The key ceremony: founds a server and, for a demo, plays everybody's part in it. `chaski init` and tests call it.

This is the offline half: it holds root, registrar and author secrets, so the serving process must never import it, and
none of those secrets may be written under the server's data folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.config import ConfigError
from server.demo_seats import REGIONS, SEATS, Seat
from server.flows import founding
from server.flows.founding import Founded, NewKeyring, NewPerson, Wrapped
from server.store.people import Person
from sync import registry, seal, trust
from sync.encoding import b64u
from sync.keyfiles import save_secret
from sync.keys import SealKey, SigningKey
from sync.passphrases import Derived, derive, lock, passphrase
from sync.registry import KINDS, NATIONAL, Desk, Keyring
from sync.signed import Document
from sync.trust import Signer

ROOTS = 3
THRESHOLD = 2
EPOCH = 1
# Roles whose signature counts in the trust or under it; each has a key of its own, apart from the person's account.
OFFICES = ("registrar", "author", "reviewer")
# In the people's folder: who they are; and, until the founding is done, the mark of the data folder that it belongs to.
INDEX, UNFINISHED = "people.json", "founding"
YEAR = 365 * 24 * 3_600_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Human:
    """A demo person while the ceremony lasts: everything that only she knows."""

    seat: Seat
    phrase: str = field(repr=False)
    salt: bytes
    derived: Derived = field(repr=False)
    seal: SealKey
    signing: SigningKey
    office: SigningKey | None

    @property
    def id(self) -> str:
        """The account's id: the kid of her signing key."""
        return self.signing.kid


def found(data: Path, *, now: int, progress: Progress) -> Founded:
    """Make an empty server: folder, signing key, first route key, database. It has no trust and nobody in it."""
    progress("server key, route key, database")
    with founding.begun(data):
        founded = founding.found(data, now=now)
    key = founded.keys.signing.public
    return replace(
        founded,
        next_steps=(
            f"The server exists in {data}. Its public key is {b64u(key.raw)} (kid {key.kid}).",
            "It serves nobody until roots, kept offline, have signed a trust that names this key.",
            "There is no command for that ceremony yet: this version seats people and roots with --demo only.",
        ),
    )


def demo(data: Path, people: Path, *, now: int, progress: Progress) -> Founded:
    """Found a server and seat all demo people around it; their secrets go to `people`, outside `data`."""
    if people.resolve().is_relative_to(data.resolve()):
        raise ConfigError("CHASKI_DATA", f"the people's secrets ({people}) may not lie in the server's data folder")
    _refuse_others(people, founding.mark_of(data))
    with founding.begun(data) as mark:
        _make_ready(people, mark)
        founded = _play(data, people, now, progress)
    # After the server's: a folder of people that is marked, beside a server that is not, was written to its end.
    (people / UNFINISHED).unlink()
    return founded


def _refuse_others(people: Path, mark: str) -> None:
    """Refuse a folder with anything in it but what the founding with this mark, which was cut off, has written."""
    if not people.exists():
        return
    own = people / UNFINISHED
    theirs = not people.is_dir() or any(there != own for there in people.iterdir())
    if theirs and not (mark and own.is_file() and own.read_text(encoding="ascii") == mark):
        raise ConfigError("CHASKI_DATA", f"{people} is there already, with other people's secrets")


def _make_ready(people: Path, mark: str) -> None:
    """Make the people's folder, empty it of what a founding that was cut off has written, and mark it."""
    people.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (*(f"raiz-{number}" for number in range(1, ROOTS + 1)), *(seat.login for seat in SEATS)):
        if (people / name).exists():
            shutil.rmtree(people / name)
    for file in (INDEX, UNFINISHED):
        (people / file).unlink(missing_ok=True)
    write_private(people / UNFINISHED, mark)


def _play(data: Path, people: Path, now: int, progress: Progress) -> Founded:
    """Play everybody's part, in folders that are ready for it."""
    progress("server key, route key, database")
    founded = founding.found(data, now=now)
    roots = [_root(people, number, progress) for number in range(1, ROOTS + 1)]
    humans = [_human(people, seat, progress) for seat in SEATS]
    progress("trust, signed by two of three roots")
    trusted = _trust(roots, humans, founded, now)
    progress("the desks' keyrings, wrapped to their members")
    keyrings = {name: SealKey.generate() for name in _keyring_names()}
    registered = _registry(keyrings, _office(humans, "registrar")[0], now)
    founding.open_desks(
        founded,
        trust=trusted,
        registry=registered,
        people=[_account(human) for human in humans],
        keyrings=[_new_keyring(name, key, humans) for name, key in keyrings.items()],
        now=now,
    )
    _write_index(people, humans)
    return replace(
        founded,
        next_steps=(
            f"Start it: CHASKI_DATA={data} CHASKI_PEOPLE_SECURE_COOKIE=no chaski serve",
            f"The people's six words are in {people}/<login>/passphrase.txt; their logins in {people}/people.json.",
            f"The roots' pin, for whoever must recognise this server: {trust.read(trusted).pin}",
        ),
    )


def _keyring_names() -> list[str]:
    return [f"{region}-{kind}" for region in REGIONS for kind in KINDS] + [NATIONAL]


def _root(people: Path, number: int, progress: Progress) -> SigningKey:
    progress(f"root key {number} of {ROOTS}")
    key, phrase = SigningKey.generate(), passphrase()
    folder = people / f"raiz-{number}"
    folder.mkdir(mode=0o700)
    write_private(folder / "passphrase.txt", phrase + "\n")
    save_secret(folder / "root.key", key, phrase)
    return key


def _human(people: Path, seat: Seat, progress: Progress) -> Human:
    progress(f"keys of {seat.login}")
    phrase, salt = passphrase(), secrets.token_bytes(16)
    offices = [role for role in OFFICES if role in seat.roles]
    office = SigningKey.generate() if offices else None
    folder = people / seat.login
    folder.mkdir(mode=0o700)
    write_private(folder / "passphrase.txt", phrase + "\n")
    if office is not None:
        save_secret(folder / f"{offices[0]}.key", office, phrase, salt)
    return Human(seat, phrase, salt, derive(phrase, salt), SealKey.generate(), SigningKey.generate(), office)


def _office(humans: Sequence[Human], role: str) -> list[SigningKey]:
    return [human.office for human in humans if role in human.seat.roles and human.office is not None]


def _signers(humans: Sequence[Human], role: str) -> list[Signer]:
    holders = [human for human in humans if role in human.seat.roles and human.office is not None]
    return [Signer(human.office.public, human.seat.login) for human in holders if human.office is not None]


def _trust(roots: Sequence[SigningKey], humans: Sequence[Human], founded: Founded, now: int) -> Document:
    payload = trust.make(
        number=1,
        demo=True,
        roots=[root.public for root in roots],
        threshold=THRESHOLD,
        registrars=[key.public for key in _office(humans, "registrar")],
        authors=_signers(humans, "author"),
        reviewers=_signers(humans, "reviewer"),
        servers=[founded.keys.signing.public],
        issued=now,
        expires=now + YEAR,
    )
    document = Document(payload)
    for root in roots[:THRESHOLD]:
        document = document.signed_by(root, trust.TYP)
    return document


def _registry(keyrings: Mapping[str, SealKey], registrar: SigningKey, now: int) -> Document:
    payload = registry.make(
        number=1,
        keyrings=[Keyring.of(name, EPOCH, key.public) for name, key in keyrings.items()],
        desks=[Desk(region, kind, f"{region}-{kind}") for region in REGIONS for kind in KINDS],
        revoked=[],
        issued=now,
    )
    return Document(payload).signed_by(registrar, registry.TYP)


def _account(human: Human) -> NewPerson:
    def locked(key: SealKey | SigningKey, secret: bytes) -> str:
        return lock(secret, human.derived.lock, f"{key.KIND}/{key.kid}")

    person = Person(
        id=human.id,
        login=human.seat.login,
        name=human.seat.name,
        seal_public=human.seal.public.raw,
        sign_public=human.signing.public.raw,
        locked_seal=locked(human.seal, human.seal.seed),
        locked_sign=locked(human.signing, human.signing.secret),
        roles=human.seat.roles,
        groups=human.seat.groups,
    )
    return NewPerson(person, human.salt, human.derived.auth)


def _new_keyring(name: str, key: SealKey, humans: Sequence[Human]) -> NewKeyring:
    """Wrap a keyring to its desk group and to the national desk, which is a member of every keyring by default."""
    members = [human for human in humans if human.seat.groups & {name, NATIONAL}]
    copies = [
        Wrapped(human.id, seal.wrap(key.seed, human.seal.public, keyring=name, epoch=EPOCH, member_id=human.id))
        for human in members
    ]
    return NewKeyring(name, EPOCH, key.public, copies)


def _write_index(people: Path, humans: Sequence[Human]) -> None:
    index = [
        {
            "login": human.seat.login,
            "name": human.seat.name,
            "id": human.id,
            "roles": sorted(human.seat.roles),
            "groups": sorted(human.seat.groups),
        }
        for human in humans
    ]
    write_private(people / INDEX, json.dumps(index, ensure_ascii=False, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read; never over another one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
