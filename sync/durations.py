"""Durations in milliseconds, the unit of all times in this project.

`sync`, `server` and the tests use them.
"""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
YEAR = 365 * DAY
"""365 days. It is for limits, not for calendar dates."""
