"""Tests of accounts and sessions: sign-in works for staff, guessing is slow, and a database copy gives no access."""

from __future__ import annotations

import pytest

from conftest import FOUNDED, World, derive
from server.database.connection import Database
from server.flows.people import accounts
from server.flows.people.accounts import FAILURES_KEPT, SESSION_LIFE
from server.flows.people.wrong_guesses import FAILURE_WINDOW, FAILURES_PER_ADDRESS, FAILURES_PER_LOGIN
from server.problems import Problem
from sync.durations import HOUR

NOW = FOUNDED + 1000
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"
WRONG = b"\0" * 32
IDLE = HOUR


def right(db: Database, world: World, login: str) -> bytes:
    """Return the `auth` value that a client derives from the right passphrase."""
    return derive(world.passphrase(login), accounts.get_salt(db, login)).auth


def refused(db: Database, login: str, auth: bytes, *, address: str = HOME, now: int = NOW) -> str:
    with pytest.raises(Problem) as wrong:
        accounts.sign_in(db, login=login, auth=auth, address=address, now=now)
    return wrong.value.code


def test_the_right_passphrase_signs_in_and_gives_roles_and_desk_groups(world: World, world_db: Database) -> None:
    signed_in = accounts.sign_in(
        world_db, login="proteccion-17", auth=right(world_db, world, "proteccion-17"), address=HOME, now=NOW
    )
    person = accounts.find_by_session(world_db, signed_in.token, now=NOW + 1, idle=IDLE)
    assert person == signed_in.person
    assert (person.roles, person.groups) == (frozenset({"coordinator"}), frozenset({"17-protection"}))


def test_a_wrong_passphrase_and_an_unknown_login_get_the_same_refusal(world_db: Database) -> None:
    assert refused(world_db, "proteccion-17", WRONG) == refused(world_db, "nadie", WRONG) == "session.refused"


def test_the_salt_answer_does_not_reveal_whether_a_login_exists(world_db: Database) -> None:
    known, unknown = accounts.get_salt(world_db, "autora"), accounts.get_salt(world_db, "nadie")
    assert len(known) == len(unknown) == 16
    assert unknown == accounts.get_salt(world_db, "nadie") != accounts.get_salt(world_db, "nadie2")


def test_wrong_words_wait_after_too_many_and_the_right_ones_never_do(world: World, world_db: Database) -> None:
    auth = right(world_db, world, "autora")
    for _ in range(FAILURES_PER_LOGIN):
        refused(world_db, "autora", WRONG)
    assert refused(world_db, "autora", WRONG) == "session.too_many"
    later = NOW + FAILURE_WINDOW + 1
    with pytest.raises(Problem, match=r"session\.refused"):
        accounts.sign_in(world_db, login="autora", auth=WRONG, address=HOME, now=later)
    assert accounts.sign_in(world_db, login="autora", auth=auth, address=HOME, now=NOW).person.login == "autora"


def test_failures_from_another_address_do_not_lock_a_coordinator_out(world: World, world_db: Database) -> None:
    for _ in range(FAILURES_PER_LOGIN):
        refused(world_db, "nacional", WRONG, address=ELSEWHERE)
    auth = right(world_db, world, "nacional")
    assert accounts.sign_in(world_db, login="nacional", auth=auth, address=HOME, now=NOW).person.login == "nacional"


def test_one_address_cannot_try_every_login(world_db: Database) -> None:
    for number in range(FAILURES_PER_ADDRESS):
        refused(world_db, f"nadie{number}", WRONG)
    assert refused(world_db, "nadie", WRONG) == "session.too_many"


def test_a_session_ends_by_signing_out_by_idling_and_by_its_age(world: World, world_db: Database) -> None:
    auth = right(world_db, world, "autora")
    tokens = [accounts.sign_in(world_db, login="autora", auth=auth, address=HOME, now=NOW).token for _ in range(2)]
    assert accounts.find_by_session(world_db, tokens[0], now=NOW + IDLE, idle=IDLE) is None
    assert accounts.find_by_session(world_db, tokens[0], now=NOW + IDLE - 1, idle=IDLE) is not None
    assert accounts.find_by_session(world_db, tokens[0], now=NOW + IDLE + 1, idle=IDLE) is not None, (
        "each use extends it"
    )
    assert accounts.find_by_session(world_db, tokens[0], now=NOW + SESSION_LIFE, idle=SESSION_LIFE * 2) is None
    accounts.sign_out(world_db, tokens[1], now=NOW)
    assert accounts.find_by_session(world_db, tokens[1], now=NOW, idle=IDLE) is None


def test_a_copy_of_the_database_opens_no_session(world: World, world_db: Database) -> None:
    auth = right(world_db, world, "autora")
    token = accounts.sign_in(world_db, login="autora", auth=auth, address=HOME, now=NOW).token
    world_db.close()
    held = b"".join(path.read_bytes() for path in world.data.iterdir() if path.is_file())
    assert token.encode() not in held
    assert auth not in held
    assert world.passphrase("autora").encode() not in held


def test_a_passphrase_typed_as_a_login_is_not_stored(world: World, world_db: Database) -> None:
    phrase = world.passphrase("autora")
    refused(world_db, phrase, WRONG)
    world_db.close()
    assert not any(phrase.encode() in path.read_bytes() for path in world.data.iterdir() if path.is_file())


def test_addresses_of_failed_sign_ins_are_deleted_after_a_day(world_db: Database) -> None:
    refused(world_db, "autora", WRONG)
    accounts.delete_old_sessions(world_db, now=NOW + FAILURES_KEPT - 1)
    assert world_db.read().execute("select count(*) from sign_in_failures").fetchone() == (1,)
    assert accounts.delete_old_sessions(world_db, now=NOW + FAILURES_KEPT + 1) == 1
    assert world_db.read().execute("select count(*) from sign_in_failures").fetchone() == (0,)
