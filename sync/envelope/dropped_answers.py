"""Drops the answers of a person who did not agree, before the tablet seals her screening (SPEC 8.1 step 0).

The consent text promises her that she is only counted. The tablet calls `drop_answers` between pruning and sealing; a
desk asks `are_dropped` and `is_only_counted`. It reads an instance and two members of the bundle, and no form.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from sync.errors import SyncError

RESULTS = ("outcome", "tier")
"""The results that stay: the server counts them too."""

_MARK = "answers", "dropped"
_META = "meta"
_BLANKS = " \t\r\n"
_QUOTE = {'"': "&quot;"}
# A kept value is one code. Free text never stays, whatever a form maps to the route.
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,200}")


def drop_answers(instance: bytes, route: Mapping[str, str], omitted: Collection[str]) -> bytes:
    """Return the instance to seal: without the answers if the person is only counted, else the same bytes.

    `route` maps route fields to questions; `omitted` are the fields that the form leaves out of the route. Raise
    SyncError `seal.not_xml` if the instance is not well-formed XML without a DTD.
    """
    root = _read(instance)
    if not is_only_counted(dict(_leaves(root)), route):
        return instance
    name, written = _local(root), _write_kept(root, kept_leaves(route, omitted))
    marked = {key: root.get(key) for key in ("id", "version")} | dict([_MARK])
    attributes = "".join(f' {key}="{escape(value, _QUOTE)}"' for key, value in marked.items() if value is not None)
    return f"<{name}{attributes}>{written}</{name}>".encode()


def are_dropped(instance: bytes) -> bool:
    """Return whether a tablet dropped the answers of this instance. Raise SyncError `seal.not_xml` like above."""
    key, value = _MARK
    return _read(instance).get(key) == value


def is_only_counted(values: Mapping[str, str], route: Mapping[str, str]) -> bool:
    """Return whether a screening with these values by question is counted, and its answers leave no tablet.

    The form asks for consent to referral, the answer is not yes, and no desk gets the screening.
    """
    return "consent" in route and values.get(route["consent"], "") != "yes" and not values.get("queue_kinds", "")


def kept_leaves(route: Mapping[str, str], omitted: Collection[str]) -> frozenset[str]:
    """Return the names of the leaves that stay: results, and the questions whose answers the route holds."""
    return frozenset({*RESULTS, *(question for field, question in route.items() if field not in omitted)})


def _read(instance: bytes) -> Element:
    try:
        root: Element = fromstring(instance, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as wrong:
        raise SyncError("seal.not_xml", "an instance is XML without a DTD") from wrong
    return root


def _children(element: Element, depth: int) -> Iterator[Element]:
    return (child for child in element if depth or _local(child) != _META)


def _leaves(element: Element, depth: int = 0) -> Iterator[tuple[str, str]]:
    for child in _children(element, depth):
        if len(child):
            yield from _leaves(child, depth + 1)
        else:
            yield _local(child), _text(child)


def _write_kept(element: Element, kept: Collection[str], depth: int = 0) -> str:
    written = []
    for child in _children(element, depth):
        name = _local(child)
        if len(child):
            inner = _write_kept(child, kept, depth + 1)
        else:
            inner = text if name in kept and _CODE.fullmatch(text := _text(child)) else ""
        written.append(f"<{name}>{inner}</{name}>" if inner else "")
    return "".join(written)


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: Element) -> str:
    return (element.text or "").strip(_BLANKS)
