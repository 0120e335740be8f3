"""The vectors of dropping answers: an instance before sealing, and the one that is sealed (SPEC 8.1 step 0)."""

from collections.abc import Callable
from typing import Any

from vector_makers.fixed_inputs import Case, case

ROUTE = {
    "province": "distrito",
    "age_band": "edad",
    "sex": "sexo",
    "sector": "sector",
    "consent": "deriva",
    "lang": "idioma",
}
HEAD = '<data id="pe_laboral_adulto" version="3">'
MARKED = '<data id="pe_laboral_adulto" version="3" answers="dropped">'
AGE, PLACE = "<g1><edad>18_29</edad><sexo>male</sexo></g1>", "<g2><distrito>081203</distrito></g2>"
TALKED = "<g3><idioma>quz</idioma></g3><g4><sector>gold_mining</sector></g4>"


def instance(
    deriva: str = "",
    *,
    outcome: str = "positive",
    tier: str = "T1",
    urgency: str = "prompt",
    kinds: str = "",
    danger: str = "no",
    age: str = AGE,
) -> str:
    """Write an interview with answers that must not leave the tablet if the person is only counted."""
    answers = "<sector>gold_mining</sector><deuda>yes</deuda><g5><salir>none</salir></g5><horas>12</horas>"
    consent = f"<deriva>{deriva}</deriva>" if deriva else ""
    queues = f"<queue_kinds>{kinds}</queue_kinds>" if kinds else ""
    score = f"<outcome>{outcome}</outcome><tier>{tier}</tier><urgency>{urgency}</urgency>{queues}"
    place = "<g2><region>08</region><distrito>081203</distrito><lugar>quincemil</lugar></g2>"
    opening = f"<peligro>{danger}</peligro><consiente>yes</consiente>{age}{place}"
    return f"{HEAD}{opening}<g3><idioma>quz</idioma></g3><g4>{answers}</g4>{consent}<score>{score}</score></data>"


def counted(deriva: str = "", score: str = "<outcome>positive</outcome><tier>T1</tier>") -> str:
    consent = f"<deriva>{deriva}</deriva>" if deriva else ""
    return f"{MARKED}{AGE}{PLACE}{TALKED}{consent}<score>{score}</score></data>"


def _replaced(old: str, new: str) -> Callable[[str], str]:
    def replace(instance: str) -> str:
        assert old in instance
        return instance.replace(old, new, 1)

    return replace


