"""The vectors of dropping answers: an instance before sealing, and the one that is sealed (SPEC 8.1 step 0)."""

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
    spelled = declined.replace("<data ", '<?xml version="1.0"?>\n<data xmlns:orx="http://openrosa.org/xforms" ')
    spelled = spelled.replace("<g1>", "<!-- a note -->\n <g1>\t").replace("<edad>18_29<", "<edad> 18_&#50;9\n<")
    spelled = spelled.replace("</data>", "<orx:meta><orx:sector>s</orx:sector></orx:meta><start/></data>\n")
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
        "no_consent_question": check("A form that asks nobody.", site, None, no_consent),
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
            "Another spelling of the same instance, with a time and meta: the bytes are the same.",
            spelled,
            counted("no"),
        ),
        "character_data": check(
            "Character data in CDATA.", declined.replace(">no</deriva>", "><![CDATA[no]]></deriva>"), counted("no")
        ),
        "attributes_escaped": check(
            "The root's attributes are escaped.",
            declined.replace('version="3"', "version='a&amp;&lt;&gt;\"b'"),
            counted("no").replace('version="3"', 'version="a&amp;&lt;&gt;&quot;b"'),
        ),
        "dropped_already": check("Dropping twice gives the same bytes.", counted("no"), counted("no")),
        "cut_off": refuse("A tag is not closed.", declined.removesuffix("</data>")),
        "crossed_tags": refuse("Tags are crossed.", declined.replace("</g4>", "</g5>")),
        "document_type": refuse("A DTD.", f"<!DOCTYPE data>{declined}"),
        "unknown_entity": refuse("An entity that XML does not know.", declined.replace(">no<", ">&no;<", 1)),
        "no_element": refuse("No element.", " "),
    }
