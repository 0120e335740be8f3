"""Forms and generated interviews for the tests of the compiler and the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from random import Random

from screening_forms.compiled_form import CompiledForm
from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import Engine, FilledForm
from screening_forms.engine.xform_reader import Node
from screening_forms.impact.synthetic_interviews import InterviewGenerator
from screening_forms.workbook.reader import Workbook, parse_markdown, read_workbook
from screening_forms.workbook.resources import CATALOGUE
from support import agreement_forms
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.route import AUTHOR_FIELDS

SMALL = """
# Ten questions with filters that can be refused, in groups inside groups: everything the score has to get right.

| survey | type | name | label::Español (es) | relevant | required | constraint | choice_filter | route |
| | select_one yn | peligro | ¿Hay peligro? | | yes | | | |
| | select_one consent | permiso | ¿Quiere hablar? | ${peligro}='no' | yes | | | consent |
| | select_one age | edad | ¿Qué edad tiene? | | yes | | | age_band |
| | begin_group | adulto | Trabajo | ${permiso}='yes' and (${edad}='18_29' or ${edad}='30_59') | | | | |
| | select_one ynd | oferta | ¿Le ofrecieron el trabajo? | | | | | |
| | begin_group | trato | El trato | ${oferta}='yes' | | | | |
| | select_multiple lies | mentira | ¿Qué no era verdad? | | | not(selected(., 'none') and count-selected(.) > 1) | | |
| | date | desde | ¿Desde cuándo? | selected(${mentira},'job') or selected(${mentira},'pay') | | | | |
| | end_group | | | | | | | |
| | select_one ynd | deuda | ¿Tiene una deuda? | ${oferta}='yes' or ${oferta}='no' | | | | |
| | begin_group | debe | La deuda | ${deuda}='yes' | | | | |
| | select_one ynd | atado | ¿No puede irse por la deuda? | | | | | |
| | end_group | | | | | | | |
| | integer | horas | ¿Cuántas horas al día? | | | . >= 0 and . <= 24 | | |
| | end_group | | | | | | | |
| | select_one region | region | ¿En qué región? | | | | | |
| | select_one place | lugar | ¿En qué lugar? | | | | region=${region} or region='all' | |
| | begin_group | score | Orientación | ${permiso}='yes' or ${peligro}='yes' or ${edad}='14_17' | | | | |
| | acknowledge | a_salvo | Mostrar | | | | | |
| | note | guidance_danger | Peligro. | ${a_salvo}='OK' and ${guidance}='guidance_danger' | | | | |
| | note | guidance_child | Niñez. | ${a_salvo}='OK' and ${guidance}='guidance_child' | | | | |
| | note | guidance_protection | Protección. | ${a_salvo}='OK' and ${guidance}='guidance_protection' | | | | |
| | note | guidance_duty | Deber. | ${a_salvo}='OK' and ${guidance}='guidance_duty' | | | | |
| | note | guidance_labour | Trabajo. | ${a_salvo}='OK' and ${guidance}='guidance_labour' | | | | |
| | note | guidance_review | Revisar. | ${a_salvo}='OK' and ${guidance}='guidance_review' | | | | |
| | note | guidance_counted | Contado. | ${a_salvo}='OK' and ${guidance}='guidance_counted' | | | | |
| | note | guidance_none | Nada. | ${a_salvo}='OK' and ${guidance}='guidance_none' | | | | |
| | end_group | | | | | | | |

| choices | list_name | name | label::Español (es) | region |
| | yn | yes | Sí | |
| | yn | no | No | |
| | consent | yes | Sí | |
| | consent | no | No | |
| | consent | no_answer | No responde | |
| | age | 14_17 | 14 a 17 | |
| | age | 18_29 | 18 a 29 | |
| | age | 30_59 | 30 a 59 | |
| | ynd | yes | Sí | |
| | ynd | no | No | |
| | ynd | no_answer | No responde | |
| | ynd | does_not_know | No sabe | |
| | lies | job | El trabajo | |
| | lies | pay | El pago | |
| | lies | housing | La vivienda | |
| | lies | none | Nada | |
| | lies | no_answer | No responde | |
| | lies | does_not_know | No sabe | |
| | region | 17 | Madre de Dios | |
| | region | 21 | Puno | |
| | place | bar | Un bar | all |
| | place | la_pampa | La Pampa | 17 |
| | place | la_rinconada | La Rinconada | 21 |
| | place | no_answer | No responde | all |
| | place | does_not_know | No sabe | all |

| settings | form_id | form_title | version | default_language | indicator_set | policy | profile | languages |
| | small | Diez preguntas | 1 | Español (es) | ilo_delphi_2009 | pe_adult_2026_1 | adult_labour | es |