LEAF = "<horas>12</horas>"
REFUSED: dict[str, tuple[str, Callable[[str], str]]] = {
    "no_element": ("No element.", lambda _: " "),
    "cut_off": ("A tag is not closed.", lambda instance: instance.removesuffix("</data>")),
    "crossed_tags": ("Tags are crossed.", _replaced("</g4>", "</g5>")),
    "two_roots": ("Two roots.", lambda instance: instance + instance),
    "element_after": ("An element after the root.", lambda instance: f"{instance}<data/>"),
    "closed_too_often": ("A closing tag after the root.", lambda instance: f"{instance}</data>"),
    "text_after": ("A line end after the root.", lambda instance: f"{instance}\n"),
    "text_before": ("A blank before the root.", lambda instance: f" {instance}"),
    "byte_order_mark": ("A byte order mark.", lambda instance: f"\ufeff{instance}"),
    "too_deep": ("101 levels of elements.", _replaced(LEAF, "<g>" * 99 + "x" + "</g>" * 99)),
    "declaration": ("An XML declaration.", lambda instance: f'<?xml version="1.0"?>{instance}'),
    "document_type": ("A DTD.", lambda instance: f"<!DOCTYPE data>{instance}"),
    "comment": ("A comment.", _replaced(LEAF, "<horas>1<!-- -->2</horas>")),
    "processing_instruction": ("A processing instruction.", _replaced(LEAF, "<horas>1<?p q?>2</horas>")),
    "character_data": ("Character data in CDATA.", _replaced(">no</deriva>", "><![CDATA[no]]></deriva>")),
    "end_of_character_data": ("The end of CDATA in a text.", _replaced(LEAF, "<horas>]]></horas>")),
    "unknown_entity": ("An entity that XML does not know.", _replaced(">no<", ">&no;<")),
    "bare_ampersand": ("An ampersand alone.", _replaced(">no<", ">a & b<")),
    "control_character": ("A control character.", _replaced(LEAF, "<horas>\x01</horas>")),
    "no_character": ("U+FFFF is no character of XML.", _replaced(LEAF, "<horas>\uffff</horas>")),
    "reference_to_zero": ("A reference to U+0000.", _replaced(LEAF, "<horas>&#0;</horas>")),
    "reference_to_a_surrogate": ("A reference to half a pair.", _replaced(LEAF, "<horas>&#xD800;</horas>")),
    "reference_above_unicode": ("A reference above U+10FFFF.", _replaced(LEAF, "<horas>&#x110000;</horas>")),
    "reference_in_the_root": ("A reference to U+FFFE in the root.", _replaced('version="3"', 'version="&#xfffe;"')),
    "accent_in_a_name": ("A combining accent in a name.", _replaced(LEAF, "<n\u0303>1</n\u0303>")),
    "letter_in_a_name": ("A name that is not ASCII.", _replaced(LEAF, "<año>1</año>")),
    "middle_dot_in_a_name": ("A middle dot in a name.", _replaced(LEAF, "<q\u00b7>1</q\u00b7>")),
    "digit_before_a_name": ("A name that begins with a digit.", _replaced(LEAF, "<1q>1</1q>")),
    "namespace": ("A namespace.", _replaced("<data ", '<data xmlns="http://www.w3.org/2002/xforms" ')),
    "prefix": ("A prefix without a namespace.", _replaced(LEAF, "<x:horas>12</x:horas>")),
    "prefix_of_a_namespace": (
        "A prefix with its namespace.",
        lambda instance: instance.replace('version="3"', 'version="3" xmlns:x="u"').replace("data", "x:data"),
    ),
    "two_colons": ("Two colons in a name.", _replaced(LEAF, "<a:b:c>1</a:b:c>")),
    "attribute_twice": ("An attribute twice.", _replaced('version="3"', 'version="3" version="4"')),
    "attribute_missing": ("An attribute is missing.", _replaced(' version="3"', "")),
    "attributes_in_another_order": (
        "The attributes in another order.",
        _replaced('id="pe_laboral_adulto" version="3"', 'version="3" id="pe_laboral_adulto"'),
    ),
    "attribute_in_other_quotes": ("An attribute in apostrophes.", _replaced('"3"', "'3'")),
    "attribute_of_a_leaf": ("An attribute of a leaf.", _replaced("<horas>", '<horas a="b">')),
    "another_mark": ("The mark with another value.", _replaced('version="3"', 'version="3" answers="kept"')),
    "line_end_in_an_attribute": ("A line end in an attribute.", _replaced('"3"', '"3\n"')),
    "tab_before_an_attribute": ("A tab before an attribute.", _replaced("<data ", "<data\t")),
    "hard_blank": ("A no-break space before an attribute.", _replaced("<data ", "<data\u00a0")),
    "blank_in_a_tag": ("A blank in a closing tag.", _replaced("</deriva>", "</deriva >")),
}
"""The spellings that step 0 refuses: what changes an instance, by name."""


