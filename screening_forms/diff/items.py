"""Compares the questions, notes, groups and choices of two forms: their order, rules and texts.

`form_changes` calls it. The compiler renames groups, so groups are matched by their label and their questions. Steps
of the score are compared in `scores.py`, never here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from screening_forms.diff.changes import RULE_WORDS, Change, change, differing_values
from screening_forms.diff.condition_text import condition_words, quoted
from screening_forms.diff.form_model import FormItem, FormModel
from screening_forms.diff.scores import is_step
from screening_forms.diff.texts import text_changes
from screening_forms.languages import Bilingual

_KINDS = {
    "note": Bilingual("nota", "note"),
    "group": Bilingual("grupo", "group"),
    "calculation": Bilingual("cálculo", "calculation"),
}
_TYPES = {
    ("select1", ""): "select_one",
    ("select", ""): "select_multiple",
    ("trigger", ""): "acknowledge",
    ("input", "int"): "integer",
    ("input", "date"): "date",
    ("input", "string"): "text",
}
_OF_TYPE = ("control", "type", "readonly")
_ALIKE = 0.3
"""Two groups match if their likeness is above this value; it lies between 0 and 2.1."""


def item_changes(old: FormModel, new: FormModel) -> Iterator[Change]:
    """Yield the changes of all items in the new form's order, then those of the choice lists."""
    old = _match_groups(old, new)
    before, after = _author_items(old), _author_items(new)
    renamed = _renamed(before, after)
    names = _ItemNames(old), _ItemNames(new)
    for name, item in before.items():
        if name in renamed:
            yield change("item.renamed", "survey", name, item=names[0].of(item), name=renamed[name])
        elif name not in after:
            yield change("item.removed", "survey", name, item=names[0].of(item), text=item.label)
    moved = _moved([name for name in before if name in after], [name for name in after if name in before])
    former = "-"
    for name, item in after.items():
        said = names[1].of(item)
        if name in before:
            yield from _place_changes(said, before[name], item, (old, new), former if name in moved else "")
            yield from _rule_and_text_changes(said, before[name], item, (old, new))
        elif name not in renamed.values():
            how = _description(item, new)
            yield change("item.added", "survey", name, item=said, text=item.label, how=how)
        former = item.label if item.kind == "group" else name
    for was, now in renamed.items():
        yield from _rule_and_text_changes(names[1].of(after[now]), before[was], after[now], (old, new))
    yield from _list_changes(old, new)


class _ItemNames:
    """The names of a form's items in sentences: questions by number and name, groups by label."""

    def __init__(self, form: FormModel) -> None:
        questions = (item.name for item in form.items.values() if item.kind == "question")
        self._numbers = {name: number for number, name in enumerate(questions, start=1)}

    def of(self, item: FormItem) -> Bilingual:
        if number := self._numbers.get(item.name):
            return Bilingual(f"pregunta {number} «{item.name}»", f"question {number} '{item.name}'")
        kind, name = _KINDS[item.kind], quoted(item.label if item.kind == "group" else item.name)
        return Bilingual(f"{kind.es} {name.es}", f"{kind.en} {name.en}")


def _author_items(form: FormModel) -> dict[str, FormItem]:
    """Return the items that an author wrote, by name; the score's own steps are left out."""
    return {name: item for name, item in form.items.items() if item.kind != "calculation" or not is_step(name)}


# Matching items of both forms


def _match_groups(old: FormModel, new: FormModel) -> FormModel:
    """Return the old form with the new form's group names. The most similar groups are matched first."""
    before, after = ([item for item in form.items.values() if item.kind == "group"] for form in (old, new))
    likeness = sorted(
        ((_likeness(old, new, one, other), one.name, other.name) for one in before for other in after),
        key=lambda found: -found[0],
    )
    names: dict[str, str] = {}
    for alike, one, other in likeness:
        if alike > _ALIKE and one not in names and other not in names.values():
            names[one] = other
    names |= {item.name: f"/{item.name}" for item in before if item.name not in names}
    items = {
        names.get(name, name): replace(
            item, name=names.get(name, name), groups=tuple(names[group] for group in item.groups)
        )
        for name, item in old.items.items()
    }
    return replace(old, items=items)


def _likeness(old: FormModel, new: FormModel, one: FormItem, other: FormItem) -> float:
    if (one.name == "score") != (other.name == "score"):
        return 0
    inside, there = old.inside(one.name), new.inside(other.name)
    shared = len(inside & there) / max(len(inside | there), 1)
    return shared + (one.label == other.label) + (len(one.groups) == len(other.groups)) / 10


