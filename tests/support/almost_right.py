"""Makes vectors that are almost right: one change in the JSON, its spelling or its bytes, then a valid new signature.

test_sync_second_implementation.py gives them to both implementations, which must give the same answer.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from sync.documents.signed import sign, sign_bare
from sync.envelope.verify import SIGNATURE_TYP
from sync.errors import SyncError
from sync.exchange import messages
from sync.wire.encoding import b64u, canonical, unb64u
from vector_makers.fixed_inputs import (
    AUTHOR,
    DEVICE,
    NEW_AUTHOR,
    REGISTRAR,
    REVIEWER,
    ROOTS,
    SERVER,
    STRANGER,
    Case,
)

SIGNERS = {key.kid: key for key in (*ROOTS, REGISTRAR, AUTHOR, NEW_AUTHOR, REVIEWER, SERVER, DEVICE, STRANGER)}
JUNK: list[Any] = [
    *[None, True, False, 0, 1, -1, 1.5, 2**53 - 1, 2**53, 10**400, 1e21, "", "x", " ", "ñ", "\ud800", "\x00", "0" * 64],
    *["A" * 22, "B" * 21 + "_", "A" * 43, "A" * 11, "17", "170204", "x" * 41, "x" * 81, [], {}, [1], [[]], {"a": 1}],
]
ALPHABET = 'ABCxyz019-_.=+/ \n\r\t"{}[]:,ñ\x00\u2028'
MESSAGE_TYPES = {
    "request": messages.REQUEST_TYP,
    "response": messages.RESPONSE_TYP,
    "refusal": messages.REFUSAL_TYP,
}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _near(rng: Random, value: Any) -> Any:
    """Return a value close to the given one, of the same type where possible."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice([-1, 1, 0.5, -value])
    if isinstance(value, str):
        return letter_changed(rng, value)
    if isinstance(value, list) and value:
        return rng.choice([[*value, rng.choice(value)], value[::-1], value * 501, value[1:]])
    return rng.choice(JUNK)


def member_changed(rng: Random, text: str) -> str:
    """Change, drop or add one member anywhere in a JSON object; write it as canonical JSON if possible."""
    value = json.loads(text)
    inside, key = rng.choice(list(_places(value)))
    how = rng.choice(["drop", "junk", "junk", "near", "near", "near", "add"])
    if how == "drop":
        del inside[key]
    elif how == "add" and isinstance(inside, dict):
        inside[rng.choice(["zz", "a", "__proto__", "constructor", "\ufb33", ""])] = rng.choice(JUNK)
    else:
        inside[key] = rng.choice(JUNK) if how == "junk" else _near(rng, inside[key])
    try:
        return canonical(value).decode()
    except SyncError:
        return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _spelled_twice(name: re.Match[str]) -> str:
    return f'{{"\\u{ord(name[1]):04x}{name[2]}1,"{name[1]}{name[2]}'


def respelled(rng: Random, text: str) -> str:
    """Write the same JSON, or almost the same, in a spelling that canonical JSON does not use."""
    change: Callable[[str], str] = rng.choice(
        [
            lambda json_text: re.sub(r":(\d+)", r":\1.0", json_text, count=1),
            lambda json_text: re.sub(r":(\d+)", r":\g<1>e0", json_text, count=1),
            lambda json_text: re.sub(r":(\d+)", r":0\1", json_text, count=1),
            lambda json_text: re.sub(r":(\d+)", ":-0", json_text, count=1),
            lambda json_text: re.sub(r":(\d+)", ":NaN", json_text, count=1),
            lambda json_text: re.sub(r'"(\w)', lambda met: f'"\\u{ord(met[1]):04x}', json_text, count=1),
            lambda json_text: re.sub(r'\{("\w+":)', r"{\1null,\1", json_text, count=1),
            lambda json_text: re.sub(r'\{"(\w)(\w+":)', _spelled_twice, json_text, count=1),
            lambda json_text: " " + json_text,
            lambda json_text: json_text + " ",
            lambda json_text: "\ufeff" + json_text,
            lambda json_text: json_text.replace(":", ": ", 1),
            lambda json_text: f"[{json_text}]",
            lambda json_text: json_text[:-1],
            lambda json_text: json_text + json_text,
        ]
    )
    return change(text)


