"""Answers wrong passphrases and wrong tokens, and slows their sender down. The right one is accepted whoever else
guesses.

Failures are counted per login and network (the /64 and the /48 of IPv6), so that an attacker elsewhere changes nothing.
The check comes first: it costs one hash, and no count decides about the right words. docs/security.md has the
arithmetic of guessing.
"""

from __future__ import annotations

from typing import NoReturn

from server.client_network import networks_of
from server.database.connection import Database
from server.problems import Problem
from server.store import sessions
from sync.durations import HOUR, MINUTE, SECOND

FAILURE_WINDOW = HOUR // 4
FAILURES_PER_LOGIN = 5
"""Failures of one login from one network in the window, before the answers ask it to wait."""
FAILURES_PER_ADDRESS = 30
"""The same for all logins of one network."""
MOST_COUNTED = 100
"""Failures of one network in the window that are stored. More change nothing: a stranger must not fill the table."""
_LONGEST_WAIT = 15 * MINUTE // SECOND


def refuse(db: Database, refusal: Problem, *, login: str, address: str, now: int) -> NoReturn:
    """Count a failure and raise `refusal`; after too many failures `session.too_many`, with a growing wait.

    `login` is a hash of the login, because a passphrase may be typed into the wrong field.
    """
    c, networks, since = db.read(), networks_of(address), now - FAILURE_WINDOW
    failed = [sessions.count_failures(c, login=login, address=each, since=since, until=now) for each in networks]
    if all(each.address < MOST_COUNTED for each in failed):
        with db.write() as w:
            for each in networks:
                sessions.record_failure(w, login=login, address=each, at=now)
    beyond = max(max(each.login - FAILURES_PER_LOGIN, each.address - FAILURES_PER_ADDRESS) for each in failed)
    if beyond < 0:
        raise refusal
    raise Problem("session.too_many", retry_after=min(2 ** min(beyond, 20), _LONGEST_WAIT))