def _renamed(before: Mapping[str, FormItem], after: Mapping[str, FormItem]) -> dict[str, str]:
    """Return old name -> new name of each question that has the same label and kind in both forms."""
    came = {(item.label, item.kind): name for name, item in after.items() if name not in before}
    gone = [item for name, item in before.items() if name not in after and item.kind != "group" and item.label != name]
    return {item.name: came[item.label, item.kind] for item in gone if (item.label, item.kind) in came}


def _moved(before: Sequence[str], after: Sequence[str]) -> set[str]:
    blocks = SequenceMatcher(a=before, b=after, autojunk=False).get_matching_blocks()
    return set(after).difference(*(after[block.b : block.b + block.size] for block in blocks))


# One item


def _place_changes(
    said: Bilingual, before: FormItem, after: FormItem, forms: tuple[FormModel, FormModel], former: str
) -> Iterator[Change]:
    if before.groups[-1:] != after.groups[-1:]:
        titles = [_title(form, item) for form, item in zip(forms, (before, after), strict=True)]
        yield change("item.regrouped", "survey", after.name, item=said, before=titles[0], after=titles[1])
    elif former:
        yield change("item.moved", "survey", after.name, item=said, after=former)


def _title(form: FormModel, item: FormItem) -> str:
    return form.items[item.groups[-1]].label if item.groups else "-"


def _rule_and_text_changes(
    said: Bilingual, before: FormItem, after: FormItem, forms: tuple[FormModel, FormModel]
) -> Iterator[Change]:
    old, new = forms
    if _type(before) != _type(after):
        yield change("item.type", "survey", after.name, item=said, before=_type(before), after=_type(after))
    for rule, was, now in differing_values(before.rules, after.rules):
        if rule == "required" and {was, now} == {"", "true()"}:
            yield change("item.required" if now else "item.optional", "survey", after.name, item=said)
        elif rule in RULE_WORDS or rule == "required":
            values = {"before": condition_words(was, old, before.name), "after": condition_words(now, new, after.name)}
            words = RULE_WORDS.get(rule, Bilingual("es obligatoria si", "is required if"))
            yield change("item.rule", "survey", after.name, item=said, rule=words, **values)
        elif rule == "choices":
            yield change("item.list", "survey", after.name, item=said, before=was or "-", after=now or "-")
        elif rule not in _OF_TYPE or _type(before) == _type(after):
            yield change("item.other", "survey", after.name, item=said, what=rule, before=was, after=now)
    shipped = [language for language in new.languages if language in old.languages]
    yield from text_changes(said, "survey", after.name, before.texts, after.texts, shipped)


def _type(item: FormItem) -> str:
    if item.kind in ("group", "calculation"):
        return item.kind
    control, value = item.rules.get("control", ""), item.rules.get("type", "")
    if item.rules.get("readonly"):
        return "note"
    return _TYPES.get((control, value)) or _TYPES.get((control, "")) or f"{control} {value}"


def _description(item: FormItem, form: FormModel) -> Bilingual:
    """Return a new item's type and rules in parentheses, or empty texts."""
    told = [_type(item)] if item.kind == "question" else []
    es, en = list(told), list(told)
    for rule, words in RULE_WORDS.items():
        if condition := item.rules.get(rule):
            said = condition_words(condition, form, item.name)
            es.append(f"{words.es} {said.es}")
            en.append(f"{words.en} {said.en}")
    return Bilingual(f" ({'; '.join(es)})" if es else "", f" ({'; '.join(en)})" if en else "")


# Choices


def _list_changes(old: FormModel, new: FormModel) -> Iterator[Change]:
    shipped = [language for language in new.languages if language in old.languages]
    for name in {**old.lists, **new.lists}:
        before, after = old.lists.get(name, {}), new.lists.get(name, {})
        if not before or not after:
            code, there = ("list.added", after) if after else ("list.removed", before)
            listed = ", ".join(f"«{choice.label}»" for choice in there.values())
            yield change(code, "choices", name, name=name, listed=listed)
            continue
        for code in (code for code in before if code not in after):
            yield change("choice.removed", "choices", f"{name}.{code}", item=_list_words(name), text=before[code].label)
        for code, choice in after.items():
            place = f"{name}.{code}"
            if code not in before:
                yield change("choice.added", "choices", place, item=_list_words(name), text=choice.label)
                continue
            said = Bilingual(f"opción «{place}»", f"choice '{place}'")
            for what, was, now in differing_values(before[code].rules, choice.rules):
                yield change("choice.column", "choices", place, item=said, what=what, before=was, after=now)
            yield from text_changes(said, "choices", place, before[code].texts, choice.texts, shipped)
        if _moved([code for code in before if code in after], [code for code in after if code in before]):
            yield change("choice.reordered", "choices", name, item=_list_words(name))


def _list_words(name: str) -> Bilingual:
    return Bilingual(f"lista «{name}»", f"list '{name}'")
