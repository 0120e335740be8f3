"""Tests of orthography and glossary: the findings that a translator gets, and the texts without findings."""

from __future__ import annotations

import pytest

from screening_forms.texts.glossary import Glossary
from screening_forms.texts.orthography import spelling_findings

WORDS = """\
es,quz,ayr,note
deuda,manu,manu,
pregunta,tapukuy / tapuy,jiskt’awi,
amenazar,manchachiy,axsarayaña,
sí,arí,jisa,
permiso (decir que sí),arí niy,iyaw saña,
trabajador o trabajadora,llamk’aq,irnaqiri,
menor de edad,mana 18 watayuqraq,janïr 18 marani,
comida,mikhuna,,todavía sin palabra en ayr
"""


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("quz", "¿P’unchawnintin llank’ankichu? Ari, ch’usaq, Huepetuhe llaqtapi, Madre de Dios."),
        ("quz", "Qullqita qusunki, DNI kaqtin, contrato kaqtin."),
        ("ayr", "Jumax irnaqtati? Jïsa, ch’amaxa, sutïtaxa, Putina markanxa."),
        ("es", "Otro alfabeto: el del castellano."),
    ],
)
def test_the_official_alphabets_are_accepted(lang: str, text: str) -> None:
    assert spelling_findings(text, lang, frozenset({"contrato"})) == []


@pytest.mark.parametrize(
    ("lang", "text", "found"),
    [
        ("quz", "ch'usaq", ["apóstrofo ' en lugar de ’"]),
        ("quz", "chʼusaq", ["apóstrofo ʼ en lugar de ’"]),
        ("quz", "sutin ${nombre}", ["${nombre}"]),
        ("quz", "qolqe", ["«qolqe» (o, e: solo hay a, i, u)"]),
        ("quz", "huq ñanta rinki vida", ["«vida» (fuera del alfabeto: v, d)"]),
        ("quz", "allin m’iski", ["«m’iski»"]),
        ("quz", "llaqta\u00adpi", ["signo invisible U+00AD"]),
        ("ayr", "hilata", ["«hilata»"]),
        ("ayr", "suti\u0308taxa", ["no está en la forma Unicode NFC"]),
        ("ayr", "sutītaxa", ["«sutītaxa» (fuera del alfabeto: ī)"]),
    ],
)
def test_other_spellings_are_reported_with_the_reason(lang: str, text: str, found: list[str]) -> None:
    assert spelling_findings(text, lang) == found


@pytest.mark.parametrize(
    ("spanish", "text", "lang", "missed"),
    [
        ("¿Tiene deudas?", "¿Manuyki kanchu?", "quz", []),
        ("¿Tiene deudas?", "¿Qullqita qunaykichu?", "quz", ["deuda"]),
        ("No haga más preguntas.", "Amaña astawan tapuychu.", "quz", []),
        ("¿Le hicieron una pregunta?", "¿Kunatsa jiskt’awayätamxa?", "ayr", []),
        ("¿Le amenazaron?", "¿Manchachisurqankichu?", "quz", []),
        ("¿Le amenazaron?", "¿Phiñasunkichu?", "quz", ["amenazar"]),
        ("¿Le amenazan?", "¿Axsarayapxtamti?", "ayr", []),
        ("Sí", "Arí", "quz", []),
        ("Sí", "Riki", "quz", ["sí"]),
        ("Sí, quiero", "Munani", "quz", []),
        ("Las trabajadoras", "Warmikuna", "quz", ["trabajadora"]),
        ("Es menor de edad", "18 watayuqraq mana", "quz", []),
        ("Es menor de edad", "Wayna", "quz", ["menor de edad"]),
        ("La comida", "Manq’a", "ayr", []),
        ("El viudo", "Ijma", "quz", []),
    ],
)
def test_an_agreed_word_is_found_by_its_stem_and_its_absence_is_reported(
    spanish: str, text: str, lang: str, missed: list[str]
) -> None:
    assert [term.spanish for term in Glossary(WORDS).findings(spanish, text, lang)] == missed


def test_the_glossary_of_the_release_has_both_languages() -> None:
    shipped = Glossary.built_in()
    for lang in ("quz", "ayr"):
        assert shipped.findings("¿Tiene una deuda?", "?", lang)[0].agreed == ("manu",)
