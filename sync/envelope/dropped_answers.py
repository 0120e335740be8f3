"""Drops the answers of a person who did not agree, before the tablet seals her screening (SPEC 8.1 step 0).

The consent text promises her that she is only counted. The tablet calls `drop_answers` between pruning and sealing; a
desk asks `are_dropped` and `is_only_counted`. It reads an instance and two members of the bundle, and no form.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from sync.errors import SyncError

RESULTS = ("outcome", "tier")
"""The results that stay: the server counts them too."""

_MARK = ' answers="dropped"'
_META = "meta"
_BLANKS = " \t\r\n"
_MOST_LEVELS = 100
# A kept value is one code. Free text never stays, whatever a form maps to the route.
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,200}")

# The grammar of SPEC 8.1 step 0. All of XML would need more rules than two implementations can agree on.
_NAME = "[A-Za-z_][A-Za-z0-9_.-]*"
_REFERENCE = "&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});"
_ABOVE = r"=-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"
_VALUE = rf"(?:[ !#-%'-;{_ABOVE}]|{_REFERENCE})*+"
_TEXT = rf"(?:(?!\]\]>)[\t\n\r -%'-;{_ABOVE}]|{_REFERENCE})++"
_ROOT = rf'<({_NAME})( id="{_VALUE}" version="{_VALUE}")({_MARK})?(?: ?/)?>'
_INSTANCE = re.compile(rf"{_ROOT}(?:</{_NAME}>|<{_NAME}(?: ?/)?>|{_TEXT})*+(?<=>)")


def drop_answers(instance: bytes, route: Mapping[str, str], omitted: Collection[str]) -> bytes:
    """Return the instance to seal: without the answers if the person is only counted, else the same bytes.

    `route` maps route fields to questions; `omitted` are the fields that the form leaves out of the route. Raise
    SyncError `seal.not_xml` if the instance does not have the form of SPEC 8.1 step 0.
    """
    (name, attributes, _), root = _read(instance)
    if not is_only_counted(dict(_leaves(root)), route):
        return instance
    return f"<{name}{attributes}{_MARK}>{_write_kept(root, kept_leaves(route, omitted))}</{name}>".encode()


def are_dropped(instance: bytes) -> bool:
    """Return whether a tablet dropped the answers of this instance.

    An instance of another form never comes from `drop_answers`. A desk must still be able to open it: this is False.
    """
    try:
        (_, _, mark), _ = _read(instance)
    except SyncError:
        return False
    return mark is not None


def is_only_counted(values: Mapping[str, str], route: Mapping[str, str]) -> bool:
    """Return whether a screening with these values by question is counted, and its answers leave no tablet.

    The form asks for consent to referral, the answer is not yes, and no desk gets the screening.
    """
    return "consent" in route and values.get(route["consent"], "") != "yes" and not values.get("queue_kinds", "")


def kept_leaves(route: Mapping[str, str], omitted: Collection[str]) -> frozenset[str]:
    """Return the names of the leaves that stay: results, and the questions whose answers the route holds."""
    return frozenset({*RESULTS, *(question for field, question in route.items() if field not in omitted)})


def _read(instance: bytes) -> tuple[Sequence[str | None], Element]:
    """Return the root's name, attributes and mark as they are written, and the root.

    The grammar decides which spellings are accepted. The parser checks tags and character references.
    """
    try:
        written = _INSTANCE.fullmatch(instance.decode())
        if written is None:
            raise SyncError("seal.not_xml", "an instance has the form of SPEC 8.1 step 0")
        root: Element = fromstring(instance, forbid_dtd=True)
    except (ParseError, UnicodeDecodeError) as wrong:
        raise SyncError("seal.not_xml", "an instance is well-formed XML in UTF-8") from wrong
    _require_few_levels(root)
    return written.groups(), root


def _require_few_levels(root: Element) -> None:
    level = [root]
    for _ in range(_MOST_LEVELS):
        level = [child for element in level for child in element]
    if level:
        raise SyncError("seal.not_xml", f"an instance has at most {_MOST_LEVELS} levels of elements")


def _children(element: Element, depth: int) -> Iterator[Element]:
    return (child for child in element if depth or child.tag != _META)


def _leaves(element: Element, depth: int = 0) -> Iterator[tuple[str, str]]:
    for child in _children(element, depth):
        if len(child):
            yield from _leaves(child, depth + 1)
        else:
            yield child.tag, _text(child)


def _write_kept(element: Element, kept: Collection[str], depth: int = 0) -> str:
    written = []
    for child in _children(element, depth):
        name = child.tag
        if len(child):
            inner = _write_kept(child, kept, depth + 1)
        else:
            inner = text if name in kept and _CODE.fullmatch(text := _text(child)) else ""
        written.append(f"<{name}>{inner}</{name}>" if inner else "")
    return "".join(written)


def _text(element: Element) -> str:
    return (element.text or "").strip(_BLANKS)
