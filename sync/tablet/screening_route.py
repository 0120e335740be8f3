"""What a tablet derives from a filled form in order to send it: the route, and the place that chooses the keyring.

`client.py` calls it when an interview is complete. A value outside the vocabulary must never cost a screening: the
route leaves it out.
"""

import re
from datetime import date

from screening_forms.compiled_form import CompiledForm
from screening_forms.engine.evaluator import FilledForm
from sync.envelope.route import Route
from sync.errors import SyncError

_PLACE = re.compile(r"[0-9]{2}|[0-9]{4}|[0-9]{6}")
_PROVINCE_DIGITS = 4


def build_route(form: CompiledForm, sha: str, filled: FilledForm, taken: date) -> Route:
    """Return the facts of a screening that the server may read, as the form maps them (SPEC 7)."""
    values = filled.values
    fields = {name: values[question] for name, question in form.route.items() if values.get(question)}
    fields.pop("province", None)
    if place := place_of(form, filled):
        # A region of two digits is written like a province that is not known: 17 becomes 1700 (SPEC 7.1).
        fields["province"] = place[:_PROVINCE_DIGITS].ljust(_PROVINCE_DIGITS, "0")
    fields |= {name: values[name] for name in ("tier", "urgency") if values.get(name)}
    fields |= {"outcome": values.get("outcome") or "not_scored", "mode": form.channel, "taken": taken.isoformat()}
    content = {**fields, "queue_kinds": sorted(values.get("queue_kinds", "").split())}
    route_content = {
        name: value for name, value in content.items() if name not in form.omit_route and _is_in_vocabulary(name, value)
    }
    return Route.from_content({"form": form.form_id, "sha": sha, **route_content})


def place_of(form: CompiledForm, filled: FilledForm) -> str:
    """Return INEI's code of the interview's place: a district, a province or a region (6, 4 or 2 digits).

    It is empty if the form has none. Then the national desk reads the screening (SPEC 5.2).
    """
    answer = filled.values.get(form.route.get("province", ""), "")
    return answer if _PLACE.fullmatch(answer) else ""


def _is_in_vocabulary(name: str, value: object) -> bool:
    try:
        Route.from_content({name: value})
    except SyncError:
        return False
    return True
