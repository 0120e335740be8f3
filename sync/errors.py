"""SyncError, the one exception of the protocol: a stable dotted code (SPEC 14) and a sentence for people.

All modules of `sync` raise it; the server maps codes to HTTP problems. It must not contain key material or answers.
"""


def join_sentences(*sentences: str) -> str:
    """Join the sentences that are not empty. Control characters are removed, so none reaches a terminal."""
    clean = (
        " ".join("".join(c if c.isprintable() else " " for c in sentence).split()).rstrip(".") for sentence in sentences
    )
    return ". ".join(sentence for sentence in clean if sentence)


class SyncError(Exception):
    """An error in bytes from another party, or in a key file."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