| indicators | code | when |
| | minor | ${edad}='14_17' |
| | danger | ${peligro}='yes' |
| | consent | ${permiso}='yes' |
| | place | ${lugar}='bar' |
| | X.02 | ${lugar}='bar' |
| | D1.01 | selected(${mentira},'job') |
| | D1.05 | selected(${mentira},'housing') |
| | D1.08 | selected(${mentira},'pay') and ${atado}='yes' |
| | D2.03 | ${deuda}='yes' and ${atado}='no' |
| | D4.01 | ${horas} >= 12 |
| | D4.04 | ${horas} > 8 and (${deuda}='yes' or selected(${mentira},'pay')) |
| | D4.04 | ${atado}='yes' |
| | D5.02 | ${atado}='yes' |
| | D5.14 | ${deuda}='yes' |

| cases | case | outcome | tier | queue_kinds | peligro | permiso | edad | oferta | deuda | atado | horas | mentira |
| | Peligro ahora | positive | danger | protection | yes | | 18_29 | | | | | |
| | Deuda y encierro | positive | T1 | protection | no | yes | 30_59 | yes | yes | yes | 14 | job pay |
| | No contesta | review | T4 | review | no | yes | 30_59 | yes | no_answer | | | |
| | No quiere hablar | not_scored | | | no | no | 30_59 | | | | | |
"""

_WHOLE_SIGNS = {
    "${lugar}='bar'": ("X.01", "X.03"),
    "selected(${mentira},'pay') and ${oferta}='yes'": ("D3.01", "D3.02", "D3.03"),
    "selected(${mentira},'job') and ${atado}='yes'": ("D6.01", "D6.02", "D6.03"),
    "selected(${mentira},'pay') and ${atado}='yes' and ${horas} >= 10": ("D2.01", "D2.02", "D2.05"),
    "${atado}='yes' and ${horas} >= 10": ("D5.01", "D5.03", "D5.04"),
    "${atado}='yes' and ${horas} >= 11": ("D5.07", "D5.08", "N.01"),
}
"""Signs that the policy decides with, on conditions without sense: at most three on one."""

_WHOLE_CHANGES = (
    ("choice_filter | route |", "choice_filter | route | reason |"),
    (
        "| | select_one consent | permiso | ¿Quiere hablar? | ${peligro}='no' | yes | | | consent |",
        """| | select_one yn | a_solas | ¿Están a solas? | ${peligro}='no' | yes | | | |
