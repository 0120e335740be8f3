"""Policies: named, versioned tables of rules that lead from dimensions to an outcome and a referral.

The scoring and the compiler use them. A reviewer can read a policy aloud from its CSV file, so the code must contain no
rule about people. A `when` has only names, `and`, `or` and parentheses. It must not have a "not": more evidence can
then never lower an outcome.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from screening_forms.errors import FormError
from screening_forms.rules.csv_table import TableFormat
from screening_forms.rules.dimensions import ANY_OF, DIMENSIONS, INDICATOR_CODE, STRONG_IN

POLICY_TABLE = TableFormat(
    "policy",
    "la política",
    "policy",
    ("step", "when", "outcome", "tier", "urgency", "queue_kinds", "guidance", "source", "provenance"),
)
OUTCOMES = ("negative", "labour_rights", "review", "positive")
TIERS = ("T1", "T2", "T3", "T4", "child", "danger", "none")
URGENCIES = ("immediate", "prompt", "routine", "none")
QUEUE_KINDS = ("child", "protection", "labour", "review")
CONSENT_POLICIES = ("person_decides", "duty_to_report")

# The names that a step's `when` may use. `outcome` may also use codes of indicators, `referral` those that are certain.
# Only `referral` knows consent and the duty to report: consent to a referral must never change the outcome.
_FACTS = frozenset({"minor", "danger", "place"})
NAMES_BY_STEP = {
    "outcome": _FACTS | {"any_strong", "always", *ANY_OF, *STRONG_IN, *DIMENSIONS},
    "undecided": _FACTS | {"always"},
    "referral": _FACTS
    | {*ANY_OF, "consent", "duty_to_report", "always", "positive"}
    | {"tier_danger", "tier_child", "T1", "T2", "T3", "T4"},
}

_TOKEN = re.compile(r"\s*([()]|[A-Za-z_][A-Za-z0-9_.]*)")


@dataclass(frozen=True)
class Condition:
    """A parsed `when`: a name, or two or more parts joined by `and` or `or`."""

    op: str
    name: str = ""
    parts: tuple["Condition", ...] = ()

    def holds(self, names: Mapping[str, bool]) -> bool:
        """Return the truth of the condition for the values of its names; raises KeyError on a missing name."""
        if self.op == "name":
            return names[self.name]
        return (all if self.op == "and" else any)(part.holds(names) for part in self.parts)

    def write(self, atom: Callable[[str], str]) -> str:
        """Return the condition as an XPath expression; `atom` returns the text of each name."""
        if self.op == "name":
            return atom(self.name)
        return "(" + f" {self.op} ".join(part.write(atom) for part in self.parts) + ")"

    def names(self) -> Iterator[str]:
        """Yield every name of the condition, in order, with repetitions."""
        if self.op == "name":
            yield self.name
        for part in self.parts:
            yield from part.names()


@cache
def parse_condition(text: str) -> Condition:
    """Parse a policy's `when`; raises ValueError with the rest of the text that cannot be parsed."""
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match:
            raise ValueError(f"{text[at:].strip()!r}")
        tokens.append(match[1])
        at = match.end()
    tokens.reverse()
    tree = _parse_any(tokens)
    if tokens:
        raise ValueError(f"{' '.join(reversed(tokens))!r}")
    return tree


def _parse_any(tokens: list[str]) -> Condition:
    return _parse_chain(tokens, "or", lambda rest: _parse_chain(rest, "and", _parse_one))


def _parse_chain(tokens: list[str], op: str, part: Callable[[list[str]], Condition]) -> Condition:
    parts = [part(tokens)]
    while tokens and tokens[-1] == op:
        tokens.pop()
        parts.append(part(tokens))
    return parts[0] if len(parts) == 1 else Condition(op, parts=tuple(parts))


def _parse_one(tokens: list[str]) -> Condition:
    token = tokens.pop() if tokens else ""
    if token == "(":
        tree = _parse_any(tokens)
        if not tokens or tokens.pop() != ")":
            raise ValueError("( )")
        return tree
    if token in ("", ")", "and", "or"):
        raise ValueError(repr(token))
    return Condition("name", token)


@dataclass(frozen=True)
class PolicyRow:
    """One row. `number` is its line in the CSV file. With empty `queue_kinds`, a referral is counted but not queued."""

    number: int
    step: str
    when: str
    outcome: str
    tier: str
    urgency: str
    queue_kinds: tuple[str, ...]
    guidance: str
    source: str
    provenance: str

    @property
    def condition(self) -> Condition:
        """The parsed `when`."""
        return parse_condition(self.when)


