"""Parses a compiled XForm into a model of questions, groups and choices, with their rules and texts.

The diff compares two such models. The model must keep every attribute and text, also unknown ones: a change must not
go unseen. Only paths and the compiler's short group names are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, tostring

from defusedxml.ElementTree import fromstring

from screening_forms.engine.xform_reader import ITEMSET, ITEXT, XFORMS, XHTML, local_name
from screening_forms.expressions.parser import ExpressionError, parse_expression, write_expression
from screening_forms.languages import language_tag

_PATH = re.compile(r"/(?:[\w.-]+/)+([\w.-]+)")
_CONDITIONS = ("relevant", "required", "constraint", "calculate", "filter")
_MESSAGES = {"constraintMsg": "constraint_message", "requiredMsg": "required_message"}

Texts = Mapping[tuple[str, str], str]
"""(part, language) -> text: `("label", "quz")`, `("label/audio", "es")`. A text outside the translations has ""."""


@dataclass(frozen=True)
class FormItem:
    """A question, note, calculation, group or choice. `groups` names its groups as compiled, outermost first."""

    kind: str
    name: str
    groups: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The Spanish label, else the label without a language, else the name."""
        return self.texts.get(("label", "es")) or self.texts.get(("label", "")) or self.name


@dataclass(frozen=True)
class FormModel:
    """One form: its items by name in form order, and the choices of each list.

    `identity` is the XForm's own form_id, version and title. `rest` is the XML that belongs to no item.
    """

    items: Mapping[str, FormItem]
    lists: Mapping[str, Mapping[str, FormItem]]
    languages: tuple[str, ...]
    identity: Mapping[str, str]
    rest: str

    def inside(self, group: str) -> frozenset[str]:
        """Return the names of all items in a group, inner groups excepted."""
        return frozenset(item.name for item in self.items.values() if group in item.groups and item.kind != "group")


def parse_form(xform: str) -> FormModel:
    """Parse a compiled XForm. Raises ValueError if it has no model or body."""
    html = fromstring(xform, forbid_dtd=True)
    model, body = html.find(f"{XHTML}head/{XFORMS}model"), html.find(f"{XHTML}body")
    if model is None or body is None:
        raise ValueError("this is not a compiled XForm")
    reader = _Reader(model, body)
    items = {item.name: item for item in reader.items()}
    lists = {name: dict(reader.choices(found)) for name, found in reader.lists.items()}
    named = {"form_id": reader.root.get("id", ""), "version": reader.root.get("version", "")}
    identity = {**named, "title": html.findtext(f"{XHTML}head/{XHTML}title", "")}
    return FormModel(items, lists, tuple(reader.itext), identity, _remainder(html, model, body))


