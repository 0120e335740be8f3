"""The form engine: evaluates relevance, constraints, required questions and calculates over answers.

Tablets score with it, and desks recompute with it. It runs generated Python that follows XPath 1.0 as JavaRosa (the
engine of ODK Collect) evaluates it. It must reject, at loading, an expression that JavaRosa could evaluate differently.
Texts used as numbers are left to `checks/numbers.py`: a desk must load a version that was published before that check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError, tostring
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from screening_forms.engine.codegen import generate_functions
from screening_forms.engine.xform_reader import Choice, Node, XForm, read_xform
from screening_forms.errors import AnswerError
from screening_forms.gc_pause import gc_paused

RESULT_NODES = ("outcome", "tier", "urgency", "queue_kinds", "guidance", "fired", "unknown")
"""The nodes of the score's result; all other calculates are intermediate steps."""

SEALED_RESULTS = ("outcome", "tier", "urgency", "queue_kinds")
"""The results in a pruned instance. A desk recomputes the others from the answers. The two lists of codes would take
about 130 bytes, enough for the next larger padding bucket."""

LARGEST_INTEGER = 2**31 - 1
"""The largest integer answer. XForms integers have 32 bits in JavaRosa and in ODK Web Forms."""

LONGEST_TEXT = 200
"""The most letters in a free-text answer. compiler/padding.py computes the size of all screenings with it."""

Answer = str | int | list[str]

