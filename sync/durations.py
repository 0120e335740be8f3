"""Durations in milliseconds, the unit of every time in the project. Called by sync, server and the tests."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
YEAR = 365 * DAY
"""365 days; for limits, not for calendars."""