class _Reader:
    """Reads one XForm: texts by language, binds and controls by path, lists by name."""

    def __init__(self, model: Element, body: Element) -> None:
        translations = model.findall(f"{XFORMS}itext/{XFORMS}translation")
        self.itext = {language_tag(each.get("lang", "")): dict(_values(each)) for each in translations}
        self.binds = {bind.get("nodeset", ""): bind for bind in model.iter(f"{XFORMS}bind")}
        self.controls = {each.get("ref", ""): each for each in body.iter() if each.get("ref", "").startswith("/")}
        instances = model.findall(f"{XFORMS}instance")
        self.root = instances[0][0]
        self.lists = {each.get("id", ""): each for each in instances[1:]}

    def items(self) -> Iterator[FormItem]:
        return self._items_below(self.root, (), f"/{local_name(self.root)}")

    def choices(self, instance: Element) -> Iterator[tuple[str, FormItem]]:
        for item in instance.iter(f"{XFORMS}item"):
            columns = {local_name(cell): cell.text or "" for cell in item}
            name, text = columns.pop("name", ""), columns.pop("itextId", "")
            texts = self._by_id(text, "label") if text else {("label", ""): columns.pop("label", "")}
            yield name, FormItem("choice", name, (), columns, texts)

    def _items_below(self, element: Element, groups: tuple[str, ...], path: str) -> Iterator[FormItem]:
        for child in element:
            name = local_name(child)
            if name != "meta" or groups:
                yield self._item(name, groups, f"{path}/{name}", is_group=len(child) > 0)
                yield from self._items_below(child, (*groups, name), f"{path}/{name}")

    def _item(self, name: str, groups: tuple[str, ...], path: str, *, is_group: bool) -> FormItem:
        bind, control = self.binds.get(path, Element("bind")), self.controls.get(path)
        rules = {_local_key(key): value for key, value in bind.attrib.items() if key != "nodeset"}
        texts: dict[tuple[str, str], str] = {}
        for key, part in _MESSAGES.items():
            if found := ITEXT.fullmatch(rules.get(key, "")):
                texts |= self._by_id(found[1], part)
                del rules[key]
        if control is not None:
            rules |= {"control": local_name(control)}
            rules |= {_local_key(key): value for key, value in control.attrib.items() if key != "ref"}
            for child in control if not is_group else control.findall(f"{XFORMS}label"):
                self._read_child(child, rules, texts)
        written = {key: _short_condition(value) if key in _CONDITIONS else value for key, value in rules.items()}
        return FormItem(_kind(rules, is_group=is_group), name, groups, written, texts)

    def _read_child(self, child: Element, rules: dict[str, str], texts: dict[tuple[str, str], str]) -> None:
        part, reference = local_name(child), ITEXT.fullmatch(child.get("ref", ""))
        itemset = ITEMSET.fullmatch(child.get("nodeset", "").strip())
        if itemset:
            rules |= {"choices": itemset[1], **({"filter": itemset[2]} if itemset[2] else {})}
        elif reference:
            texts |= self._by_id(reference[1], part)
        else:
            texts[part, ""] = "".join(child.itertext())

    def _by_id(self, text: str, part: str) -> dict[tuple[str, str], str]:
        return {
            (f"{part}/{form}" if form else part, language): value
            for language, texts in self.itext.items()
            for form, value in texts.get(text, {}).items()
        }


def _values(translation: Element) -> Iterator[tuple[str, dict[str, str]]]:
    for text in translation.iter(f"{XFORMS}text"):
        values = {value.get("form", ""): "".join(value.itertext()) for value in text.findall(f"{XFORMS}value")}
        yield text.get("id", ""), values


def _kind(rules: Mapping[str, str], *, is_group: bool) -> str:
    if is_group:
        return "group"
    if "control" not in rules:
        return "calculation"  # Also a value that the tablet records by itself, such as the time.
    return "note" if rules.get("readonly") or rules["control"] == "trigger" else "question"


def _short_condition(condition: str) -> str:
    """Return an expression with question names in the place of paths. `groups` already holds each question's place."""
    try:
        return write_expression(parse_expression(condition))
    except ExpressionError:
        return _PATH.sub(r"${\1}", condition)


def _remainder(html: Element, model: Element, body: Element) -> str:
    """Return the XML that belongs to no item, as text. Items, lists and identity are removed from `html`."""
    for itext in model.findall(f"{XFORMS}itext"):
        for translation in list(itext):
            for text in list(translation):
                translation.remove(text)
            if translation.get("default") is None:  # Languages are compared elsewhere.
                itext.remove(translation)
    theirs = [bind for bind in model.findall(f"{XFORMS}bind") if "/meta/" not in bind.get("nodeset", "")]
    for taken in [*theirs, *model.findall(f"{XFORMS}instance")[1:]]:
        model.remove(taken)
    root = model.findall(f"{XFORMS}instance")[0][0]
    for child in [child for child in root if local_name(child) != "meta"]:
        root.remove(child)
    body.clear()
    for named in (root, *html.iter(f"{XHTML}title")):
        named.attrib.pop("id", None)
        named.attrib.pop("version", None)
        named.text = ""
    return tostring(html, encoding="unicode")


def _local_key(attribute: str) -> str:
    return attribute.rpartition("}")[2]
