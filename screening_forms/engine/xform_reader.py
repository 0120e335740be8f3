"""Reads a compiled XForm into plain values: its nodes in order, their rules, and their texts in every language.

The engine runs only the features that the checks know. So it must reject everything that our compiler does not write:
a submission address, an action, a repeat, an external instance, a default answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from screening_forms.errors import FormError, FormProblem
from screening_forms.languages import language_tag

XFORMS = "{http://www.w3.org/2002/xforms}"
XHTML = "{http://www.w3.org/1999/xhtml}"
_JR = "{http://openrosa.org/javarosa}"
_ODK = "{http://www.opendatakit.org/xforms}"
ITEXT = re.compile(r"jr:itext\('([^']+)'\)")
ITEMSET = re.compile(r"instance\('([^']+)'\)/root/item(?:\[(.+)\])?", re.DOTALL)
_CONTROLS = {"select1": "select_one", "select": "select_multiple", "trigger": "acknowledge", "input": ""}
_INPUTS = {"int": "integer", "date": "date", "string": "text"}
_PRELOADS = ("start", "end")
_KNOWN = {
    *("html", "head", "title", "model", "itext", "translation", "text", "value", "instance", "bind", "body"),
    *("label", "hint", "group", "itemset", *_CONTROLS),
}
_BIND_ATTRIBUTES = {
    *("nodeset", "type", "relevant", "required", "readonly", "constraint", "calculate"),
    *(_JR + name for name in ("preload", "preloadParams", "constraintMsg", "requiredMsg")),
}

TextsByLanguage = Mapping[str, str]
"""A text in each language, by language tag (es, quz, ayr)."""


@dataclass(frozen=True)
class Choice:
    """One choice of a list; a choice filter may use its `columns`."""

    code: str
    label: TextsByLanguage
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    """One node of the form. `groups`: the names of its groups, the outermost first.

    `type`: group, calculate, start, end, or a question's type (select_one, select_multiple, integer, date, text,
    acknowledge, note).
    """

    name: str
    type: str
    groups: tuple[str, ...]
    label: TextsByLanguage = field(default_factory=dict)
    hint: TextsByLanguage = field(default_factory=dict)
    constraint_message: TextsByLanguage = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    filter: str = ""
    relevant: str = ""
    required: str = ""
    constraint: str = ""
    calculate: str = ""

    @property
    def group(self) -> str:
        """The innermost group's name, or an empty string."""
        return self.groups[-1] if self.groups else ""

    @property
    def is_question(self) -> bool:
        """True if the interviewer sees the node, as a question or a note."""
        return self.type not in ("group", "calculate", *_PRELOADS)


@dataclass(frozen=True)
class XForm:
    """A compiled form: its identity, its languages (the default first), and its nodes in document order."""

    root: str
    form_id: str
    version: str
    title: str
    languages: tuple[str, ...]
    nodes: tuple[Node, ...]


