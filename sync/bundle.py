"""The bundle: one form version, in use only when an author and a reviewer, two persons, signed it (SPEC 5.4).

Checked by the server before it publishes and by every tablet before it shows a question.
"""

from sync.errors import SyncError
from sync.signed import Document
from sync.trust import Trust, keys_of

TYP = "chaski-1/bundle+jws"


def accept(document: Document, trust: Trust, sha: str | None = None) -> bytes:
    """Return the bundle's exact bytes; `sha` is the version that the manifest asked for."""
    if sha is not None and document.sha256 != sha:
        raise SyncError("bundle.wrong_version", f"{document.sha256} in place of {sha}")
    authors = document.require(TYP, keys_of(trust.authors))
    reviewers = document.require(TYP, keys_of(trust.reviewers))
    persons = {
        (trust.authors[author].person, trust.reviewers[reviewer].person) for author in authors for reviewer in reviewers
    }
    if all(author == reviewer for author, reviewer in persons):
        raise SyncError("bundle.one_person", "author and reviewer must be two persons")
    if trust.demo and document.content.get("channel") != "training":
        raise SyncError("bundle.demo_trust", "keys of a demo sign for training only")
    return document.payload
