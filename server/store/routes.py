"""Erases decoded routes that nobody needs any longer; retention calls it. Intake writes them, see envelopes.py."""

from __future__ import annotations

from server.database.connection import Connection

# Nothing about the screening is left to do, and the last that was done, or its arrival, lies back long enough.
_DONE = """
delete from routes where envelope in (
  select e.id from routes t join envelopes e on e.id = t.envelope
  where e.received <= :before
    and not exists (select 1 from referrals r where r.envelope = e.id and (r.state <> 'closed' or r.changed > :before))
    and not exists (
      select 1 from work_items i where i.envelope = e.id and (i.closed is null or i.closed > :before))
  limit :most)
"""


def erase(w: Connection, *, before: int, most: int) -> int:
    """Erase up to so many routes of screenings that have been closed since a time (milliseconds); return how many."""
    return int(w.execute(_DONE, {"before": before, "most": most}).rowcount)