def read_xform(xform: str) -> XForm:
    """Read a compiled XForm; raises FormError on anything that our compiler does not write."""
    try:
        html = fromstring(xform, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise xform_error("", "no es un XForm legible", f"is not a readable XForm: {error}") from error
    return _Reader(html).read()


class _Reader:
    """The parts of one XForm, by path, for the construction of its nodes."""

    def __init__(self, html: Element) -> None:
        model, body = html.find(f"{XHTML}head/{XFORMS}model"), html.find(f"{XHTML}body")
        instance = html.find(f".//{XFORMS}model/{XFORMS}instance")
        if model is None or body is None or instance is None or len(instance) != 1:
            raise xform_error("", "no tiene modelo, instancia y cuerpo", "lacks model, instance or body")
        self.title = html.findtext(f"{XHTML}head/{XHTML}title", "")
        self.root = instance[0]
        self._only_known(html)
        self.itext = _itext(model)
        self.binds = {bind.get("nodeset", ""): bind for bind in model.iter(f"{XFORMS}bind")}
        self.lists = {found.get("id", ""): found for found in model.iter(f"{XFORMS}instance") if found.get("id")}
        self.controls = {found.get("ref", ""): found for found in body.iter() if found.get("ref", "").startswith("/")}

    def read(self) -> XForm:
        names: set[str] = set()
        nodes = tuple(self._nodes(self.root, (), f"/{local_name(self.root)}"))
        for node in nodes:
            if node.name in names:
                raise xform_error(node.name, "el nombre está repetido", "the name is used twice")
            names.add(node.name)
        form_id, version = self.root.get("id", ""), self.root.get("version", "")
        return XForm(local_name(self.root), form_id, version, self.title, tuple(self.itext), nodes)

    def _nodes(self, element: Element, groups: tuple[str, ...], path: str) -> Iterator[Node]:
        for child in element:
            name = local_name(child)
            if name == "meta" and not groups:
                continue
            node = self._node(name, groups, f"{path}/{name}", child)
            yield node
            yield from self._nodes(child, (*groups, name), f"{path}/{name}")

    def _node(self, name: str, groups: tuple[str, ...], path: str, element: Element) -> Node:
        bind, control = self.binds.get(path, Element("bind")), self.controls.get(path)
        if set(bind.attrib) - _BIND_ATTRIBUTES or (element.text or "").strip():
            raise xform_error(
                name, "tiene una regla o respuesta que no se permite", "has a rule or an answer that is not allowed"
            )
        shown = control if control is not None else Element("none")
        choices, choice_filter = self._options(name, shown.find(f"{XFORMS}itemset"))
        return Node(
            name=name,
            type=self._type(name, bind, control, element),
            groups=groups,
            label=self._texts(shown.find(f"{XFORMS}label")),
            hint=self._texts(shown.find(f"{XFORMS}hint")),
            constraint_message=self._lookup(bind.get(f"{_JR}constraintMsg", "")),
            choices=choices,
            filter=choice_filter,
            relevant=bind.get("relevant", ""),
            required=bind.get("required", ""),
            constraint=bind.get("constraint", ""),
            calculate=bind.get("calculate", ""),
        )

    def _type(self, name: str, bind: Element, control: Element | None, element: Element) -> str:
        preload = bind.get(f"{_JR}preloadParams", "")
        if len(element):
            return "group"
        if bind.get("calculate") is not None:
            return "calculate"
        if control is None and bind.get(f"{_JR}preload") == "timestamp" and preload in _PRELOADS:
            return preload
        if control is None or local_name(control) not in _CONTROLS or bind.get(f"{_JR}preload"):
            raise xform_error(name, "no es una pregunta que se permita", "is not a question of an allowed kind")
        if bind.get("readonly") == "true()":
            return "note"
        kind = _CONTROLS[local_name(control)] or _INPUTS.get(bind.get("type", ""))
        if not kind:
            raise xform_error(
                name, f"no se permite el tipo {bind.get('type')}", f"type {bind.get('type')} is not allowed"
            )
        return kind

    def _options(self, name: str, itemset: Element | None) -> tuple[dict[str, Choice], str]:
        if itemset is None:
            return {}, ""
        found = ITEMSET.fullmatch(itemset.get("nodeset", "").strip())
        if not found or found[1] not in self.lists:
            raise xform_error(name, "su lista de opciones no está en el formulario", "its choices are not in the form")
        choices = [self._choice(item) for item in self.lists[found[1]].iter(f"{XFORMS}item")]
        return {choice.code: choice for choice in choices}, found[2] or ""

    def _choice(self, item: Element) -> Choice:
        columns = {local_name(cell): cell.text or "" for cell in item}
        label = self._by_id(columns["itextId"]) if "itextId" in columns else {"": columns.get("label", "")}
        return Choice(columns["name"], label, columns)

    def _texts(self, element: Element | None) -> TextsByLanguage:
        if element is None:
            return {}
        return self._lookup(element.get("ref", "")) or {"": "".join(element.itertext())}

    def _lookup(self, reference: str) -> TextsByLanguage:
        found = ITEXT.fullmatch(reference)
        return self._by_id(found[1]) if found else {}

    def _by_id(self, text: str) -> TextsByLanguage:
        return {language: texts[text] for language, texts in self.itext.items() if text in texts}

    def _only_known(self, html: Element) -> None:
        inside = {id(cell) for instance in html.iter(f"{XFORMS}instance") for cell in instance.iter()}
        for element in html.iter():
            outside = id(element) not in inside and local_name(element) not in _KNOWN
            if outside or element.tag.startswith(_ODK) or element.get("src") is not None:
                raise xform_error(local_name(element), "no se permite en un formulario", "is not allowed in a form")


def _itext(model: Element) -> dict[str, dict[str, str]]:
    """Return the texts by language tag and id, the default language first."""
    found = model.findall(f"{XFORMS}itext/{XFORMS}translation")
    found.sort(key=lambda translation: translation.get("default") != "true()")
    return {
        language_tag(translation.get("lang", "")): {
            text.get("id", ""): "".join(value.itertext())
            for text in translation.iter(f"{XFORMS}text")
            for value in text.findall(f"{XFORMS}value")
            if value.get("form") is None
        }
        for translation in found
    }


def local_name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def xform_error(name: str, advice_es: str, advice_en: str) -> FormError:
    """Return the error of a rejected node; an empty name is the whole form."""
    return FormError([FormProblem("xform", 0, name, "xform.refused", f"{name}: {advice_es}", f"{name}: {advice_en}")])
