"""What the line to the server bears, from the bytes per second of the last requests.

The tablet bounds a batch of envelopes by it, and tells the server as the `budget` of a response (SPEC 11.1). On a poor
line small requests arrive where large ones break off.
"""

REQUEST_SECONDS = 20
"""The time that a request may take. A line in the mountains is often gone after a minute."""
MEASURED_FROM_BYTES = 4_000
"""A smaller request says how far the server is, and not how many bytes the line carries, unless it fills the line."""
NO_LIMIT_FROM_BYTES = 1024 * 1024


def measure_rate(former: int, size: int, seconds: float) -> int:
    """Return the rate in bytes per second after a request of `size` bytes up and down; 0 = not known.

    The mean with the former rate lets one odd request count half. A request of half the bytes that the line bears is
    measured whatever its size. A batch that the line bounds is never much smaller, so a slow minute bounds none for
    ever.
    """
    bearable = bearable_bytes(former)
    if size < min(MEASURED_FROM_BYTES, bearable // 2 or MEASURED_FROM_BYTES) or seconds <= 0:
        return former
    measured = max(1, round(size / seconds))
    return (former + measured) // 2 if former else measured


def bearable_bytes(rate: int) -> int:
    """Return how many bytes a request may have; 0 = no limit."""
    size = rate * REQUEST_SECONDS
    return 0 if size > NO_LIMIT_FROM_BYTES else size
