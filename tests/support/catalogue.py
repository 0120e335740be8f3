"""The forms of the catalogue, loaded once per test run, and queries about each of them."""

from functools import cache

from screening_forms.engine.evaluator import Engine, FilledForm, load_engine
from screening_forms.workbook.reader import Row, Workbook
from support import forms
from support.forms import compiled

LABEL, HINT = "label::Español (es)", "hint::Español (es)"


@cache
def book(name: str) -> Workbook:
    """A form's workbook."""
    return forms.workbook(name)


@cache
def form(name: str) -> Engine:
    """A form with its engine, ready to be filled in."""
    return load_engine(compiled(name).xform)


@cache
def groups(name: str) -> dict[str, tuple[str, ...]]:
    """The names of the groups around each question and note, outermost first."""
    inside: list[str] = []
    found = {}
    for row in book(name).survey:
        kind = row.get("type")
        if kind == "begin_group":
            inside.append(row.get("name"))
        elif kind == "end_group":
            inside.pop()
        else:
            found[row.get("name")] = tuple(inside)
    return found


def questions(name: str) -> list[Row]:
    """The survey rows that a person answers."""
    return [row for row in book(name).survey if row.get("type").split()[0] not in ("begin_group", "end_group", "note")]


def within(name: str, *wanted: str) -> list[str]:
    """The questions and notes of some groups, in the form's order."""
    found = [question for question, inside in groups(name).items() if set(wanted) & set(inside)]
    assert found, f"{name} has none of the groups {wanted}"
    return found


def asked(filled: FilledForm, name: str, *wanted: str) -> set[str]:
    """The questions and notes of some groups that the form shows for these answers."""
    return set(within(name, *wanted)) & filled.relevant


def guidance(filled: FilledForm) -> set[str]:
    """The guidance notes that the form shows."""
    return {name for name in filled.relevant if name.startswith("guidance_")}


def came(filled: FilledForm) -> tuple[str, str, str]:
    """The outcome, tier and queue."""
    return filled.values["outcome"], filled.values["tier"], filled.values["queue_kinds"]
