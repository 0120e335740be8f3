"""The bound on the number of a signed document that the server takes: registry, trust, certificate or order.

Readers refuse lower numbers for ever (SPEC 4.5). A thief of a registrar's key could otherwise use the highest number,
so that no other registrar can sign a later document.
"""

from server.problems import Problem
from sync.documents.registry import MAX_FORGOTTEN_NUMBERS


def refuse_far_number(name: str, number: int, held: int) -> None:
    """Raise Problem `document.far_number` above what a restored server can have forgotten, and one more.

    `name` is what kind of document it is, `number` its number, `held` the highest number that is stored of this kind.
    """
    most = held + MAX_FORGOTTEN_NUMBERS + 1
    if number > most:
        raise Problem("document.far_number", f"{name} {number} is above {most}", most=most)
