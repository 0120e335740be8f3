"""Two small forms for the agreement of the engines: a cascade of filtered choices, and odd numbers, dates and codes.

`support.forms` compiles them. They contain constructions that the catalogue lacks or has once only.
"""

CASCADE = """
# Region, district and named place, each filtered by the one before, and a select_multiple with a filter.

| survey | type | name | label::Español (es) | relevant | required | constraint | choice_filter | route | calculation |
| | select_one yn | peligro | ¿Hay peligro? | | yes | | | | |
| | select_one consent | permiso | ¿Quiere hablar? | ${peligro}='no' | yes | | | consent | |
| | select_one age | edad | ¿Qué edad tiene? | | yes | | | age_band | |
| | select_one region | region | ¿En qué región? | | yes | | | | |
| | select_one district | distrito | ¿En qué distrito? | | | | region=${region} or region='all' | | |
| | select_one place | lugar | ¿En qué lugar? | | | | district=${distrito} or district='all' | | |
| | select_one camp | barrio | ¿En qué parte? | ${distrito}!='' | yes | | (region=${region} and district!=${distrito}) or place=${lugar} or region='all' | | |
| | begin_group | adulto | Trabajo | ${permiso}='yes' and (${edad}='18_29' or ${edad}='30_59') | | | | | |
| | select_one work | trabajo | ¿Qué trabajo hace? | | | | | | |
| | select_multiple sign | senas | ¿Qué le pasa? | | | not(selected(., 'none') and count-selected(.) > 1) | work=${trabajo} or work='all' or (region=${region} and ${trabajo}='mine') | | |
| | select_one ynd | encierro | ¿Lo encierran? | ${lugar}='la_pampa' or selected(${senas},'watched') | | | | | |
| | begin_group | mina | La mina | ${distrito}='170104' or selected(${senas},'gas') | | | | | |
| | select_one ynd | deuda | ¿Tiene una deuda? | selected(${senas},'debt') or ${trabajo}='mine' | | | | | |
| | select_multiple sign | otras | ¿Qué vio en otros? | | | | (work=${trabajo} and not(selected(${senas},'none'))) or work='all' | | |
| | end_group | | | | | | | | |
| | end_group | | | | | | | | |
| | calculate | cuantas | | | | | | | count-selected(${senas}) |
| | calculate | donde | | | | | | | concat(${region}, '-', ${distrito}, '-', ${lugar}, '-', ${barrio}) |
| | calculate | varias | | | | | | | if(count-selected(${senas}) + count-selected(${otras}) > 2, 'many', 'few') |
| | begin_group | score | Orientación | ${permiso}='yes' or ${peligro}='yes' or ${edad}='14_17' | | | | | |
| | acknowledge | a_salvo | Mostrar | | | | | | |
{guidance}
| | end_group | | | | | | | | |

| choices | list_name | name | label::Español (es) | region | district | place | work |
| | yn | yes | Sí | | | | |
| | yn | no | No | | | | |
| | consent | yes | Sí | | | | |
| | consent | no | No | | | | |
| | consent | no_answer | No responde | | | | |
| | age | 14_17 | 14 a 17 | | | | |
| | age | 18_29 | 18 a 29 | | | | |
| | age | 30_59 | 30 a 59 | | | | |
| | ynd | yes | Sí | | | | |
| | ynd | no | No | | | | |
| | ynd | no_answer | No responde | | | | |
| | ynd | does_not_know | No sabe | | | | |
| | region | 17 | Madre de Dios | | | | |
| | region | 21 | Puno | | | | |
| | region | 08 | Cusco | | | | |
| | district | 170104 | Laberinto | 17 | | | |
| | district | 170103 | Las Piedras | 17 | | | |
| | district | 210902 | Ananea | 21 | | | |
| | district | 080901 | Santa Ana | 08 | | | |
| | district | no_answer | No responde | all | | | |
| | district | does_not_know | No sabe | all | | | |
| | place | bar | Un bar | | all | | |
| | place | la_pampa | La Pampa | | 170104 | | |
| | place | el_puerto | El puerto | | 170103 | | |
| | place | la_rinconada | La Rinconada | | 210902 | | |
| | place | no_answer | No responde | | all | | |
| | place | does_not_know | No sabe | | all | | |
| | camp | kilometro | El kilómetro 108 | 17 | 170103 | la_pampa | |
| | camp | orilla | La orilla | 17 | 170104 | el_puerto | |
| | camp | cumbre | La cumbre | 21 | 170104 | la_rinconada | |
| | camp | otro | Otra parte | all | all | all | |
| | work | mine | Una mina | | | | |
| | work | bar | Un bar | | | | |
| | work | farm | Una chacra | | | | |
| | work | no_answer | No responde | | | | |
| | work | does_not_know | No sabe | | | | |
| | sign | gas | Respira mercurio | 17 | | | mine |
| | sign | debt | Tiene una deuda | 21 | | | mine |
| | sign | drink | Tiene que beber | none | | | bar |
| | sign | watched | La vigilan | none | | | bar |
| | sign | papers | Le quitaron el DNI | none | | | all |
| | sign | hit | Le pegan | none | | | all |
| | sign | none | Nada | none | | | all |
| | sign | no_answer | No responde | none | | | all |
| | sign | does_not_know | No sabe | none | | | all |

| settings | form_id | form_title | version | default_language | indicator_set | policy | profile | languages |
| | cascade | Tres niveles | 1 | Español (es) | ilo_delphi_2009 | pe_adult_2026_1 | adult_labour | es |

| indicators | code | when |
| | minor | ${edad}='14_17' |
| | danger | ${peligro}='yes' |
| | consent | ${permiso}='yes' |
| | place | ${lugar}='bar' |
| | X.02 | ${lugar}='bar' or selected(${senas},'drink') |
| | D1.01 | selected(${senas},'gas') |
| | D1.05 | selected(${senas},'drink') and ${lugar}='bar' |
| | D2.03 | selected(${senas},'debt') and ${deuda}='yes' |
| | D4.04 | selected(${otras},'hit') or selected(${otras},'gas') |
| | D5.01 | selected(${senas},'papers') |
| | D5.02 | ${encierro}='yes' or (${lugar}='la_pampa' and selected(${senas},'hit')) |
| | D5.14 | ${deuda}='yes' and ${distrito}='170104' |

| cases | case | outcome | peligro | permiso | edad | region | distrito | lugar | trabajo | senas |
| | Peligro ahora | positive | yes | | 18_29 | 17 | | | | |
| | No quiere hablar | not_scored | no | no | 30_59 | 21 | | | | |
"""  # noqa: E501
"""The list `otras` may offer nothing. `barrio` is required. Filters name one question, two, and a select_multiple."""