def letter_changed(rng: Random, text: str) -> str:
    """Change, drop, add or double one letter."""
    at = rng.randrange(len(text) + 1)
    how = rng.choice(["change", "change", "drop", "add", "twice"])
    if how == "add":
        return text[:at] + rng.choice(ALPHABET) + text[at:]
    new = {"change": rng.choice(ALPHABET), "drop": "", "twice": text[at : at + 1] * 2}[how]
    return text[:at] + new + text[at + 1 :]


def _json_changed(rng: Random, text: str) -> str:
    return rng.choice([member_changed, member_changed, member_changed, respelled])(rng, text)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def document_changed(rng: Random, text: str) -> str:
    """Change a document's payload and sign it again with the same keys; or change its lines, or one letter."""
    payload, *lines = text.split("\n")
    if rng.random() < 0.2:
        return letter_changed(rng, text)
    if rng.random() < 0.15:
        return "\n".join([payload, *rng.choice([lines * 17, lines[::-1], lines + lines[:1], lines[1:], [*lines, ""]])])
    changed = _json_changed(rng, payload)
    heads = [json.loads(unb64u(line.split(".")[0])) for line in lines]
    keys = [SIGNERS[head["kid"]] for head in heads]
    return "\n".join([changed, *(sign(_bytes_of(changed), key, heads[0]["typ"]) for key in keys)])


def message_changed(rng: Random, given: Case, typ: str) -> Case:
    """Change a body's JSON and sign it again; or change only the body or only the signature."""
    how = rng.random()
    if how < 0.15:
        return {**given, "signature": letter_changed(rng, given["signature"])}
    body = _body_changed(rng, unb64u(given["body"]))
    signature = given["signature"]
    if how > 0.25:
        key = SIGNERS[messages.claimed_signer(signature)]
        signature = f"{key.kid}.{sign_bare(body, key, typ)}"
    return {**given, "body": b64u(body), "signature": signature}


def _body_changed(rng: Random, body: bytes) -> bytes:
    plain = zlib.decompress(body, 31) if body[:1] == b"\x1f" else body
    body = _bytes_of(_json_changed(rng, plain.decode()))
    if rng.random() < 0.3:
        body = gzip.compress(body, mtime=0)
        at = rng.randrange(len(body))
        body = rng.choice([body, body[:at], body + b"\x00", body + body, body[:at] + rng.randbytes(1) + body[at + 1 :]])
    return body


def envelope_changed(rng: Random, text: str) -> str:
    """Change the header's JSON or a letter of a field; in most cases the device signs it again."""
    fields = text.split(".")
    at = rng.choice([0, 0, 0, 0, 1, 2, 3, 4, 5, 6])
    if at == 0:
        fields[0] = b64u(_bytes_of(_json_changed(rng, unb64u(fields[0]).decode())))
    else:
        fields[at] = letter_changed(rng, fields[at])
    if at != 6 and rng.random() < 0.9:
        fields[6] = sign_bare(_bytes_of(".".join(fields[:6])), DEVICE, SIGNATURE_TYP)
    return ".".join(fields)


def changed(rng: Random, case: Case) -> Case | None:
    """Return the case with one change; None if this kind of case has nothing to change."""
    given = case["given"]
    if case["do"] in MESSAGE_TYPES:
        return {**case, "given": message_changed(rng, given, MESSAGE_TYPES[case["do"]])}
    if case["do"] == "versions":
        sha, text = rng.choice(sorted(given["served"].items()))
        return {**case, "given": {**given, "served": {**given["served"], sha: document_changed(rng, text)}}}
    for name, change in (
        ("document", document_changed),
        ("envelope", envelope_changed),
        ("route", letter_changed),
        ("text", letter_changed),
    ):
        if isinstance(given.get(name), str):
            return {**case, "given": {**given, name: change(rng, given[name])}}
    return None
