"""The one exception of the protocol: a stable dotted code (SPEC 14) and a sentence for whoever must act on it.

Raised by every module here; the server maps codes to HTTP problems. It never carries key material or answers.
"""


def join_sentences(*sentences: str) -> str:
    """Join what there is of the sentences; no control character in them, whoever wrote them, reaches a terminal."""
    clean = (
        " ".join("".join(c if c.isprintable() else " " for c in sentence).split()).rstrip(".") for sentence in sentences
    )
    return ". ".join(sentence for sentence in clean if sentence)


class SyncError(Exception):
    """Say what is wrong with bytes that somebody else made, or with a key file."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