# A list of cases, longer than a function should be.
def drop_cases() -> dict[str, Case]:
    def check(about: str, before: str, after: str | None, route: dict[str, str] = ROUTE, *omitted: str) -> Case:
        given: dict[str, Any] = {"instance": before, "route": route, "omit_route": list(omitted)}
        return case("drop", "ok", about, given, {"dropped": after is not None, "instance": after or before})

    def refuse(about: str, before: str) -> Case:
        return case("drop", "seal.not_xml", about, {"instance": before, "route": ROUTE, "omit_route": []})

    child = "<g1><edad>14_17</edad><sexo>female</sexo></g1>"
    refused = f"{HEAD}<peligro>no</peligro><consiente>no</consiente><g1><edad>30_59</edad></g1><g2><region>21</region>"
    refused += "<distrito>211002</distrito></g2></data>"
    seen = f"{HEAD}<acompana>answers</acompana>{AGE}<score><outcome>review</outcome><tier>T4</tier>"
    seen += "<urgency>prompt</urgency><queue_kinds>review</queue_kinds></score></data>"
    site = f"{HEAD}<armas>no</armas><distrito>170102</distrito><score><outcome>negative</outcome></score></data>"
    declined = instance("no")
    no_consent = {field: question for field, question in ROUTE.items() if field != "consent"}
    spelled = declined.replace("<g1>", "\n <g1>\tt").replace("<edad>18_29<", "<edad> 18_&#50;&#x39;\r\n<")
    spelled = spelled.replace("</data>", "<start/><end /><meta><sector>s</sector></meta></data>")
    attributes = ' id="a&amp;&lt;&gt;&quot;\'>" version="&#10;ñ &apos;&#x1F600;"'
    deepest = "<g>" * 98 + "<sexo>male</sexo>" + "</g>" * 98
    return {
        "declined": check("An adult declines: outcome, tier and route stay.", declined, counted("no")),
        "no_answer": check("She does not answer the question.", instance("no_answer"), counted("no_answer")),
        "left_open": check("The question was left open.", instance(), counted()),
        "interview_refused": check(
            "She did not want to talk: nothing was scored.",
            refused,
            f"{MARKED}<g1><edad>30_59</edad></g1><g2><distrito>211002</distrito></g2></data>",
        ),
        "undecided": check(
            "Unanswered questions made it a review, and she declined.",
            instance("no", outcome="review", tier="T4", urgency="routine"),
            counted("no", "<outcome>review</outcome><tier>T4</tier>"),
        ),
        "negative": check(
            "No signs, and she declined.",
            instance("no", outcome="negative", tier="none", urgency="none"),
            counted("no", "<outcome>negative</outcome><tier>none</tier>"),
        ),
        "agreed": check("She agreed.", instance("yes", kinds="protection"), None),
        "agreed_without_a_queue": check(
            "She agreed, and no desk has work with it.",
            instance("yes", outcome="negative", tier="none", urgency="none"),
            None,
        ),
        "danger": check(
            "She declined, and is in danger: a desk gets it.",
            instance("no", tier="danger", urgency="immediate", kinds="protection", danger="yes"),
            None,
        ),
        "duty": check("She declined; a duty to report fills a queue.", instance("no", kinds="protection"), None),
        "child": check(
            "A child is never asked for consent.",
            instance(tier="child", urgency="immediate", kinds="child", age=child),
            None,
        ),
        "two_queues": check("Several queues.", instance("no", kinds="child labour"), None),
        "accompanied": check("Only signs that the inspector saw; no interview.", seen, None),
        "no_consent_question": check("A form without a question on consent.", site, None, no_consent),
        "consent_omitted": check(
            "The form leaves consent and sector out of the route: they do not stay either.",
            declined,
            counted().replace("<g4><sector>gold_mining</sector></g4>", ""),
            ROUTE,
            "consent",
            "sector",
        ),
        "consent_omitted_agreed": check(
            "Left out of the route, and she agreed.", instance("yes", kinds="protection"), None, ROUTE, "consent"
        ),
        "blank_queue": check("A queue of white space is none.", instance("no", kinds=" \n"), counted("no")),
        "yes_in_another_spelling": check("Only yes is yes.", instance("YES"), counted("YES")),
        "free_text_in_the_route": check(
            "A text is not a code, and does not stay.",
            declined.replace(">male<", ">Rosa de Juliaca<"),
            counted("no").replace("<sexo>male</sexo>", ""),
        ),
        "spelled_otherwise": check(
            "Another spelling, with blanks, references, empty elements, meta, a text beside elements: the same bytes.",
            spelled,
            counted("no"),
        ),
        "attributes_as_written": check(
            "The root's attributes stay as they are written.",
            declined.replace(HEAD.removeprefix("<data")[:-1], attributes),
            counted("no").replace(HEAD.removeprefix("<data")[:-1], attributes),
        ),
        "deepest": check(
            "A hundred levels of elements.",
            declined.replace(AGE, deepest),
            counted("no").replace(AGE, deepest),
        ),
        "odd_letters": check(
            "A text may hold every character of XML.",
            declined.replace(">quincemil<", ">\u00a0ñ\u0301\u0085\ufeff\ufffd]]&gt;&#x10FFFF;\U0010ffff><"),
            counted("no"),
        ),
        "dropped_already": check("Dropping twice gives the same bytes.", counted("no"), counted("no")),
        **{name: refuse(about, change(declined)) for name, (about, change) in REFUSED.items()},
    }