ODD = """
# Numbers, dates and codes on which programs differ most: signs, zeros in front, the largest, leap days.

| survey | type | name | label::Español (es) | relevant | required | constraint | choice_filter | route | calculation | reason |
| | select_one yn | peligro | ¿Hay peligro? | | yes | | | | | |
| | select_one consent | permiso | ¿Quiere hablar? | ${peligro}='no' | yes | | | consent | | |
| | select_one age | edad | ¿Qué edad tiene? | | yes | | | age_band | | |
| | integer | saldo | ¿Cuánto le queda? | | | | | | | |
| | integer | horas | ¿Cuántas horas? | | | . >= 0 and . <= 24 | | | | |
| | integer | meses | ¿Cuántos meses? | ${saldo} <= 0 or ${saldo} >= 2147483647 | | . >= ${saldo} | | | | |
| | date | desde | ¿Desde cuándo? | | | . != '1900-01-02' | | | | |
| | date | hasta | ¿Hasta cuándo? | ${desde} != '' | | . != ${desde} | | | | |
| | select_one code | codigo | ¿Qué código? | | | | | | | |
| | select_one whole | entero | ¿Qué entero? | | | | | | | |
| | select_one strange | raro | ¿Qué texto raro? | | | | | | | |
| | text | nota | Nota | | | | | | | Prueba de textos que parecen números. |
| | begin_group | adulto | Trabajo | ${permiso}='yes' and (${edad}='18_29' or ${edad}='30_59') | | | | | | |
| | select_one ynd | bisiesto | ¿Empezó ese día? | ${desde} = '2024-02-29' or ${desde} = '9999-12-31' | | | | | | |
| | select_one ynd | deuda | ¿Debe? | ${saldo} < 0 | | | | | | |
| | select_one ynd | nunca | ¿Nunca cobró? | ${saldo} = 0 and ${meses} != 0 | | | | | | |
| | end_group | | | | | | | | | |
{calculates}
| | begin_group | score | Orientación | ${permiso}='yes' or ${peligro}='yes' or ${edad}='14_17' | | | | | | |
| | acknowledge | a_salvo | Mostrar | | | | | | | |
{guidance}
| | end_group | | | | | | | | | |

| choices | list_name | name | label::Español (es) |
| | yn | yes | Sí |
| | yn | no | No |
| | consent | yes | Sí |
| | consent | no | No |
| | consent | no_answer | No responde |
| | age | 14_17 | 14 a 17 |
| | age | 18_29 | 18 a 29 |
| | age | 30_59 | 30 a 59 |
| | ynd | yes | Sí |
| | ynd | no | No |
| | ynd | no_answer | No responde |
| | ynd | does_not_know | No sabe |
{codes}
| | whole | no_answer | No responde |
| | whole | does_not_know | No sabe |
| | strange | no_answer | No responde |
| | code | no_answer | No responde |
| | code | does_not_know | No sabe |

| settings | form_id | form_title | version | default_language | indicator_set | policy | profile | languages |
| | odd | Números raros | 1 | Español (es) | ilo_delphi_2009 | pe_adult_2026_1 | adult_labour | es |

| indicators | code | when |
| | minor | ${edad}='14_17' |
| | danger | ${peligro}='yes' |
| | consent | ${permiso}='yes' |
| | place | ${codigo}='007' |
| | X.02 | ${codigo}='08' |
| | D1.01 | ${desde} = '2024-02-29' |
| | D1.05 | ${saldo} >= 2147483647 |
| | D1.08 | ${saldo} = 0 |
| | D2.03 | ${saldo} < 0 and ${deuda}='yes' |
| | D4.01 | ${horas} >= 12 |
| | D2.01 | ${entero} >= 12 |
| | D2.02 | ${entero} = 0 |
| | D4.04 | ${saldo} < 0 or ${meses} = 7 |
| | D5.02 | ${nunca}='yes' |
| | D5.14 | ${deuda}='yes' and ${desde} = '9999-12-31' |
| | D5.01 | ${bisiesto}='yes' and ${saldo} >= 0 |

| cases | case | outcome | peligro | permiso | edad |
| | Peligro ahora | positive | yes | | 18_29 |
| | No quiere hablar | not_scored | no | no | 30_59 |
"""  # noqa: E501