_UNSEALED = ("calculate", "acknowledge")
_BLANK: tuple[object, ...] = ("", None, [])
_INTEGER = re.compile(r"-?0*\d{1,10}", re.ASCII)
_FIRST_DATE = "1583-01-01"
"""The two ODK engines differ on earlier dates: JavaRosa counts them in the Julian calendar."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNPRINTABLE = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WHY = {
    "unknown": "no existe esa pregunta en el formulario",
    "irrelevant": "no corresponde preguntarla con las demás respuestas",
    "filtered": "esa opción no corresponde con las demás respuestas",
    "constraint": "la respuesta no cumple la condición de la pregunta",
    "note": "no es una pregunta que se responda",
    "integer": "la respuesta debe ser un número entero, de −2147483648 a 2147483647",
    "date": "la respuesta debe ser una fecha AAAA-MM-DD, desde 1583",
    "start": "la respuesta debe ser una fecha y hora ISO 8601",
    "end": "la respuesta debe ser una fecha y hora ISO 8601",
    "text": "la respuesta debe ser un texto de 200 letras como máximo, sin signos de control",
    "acknowledge": "la respuesta debe ser «OK»",
    "select_one": "la respuesta debe ser una de las opciones",
    "select_multiple": "la respuesta debe ser una lista de opciones, sin repetir",
}


@dataclass(frozen=True)
class FilledForm:
    """A form with answers.

    `answers`: the answers as text. `values`: the text of every node, blank if it is not relevant. `missing`: the
    required questions that are relevant and blank.
    """

    answers: Mapping[str, str]
    values: Mapping[str, str]
    relevant: frozenset[str]
    missing: tuple[str, ...]


class Engine:
    """One compiled form, ready to evaluate. It stores no answers, so one engine serves any number of interviews.

    `evaluate` is the form's generated function (codegen.Evaluate). It takes answers as XForms writes them, and does not
    check that a question accepts them.
    """

    def __init__(self, form: XForm) -> None:
        self.form = form
        self.nodes = {node.name: node for node in form.nodes}
        self.questions = tuple(node for node in form.nodes if node.is_question)
        self._answerable = {node.name: node for node in form.nodes if node.type in _READERS}
        self._children: dict[str, list[Node]] = {}
        for node in form.nodes:
            self._children.setdefault(node.group, []).append(node)
        self.evaluate, self._offered_codes = generate_functions(form)

    def run(self, answers: Mapping[str, Answer]) -> FilledForm:
        """Evaluate the form.

        Raises AnswerError on an unknown question, a value that its question does not accept, and an answer to a
        question that is not relevant.
        """
        texts = self._read_answers(answers)
        filled, rejected = self._fill(texts)
        for name in texts if len(filled.answers) < len(texts) else ():
            if name not in filled.answers:
                raise AnswerError(name, _WHY["irrelevant"])
        for name, why in rejected.items():
            raise AnswerError(name, why)
        return filled

    def drop_irrelevant(self, answers: Mapping[str, Answer]) -> FilledForm:
        """Evaluate the form without the answers to irrelevant questions, as ODK Collect does after going back.

        Raises AnswerError on an unknown question and on a value that its question does not accept.
        """
        return self._fill(self._read_answers(answers))[0]

    def rejected(self, answers: Mapping[str, Answer]) -> dict[str, str]:
        """Return the relevant questions whose answers break a constraint or a choice filter, with the reasons."""
        return self._fill(self._read_answers(answers))[1]

    def drop_invalid(self, answers: Mapping[str, Answer]) -> FilledForm:
        """Evaluate the form without irrelevant and rejected answers.

        It drops them one by one in the form's order: without the first one, a later one may be valid. A select_multiple
        loses only the choices that are no longer offered, as in ODK Collect and ODK Web Forms.
        """
        texts = self._read_answers(answers)
        while True:
            filled, rejected = self._fill(texts)
            if not rejected:
                return filled
            name = next(iter(rejected))
            part = self.offered_part(name, filled) if rejected[name] == _WHY["filtered"] else ""
            texts = {other: text for other, text in filled.answers.items() if other != name}
            if part:
                texts[name] = part

    def offered_part(self, name: str, filled: FilledForm) -> str:
        """Return the part of a select question's answer that its choice filter still offers."""
        offered = {choice.code for choice in self.offered_choices(self.nodes[name], filled)}
        return " ".join(code for code in filled.answers.get(name, "").split() if code in offered)

    def offered_choices(self, question: Node, filled: FilledForm) -> tuple[Choice, ...]:
        """Return the choices of a question that pass its choice filter."""
        codes = self._offered_codes(filled.values)[question.name] if question.filter else question.choices
        return tuple(question.choices[code] for code in codes)

    def _fill(self, texts: Mapping[str, str]) -> tuple[FilledForm, dict[str, str]]:
        relevant, values, missing, broken, filtered = self.evaluate(texts)
        if not relevant.issuperset(texts):
            texts = {name: text for name, text in texts.items() if name in relevant}
        return FilledForm(texts, values, relevant, tuple(missing)), self._reasons(broken, filtered)

    def _reasons(self, broken: Sequence[str], filtered: Sequence[str]) -> dict[str, str]:
        if not broken and not filtered:
            return {}
        why = {name: self.nodes[name].constraint_message.get("es") or _WHY["constraint"] for name in broken}
        why |= dict.fromkeys(filtered, _WHY["filtered"])
        return {name: why[name] for name in self.nodes if name in why}

    def write_instance(self, filled: FilledForm, *, prune: bool = True) -> bytes:
        """Write OpenRosa instance XML.

        A pruned instance contains the answers and `SEALED_RESULTS`. Otherwise it contains every relevant node, blank
        nodes included, as ODK Collect writes it.
        """
        form = self.form
        root = tostring(Element(form.root, id=form.form_id, version=form.version), encoding="unicode")
        return f"{root.removesuffix(' />')}>{self._write_group('', filled, prune)}</{form.root}>".encode()

    def _write_group(self, group: str, filled: FilledForm, prune: bool) -> str:
        written = []
        for node in self._children[group]:
            if node.name not in filled.relevant or (
                prune and node.type in _UNSEALED and node.name not in SEALED_RESULTS
            ):
                continue
            is_group = node.type == "group"
            text = self._write_group(node.name, filled, prune) if is_group else escape(filled.values[node.name])
            if text:
                written.append(f"<{node.name}>{text}</{node.name}>")
            elif not prune:
                written.append(f"<{node.name}/>")
        return "".join(written)

    def read_values(self, instance: bytes) -> dict[str, str]:
        """Read every value in an instance, calculates included; raises AnswerError on an instance of another form."""
        root = _parse_instance(instance)
        named = (root.tag.rpartition("}")[2], root.get("id"), root.get("version"))
        if named != (self.form.root, self.form.form_id, self.form.version):
            raise AnswerError("", "la instancia es de otro formulario o de otra versión")
        return dict(self._read_leaves(root, ()))

    def read_instance(self, instance: bytes) -> dict[str, str]:
        """Read the answers in an instance, for `run`. It ignores calculates; raises AnswerError like `read_values`."""
        values = self.read_values(instance)
        return {name: value for name, value in values.items() if self.nodes[name].type != "calculate"}

    def _read_leaves(self, element: Element, groups: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        seen = set()
        for child in element:
            name = child.tag.rpartition("}")[2]
            if name == "meta" and not groups:
                continue
            node = self.nodes.get(name)
            if node is None or node.groups != groups or name in seen:
                raise AnswerError(name, _WHY["unknown"])
            seen.add(name)
            if node.type == "group":
                yield from self._read_leaves(child, (*groups, name))
            elif len(child):
                raise AnswerError(name, _WHY["text"])
            elif child.text:
                yield name, child.text

    def _read_answers(self, answers: Mapping[str, Answer]) -> dict[str, str]:
        texts = {}
        for name, value in answers.items():
            node = self._answerable.get(name)
            if node is None:
                raise AnswerError(name, _WHY["unknown"])
            if value not in _BLANK:
                text = texts[name] = _READERS[node.type](node, value)
                if not text:
                    raise AnswerError(name, _WHY[node.type])
        return texts


def _parse_instance(instance: bytes) -> Element:
    try:
        root: Element = fromstring(instance, forbid_dtd=True)
        return root
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise AnswerError("", "la instancia no es XML legible") from error


def instance_name(instance: bytes) -> tuple[str, str]:
    """Return the form id and the version that an instance's root states; raises AnswerError if it is not XML."""
    root = _parse_instance(instance)
    return root.get("id", ""), root.get("version", "")


@gc_paused()
def load_engine(compiled: str) -> Engine:
    """Make an engine from a compiled XForm; raises FormError on an unsupported form.

    This takes about 50 ms, so keep the engine.
    """
    return Engine(read_xform(compiled))


def _as_text(value: Answer) -> str:
    return value if isinstance(value, str) else str(value) if type(value) is int else ""


def _read_one(node: Node, value: Answer) -> str:
    text = _as_text(value)
    return text if text in node.choices else ""


def _read_several(node: Node, value: Answer) -> str:
    codes = value if isinstance(value, list) else _as_text(value).split()
    chosen = [code for code in node.choices if code in codes]
    return " ".join(chosen) if len(chosen) == len(codes) else ""


def _read_integer(_: Node, value: Answer) -> str:
    text = _as_text(value)
    number = int(text) if _INTEGER.fullmatch(text) else None
    return str(number) if number is not None and -LARGEST_INTEGER - 1 <= number <= LARGEST_INTEGER else ""


def _read_date(node: Node, value: Answer) -> str:
    text = _as_text(value)
    return _read_time(node, value) if _DATE.fullmatch(text) and text >= _FIRST_DATE else ""


def _read_time(_: Node, value: Answer) -> str:
    text = _as_text(value)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


_READERS: Mapping[str, Callable[[Node, Answer], str]] = {
    "select_one": _read_one,
    "select_multiple": _read_several,
    "integer": _read_integer,
    "date": _read_date,
    "text": lambda _, value: "" if _UNPRINTABLE.search(text := _as_text(value)) or len(text) > LONGEST_TEXT else text,
    "acknowledge": lambda _, value: "OK" if value == "OK" else "",
    "note": lambda _, __: "",
    "start": _read_time,
    "end": _read_time,
}
"""By question type: returns an answer as XForms writes it, or "" if the question does not accept it."""