@dataclass(frozen=True)
class Policy:
    """The rows of one named policy, in the order of evaluation."""

    name: str
    rows: tuple[PolicyRow, ...]

    def step(self, step: str) -> tuple[PolicyRow, ...]:
        """Return the rows of one step: outcome, undecided or referral."""
        return tuple(row for row in self.rows if row.step == step)

    def names(self, step: str) -> tuple[str, ...]:
        """Return every name in the rows of a step, each once, in order."""
        return tuple(dict.fromkeys(name for row in self.step(step) for name in row.condition.names()))

    def first(self, step: str, names: Mapping[str, bool]) -> PolicyRow:
        """Return the first row of a step that holds. `always` holds, and every valid step ends with it."""
        known = {**names, "always": True}
        return next(row for row in self.step(step) if row.condition.holds(known))

    def as_dict(self) -> dict[str, Any]:
        """Return the policy as JSON values, for the bundle."""
        return {"name": self.name, "rows": [{**asdict(r), "queue_kinds": list(r.queue_kinds)} for r in self.rows]}


def policy_from_dict(content: Mapping[str, Any]) -> Policy:
    """Read the policy that `as_dict` wrote."""
    rows = (PolicyRow(**{**row, "queue_kinds": tuple(row["queue_kinds"])}) for row in content["rows"])
    return Policy(content["name"], tuple(rows))


def parse_policy(name: str, text: str) -> Policy:
    """Read a policy from the text of its CSV table; raises FormError with every problem at once."""
    rows = tuple(_row(number, cells) for number, cells in POLICY_TABLE.read_rows(name, text))
    wrong = [(row.number, *what) for row in rows for what in _row_problems(row)] + list(_step_problems(rows))
    if wrong:
        raise FormError([POLICY_TABLE.problem(what, name, number, *place) for number, what, *place in wrong])
    return Policy(name, rows)


def _row(number: int, cells: Mapping[str, str]) -> PolicyRow:
    texts = {column: text for column, text in cells.items() if column != "queue_kinds"}
    return PolicyRow(number=number, queue_kinds=tuple(cells["queue_kinds"].split()), **texts)


def _row_problems(row: PolicyRow) -> Iterator[tuple[str, str, str, str]]:
    """Yield each problem of one row: its kind, the column, Spanish and English advice."""
    if row.step not in NAMES_BY_STEP:
        yield "bad_step", "step", f"no existe el paso «{row.step}»", f"there is no step '{row.step}'"
        return
    yield from _when_problems(row)
    closed: list[tuple[str, str, tuple[str, ...]]] = [("outcome", row.outcome, OUTCOMES), ("tier", row.tier, TIERS)]
    if row.step == "referral":
        closed = [("urgency", row.urgency, URGENCIES)]
        closed += [("queue_kinds", kind, QUEUE_KINDS) for kind in row.queue_kinds]
    for column, value, allowed in closed:
        if value not in allowed:
            listed = ", ".join(allowed)
            yield "bad_value", column, f"«{value}» no es uno de: {listed}", f"'{value}' is not one of: {listed}"
    for column in ("source", "provenance", *(("guidance",) if row.step == "referral" else ())):
        if not getattr(row, column):
            yield "empty", column, f"falta el valor de «{column}»", f"'{column}' is empty"


def _when_problems(row: PolicyRow) -> Iterator[tuple[str, str, str, str]]:
    try:
        used = set(row.condition.names())
    except ValueError as error:
        es, en = f"no se entiende «{row.when}» en {error}", f"'{row.when}' cannot be parsed at {error}"
        yield "bad_when", "when", es, en
        return
    for unknown in sorted(used - NAMES_BY_STEP[row.step]):
        if row.step == "undecided" or not INDICATOR_CODE.fullmatch(unknown):
            es, en = f"el paso {row.step} no conoce «{unknown}»", f"the step {row.step} does not know '{unknown}'"
            yield "unknown_name", "when", es, en


def _step_problems(rows: tuple[PolicyRow, ...]) -> Iterator[tuple[int, str, str, str, str]]:
    for step in NAMES_BY_STEP:
        of_step = [row for row in rows if row.step == step]
        if not of_step or of_step[-1].when != "always":
            es = f"el paso {step} debe terminar con una fila «always»: nadie queda sin respuesta"
            en = f"the step {step} must end with an 'always' row, so that every screening gets a result"
            yield of_step[-1].number if of_step else 0, "no_last_row", "when", es, en