ODD_CALCULATES = (
    "${saldo} + 1",
    "${saldo} - 1",
    "-${saldo}",
    "${saldo} + ${meses}",
    "0 - ${horas}",
    "${saldo} + ${saldo} + ${saldo}",
    "if(${saldo} = 0, 'zero', 'other')",
    "if(-${saldo} = 0, 'zero', 'other')",
    "if(${saldo} = ${meses}, 'same', 'other')",
    "if(${saldo} != ${meses}, 'other', 'same')",
    "if(${saldo} >= ${meses}, 'more', 'less')",
    "if(${saldo} > 2147483646, 'most', 'less')",
    "if(${saldo} >= -2147483648, 'least', 'less')",
    "if(${saldo} = 12, 1, 0)",
    "if(${saldo} >= 7.5, 1, 0)",
    "if(${saldo} + 0.5 > ${meses}, 1, 0)",
    "if(${desde} = '2024-02-29', 'leap', 'other')",
    "if(${desde} = ${hasta}, 'same', 'other')",
    "if(${desde} != '9999-12-31', 'before', 'last')",
    "if(${desde} = '', 'blank', 'said')",
    "concat(${saldo}, ' ', ${desde}, ' ', ${hasta})",
    "if(${codigo} = 7, 1, 0)",
    "if(${codigo} >= 8, 1, 0)",
    "if(${codigo} < 0.6, 1, 0)",
    "if(${codigo} = '007', 1, 0)",
    "${entero} + 1",
    "-${entero}",
    "if(${entero} = 0, 1, 0)",
    "if(${raro} = '0x10' or ${raro} = 'Infinity', 1, 0)",
    "if(${nota} = ${raro}, 1, 0)",
    "if(${nota} = '007', 1, 0)",
    "if(${odd0} > 5, 1, 0)",
    "if(${odd2} = '0', 1, 0)",
    "${odd5} + 1",
)
"""Those with `${codigo}`, `${entero}` and `${raro}` use the codes below."""

_LISTS = {
    "code": ("007", "08", "0", "-5", ".5", "5.", "1-2", "1.5.2", "-", ".", "12", "-0", "7", "5d", "NaN"),
    "whole": ("0", "-0", "00012", "-7", "99999999999", "999999999999999", "otro"),
    "strange": ("1e3", "0x10", "Infinity", "-Infinity", "0b1", "99999999999999999999", "007"),
}
"""Codes that engines read as the same number or as none; whole ones, for sums; and those that only texts compare."""

_GUIDANCE = ("danger", "child", "protection", "duty", "labour", "review", "counted", "none")


def markdown(form: str) -> str:
    """Return the workbook of `cascade` or `odd`."""
    shown = "| | note | guidance_{0} | Ver {0}. | ${{a_salvo}}='OK' and ${{guidance}}='guidance_{0}' |"
    guidance = "\n".join(shown.format(name) for name in _GUIDANCE)
    if form == "cascade":
        return CASCADE.replace("{guidance}", guidance)
    rows = "\n".join(f"| | calculate | odd{n} | | | | | | | {text} |" for n, text in enumerate(ODD_CALCULATES))
    listed = [(name, code) for name, codes in _LISTS.items() for code in codes]
    codes = "\n".join(f"| | {name} | {code} | El código {code} |" for name, code in listed)
    return ODD.replace("{guidance}", guidance).replace("{calculates}", rows).replace("{codes}", codes)