| | select_one yn | privado | ¿Nadie más puede oírles? | ${peligro}='no' | yes | | | |
| | select_one yn | seguro | ¿Es seguro hablar ahora? | ${peligro}='no' | yes | | | |
| | select_one yn | interprete | ¿Está el intérprete, si hace falta? | ${peligro}='no' | yes | | | |
| | select_one consent | permiso | ¿Quiere hablar? | GATE | yes | | | |""",
    ),
    (" GATE ", " ${a_solas}='yes' and ${privado}='yes' and ${seguro}='yes' and ${interprete}='yes' "),
    (
        "or selected(${mentira},'pay') | | | | |",
        "or selected(${mentira},'pay') | | | | | El plazo de la denuncia corre desde ese día. |",
    ),
    (
        "| | begin_group | score",
        "| | select_one consent | deriva | ¿Acepta que avisemos? | ${permiso}='yes' | | | | consent |\n"
        "| | begin_group | score",
    ),
    (
        "| | note | guidance_none |",
        "| | note | guidance_seen | Visto. | ${a_salvo}='OK' and ${guidance}='guidance_seen' | | | | | |\n"
        "| | note | guidance_none |",
    ),
    ("| languages |", "| unreached_on_purpose | languages |"),
    ("| adult_labour | es |", "| adult_labour | yes | es |"),
    ("| consent | ${permiso}='yes' |", "| consent | ${deriva}='yes' |"),
    ("| ilo_delphi_2009 | pe_adult_2026_1 |", "| ilo_delphi_2026_1 | pe_adult_2026_2 |"),
    (
        "| | D4.01 |",
        "".join(f"| | {code} | {when} |\n" for when, codes in _WHOLE_SIGNS.items() for code in codes) + "| | D4.01 |",
    ),
    ("| peligro | permiso |", "| peligro | a_solas | privado | seguro | interprete | permiso | deriva |"),
    ("| yes | | 18_29 |", "| yes | | | | | | | 18_29 |"),
    ("| no | yes | 30_59 | yes | yes |", "| no | yes | yes | yes | yes | yes | yes | 30_59 | yes | yes |"),
    ("| no | yes | 30_59 | yes | no_answer |", "| no | yes | yes | yes | yes | yes | yes | 30_59 | yes | no_answer |"),
    ("| no | no | 30_59 |", "| no | yes | yes | yes | yes | no | | 30_59 |"),
)


def _whole() -> str:
    text = SMALL
    for old, new in _WHOLE_CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


WHOLE = _whole()
"""The ten questions with all that the channel `field` demands of a form of persons."""

# XPath engines differ here: blanks, numbers compared with texts, sums of conditions.
EDGES = (
    "if(${horas} = 8, 'eight', 'other')",
    "if(${horas} != 8, 1, 0)",
    "if(${horas} = '', 'blank', 'said')",
    "if(8 <= ${horas}, 1, 0)",
    "${horas} + 1",
    "${horas} - 24",
    "-${horas}",
    "(${deuda} = 'yes') + (${horas} > 8) + 1",
    "count-selected(${mentira})",
    "if(count-selected(${mentira}) >= 2, 'many', 'few')",
    "if(selected(${mentira}, 'pay') or not(${deuda} = 'yes'), 1, 0)",
    "if(${desde} = '2026-10-31', 1, 0)",
    "if(${desde} = '', 'blank', 'said')",
    "concat(${horas}, '-', ${horas}, if((${oferta} = ${deuda}), ' same', ''), ${deuda})",
    "if(${edge4} > 8, 1, if(${edge4} = 1, 2, 3))",
    "if(${edge0} = 'eight' and (${edge1} = 0 or ${edge1} = '1'), ${edge4}, 'none')",
    "if(${oferta} = 8, 1, 0)",
    "if(${oferta} < 8, 1, 0)",
    "if(${region} = 17, 1, 0)",
    "if(${region} >= 17.5, 1, 0)",
    "'constant'",
    "7",
)

CATALOGUE_FORMS = tuple(sorted(path.parent.name for path in CATALOGUE.glob("*/form.md")))


SMALL_FORMS = ("small", "edges", "cascade", "odd")


def workbook(form: str) -> Workbook:
    """Return a small form or a catalogue form.

    `small`: ten questions. `edges`: the same with an author's calculates. `cascade`, `odd`: support.agreement_forms.
    """
    if form == "edges":
        rows = "".join(f"| | calculate | edge{n} | | | | | | | {text} |\n" for n, text in enumerate(EDGES))
        text = SMALL.replace("choice_filter | route |", "choice_filter | route | calculation |", 1)
        return parse_markdown(text.replace("| | begin_group | score", rows + "| | begin_group | score", 1))
    if form in ("cascade", "odd"):
        return parse_markdown(agreement_forms.markdown(form))
    return parse_markdown(SMALL) if form == "small" else read_workbook(CATALOGUE / form / "form.md")


@cache
def compiled(form: str, channel: str = "training") -> CompiledForm:
    """A compiled form of `workbook`."""
    return compile_form(workbook(form), channel=channel, route_vocabulary=AUTHOR_FIELDS)


def wishes(engine: Engine, draws: Random) -> dict[str, str]:
    """Draw an answer for every question, whether it is relevant or not; the answers fit together."""
    return _inventor(engine).draw_answers(draws)


_inventor = cache(InterviewGenerator)


def walk(engine: Engine, passes: list[dict[str, str]], *, choices_return: bool = False) -> FilledForm:
    """Fill a form as a person does: only relevant questions, in order; each further pass starts at the beginning.

    An empty answer takes the former one back. As in Collect, the answer to a question that is no longer relevant is
    stored and returns with the question. A choice that is no longer offered is lost when the question is shown;
    `choices_return`: as in Web Forms, it is only hidden, and returns when it is offered again.
    """
    stored: dict[str, str] = {}
    filled = engine.drop_irrelevant(stored)
    for answers in passes:
        for node in engine.questions:
            if node.name not in filled.relevant:
                continue
            before = dict(stored)
            if node.filter and not choices_return:
                _store(stored, node.name, engine.offered_part(node.name, filled))
            if node.name in answers and _accepts(engine, node, filled.answers, answers[node.name]):
                _store(stored, node.name, answers[node.name])
            if stored != before:
                filled = engine.drop_irrelevant(_without_hidden_choices(engine, stored) if choices_return else stored)
    return filled


def _store(stored: dict[str, str], name: str, text: str) -> None:
    stored.pop(name, None)
    if text:
        stored[name] = text


def _accepts(engine: Engine, node: Node, answers: Mapping[str, str], text: str) -> bool:
    if not (node.filter or node.constraint):
        return True
    return node.name not in engine.rejected({**answers, node.name: text})


def _without_hidden_choices(engine: Engine, stored: Mapping[str, str]) -> dict[str, str]:
    """Return the answers without the choices that are not offered now; a filter may depend on a filtered question."""
    shown = dict(stored)
    for node in engine.questions:
        if node.filter and node.name in shown:
            _store(shown, node.name, engine.offered_part(node.name, engine.drop_irrelevant(shown)))
    return shown


def sealed_size(instance: bytes, bucket: int) -> int:
    """The bytes that a tablet encrypts of an instance with any context: the bucket, or more if it does not fit."""
    content = Content(instance, Context(hashlib.sha256(instance).hexdigest()))
    return len(seal.pack_plaintext(content.to_bytes(), bucket))
