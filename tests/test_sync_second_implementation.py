"""Tests that the JavaScript protocol (server/web/protocol), written from SPEC alone, agrees with the Python one."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from screening_forms.engine.evaluator import load_engine
from server.problems import Problem
from support.almost_right import SIGNERS, changed
from support.forms import CATALOGUE_FORMS, compiled, walk, wishes
from sync.documents import receipt
from sync.documents.enrolment import Invitation
from sync.documents.receipt import ReceiptItem
from sync.documents.signed import Document
from sync.envelope import seal
from sync.envelope.content import Content, Context
from sync.envelope.verify import ChainPosition
from sync.errors import SyncError
from sync.exchange import messages
from sync.exchange.messages import Event, Message, Request, Response
from sync.keys.key_files import load_secret, save_secret
from sync.keys.key_pairs import SealKey
from sync.keys.passphrases import WORDS
from sync.wire.encoding import b64u, canonical, unb64u
from test_sync_vectors import ACTIONS
from vector_makers.fixed_inputs import (
    CHAIN,
    CONTEXT,
    DEVICE,
    KEYRING,
    MEMBER,
    NOW,
    PROVINCE_ROUTE,
    ROUTE_KEY,
    SERVER,
    TRUST,
    Case,
)
from vector_makers.run import SEALED_ONCE
from vector_makers.sealed import deflated, one_sealed, padded

PROTOCOL = Path(__file__).resolve().parent.parent / "server" / "web" / "protocol"
VECTORS = Path(seal.__file__).parents[1] / "vectors"
SECRETS = {"keyring_seed": b64u(KEYRING.seed), "route_secret": b64u(ROUTE_KEY.secret)}
PHRASE = "ábaco abdomen abeja abierto abogado abono"
DOCUMENTS = ("document", "trust", "registry", "manifest", "bundle", "enrolment", "certificate", "receipts", "readmit")
OTHERS = ("recordings", "envelope", "route", "request", "response", "refusal", "invitation", "base64")
ALMOST_RIGHT = 600


def run(node: Path, script: str, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [node, "--disable-warning=ExperimentalWarning", PROTOCOL / script]
    return subprocess.run(command, input=said, capture_output=True, text=True, encoding="utf-8", check=False)


def ask(node: Path, *questions: tuple[str, Case]) -> list[Any]:
    """The answers of the second implementation, one for each question, as a vector would hold them."""
    lines = "".join(json.dumps({"do": do, "given": given}) + "\n" for do, given in questions)
    done = run(node, "answer.mjs", lines)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def results(node: Path, *questions: tuple[str, Case]) -> list[Any]:
    answers = ask(node, *questions)
    assert [answer["expect"] for answer in answers] == ["ok"] * len(questions)
    return [answer.get("result") for answer in answers]


def ours(do: str, given: Case) -> Case:
    """The answer of the first implementation in the same format."""
    try:
        result = ACTIONS[do](given)
    except (SyncError, Problem) as wrong:
        return {"expect": wrong.code}
    return {"expect": "ok"} if result is None else {"expect": "ok", "result": json.loads(json.dumps(result))}


def screenings(rng: Random, count: int) -> list[dict[str, Any]]:
    """Instances of random content and size, up to the maximum, and the counters of one chain."""
    made = []
    for seq in range(1, count + 1):
        letters = rng.choices("<>abc ñ\U0001f600\n", k=rng.choice([0, 10, 1_000, 60_000, 200_000]))
        counters = {"chain": CHAIN, "seq": seq, "kseq": rng.randint(1, seq), "prev": "" if seq == 1 else "0" * 64}
        said = {"instance": "".join(letters), "context": {"sha": rng.randbytes(32).hex()}, "counters": counters}
        made.append({**said, "bucket": rng.choice([1, 2, 3, 8]) * 1024})
    return made


def sealed_here(made: dict[str, Any]) -> str:
    keys = {"to": KEYRING.public, "route": PROVINCE_ROUTE, "route_key": ROUTE_KEY.public, "device": DEVICE}
    counters = made["counters"]
    return seal.seal_envelope(
        Content(made["instance"].encode(), Context(made["context"]["sha"])),
        **keys,
        jti=seal.new_screening_id(),
        bucket=made["bucket"],
        position=ChainPosition(**counters),
    ).decode()


def opening(raw: str) -> Case:
    return {"envelope": raw, "device": b64u(DEVICE.public.raw), **SECRETS}


def test_javascript_agrees_with_every_vector(node):
    done = run(node, "run_vectors.mjs")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    there = len(list(VECTORS.glob("*.json")))
    assert done.stdout == f"{there} of {there} vectors\n"


def test_javascript_opens_what_python_seals(node):
    made = screenings(Random(1), 20)
    opened = results(node, *(("envelope", opening(sealed_here(each))) for each in made))
    assert [each["instance"] for each in opened] == [each["instance"] for each in made]
    assert [each["context"] for each in opened] == [each["context"] for each in made]
    assert {canonical(each["route"]) for each in opened} == {canonical(PROVINCE_ROUTE.to_content())}


def test_python_takes_in_and_opens_what_javascript_seals(node):
    made = screenings(Random(2), 20)
    keys = {"keyring": b64u(KEYRING.public.raw), "route_key": b64u(ROUTE_KEY.public.raw), "device": b64u(DEVICE.secret)}
    written = results(
        node, *(("write_envelope", {**each, **keys, "route": PROVINCE_ROUTE.to_content()}) for each in made)
    )
    opened = [ours("envelope", opening(raw))["result"] for raw in written]
    assert [each["instance"] for each in opened] == [each["instance"] for each in made]
    assert [each["context"] for each in opened] == [each["context"] for each in made]
    assert {canonical(each["route"]) for each in opened} == {canonical(PROVINCE_ROUTE.to_content())}
    tablet = {"key": b64u(DEVICE.public.raw), "state": "certified"}
    given = {"devices": [tablet], "versions": [PROVINCE_ROUTE.sha], "envelopes": written, **SECRETS}
    taken = ours("take_in", given)["result"]
    assert [item["outcome"] for item in taken["items"]] == ["stored"] * 20
    assert taken["seq"] == {CHAIN: 20}


def test_both_refuse_the_same_contexts_that_are_almost_right(node):
    rng, good = Random("almost a context"), CONTEXT.to_bytes() + b"\n<data/>"
    changes = (
        b"{",
        b"}",
        b'"',
        b":",
        b",",
        b" ",
        b"\n",
        b"\r",
        b"\0",
        b"\xc3\xb1",
        b"\\u0061",
        b"A",
        b"g",
        b'{"sha":1}',
        b"[]",
    )
    made = [good, b"", b"{", b"\n", b"<data/>", b"\xef\xbb\xbf" + good, b"{" + b" " * 511, good + b"{}\n", b"{}" * 300]
    for _ in range(400):
        at, long = rng.randrange(len(good)), rng.choice((0, 0, 1, 2, 9))
        made.append(good[:at] + rng.choice((b"", *changes)) + good[at + long :])
    first = one_sealed(lambda name, _: json.loads(SEALED_ONCE.read_text())[name])
    header = first.header.to_bytes()
    given = [opening(first.again(header, padded(deflated(content), size=2048))) for content in made]
    theirs = ask(node, *(("envelope", each) for each in given))
    assert theirs == [ours("envelope", each) for each in given]
    outcomes = [each["expect"] for each in theirs]
    assert set(outcomes) == {"ok", "seal.bad_context"}
    assert sum("context" in each.get("result", {}) for each in theirs) > 20


@pytest.mark.parametrize("name", CATALOGUE_FORMS)
def test_both_drop_the_same_answers_of_any_interview(node, name):
    form, draws = compiled(name), Random(f"dropped {name}")
    engine = load_engine(form.xform)
    filled = [walk(engine, [wishes(engine, draws)]) for _ in range(60)]
    instances = [engine.write_instance(each, prune=prune).decode() for each in filled for prune in (True, False)]
    omitted = [[], ["sex", "consent"], list(form.route)]
    given = [
        {"instance": instance, "route": dict(form.route), "omit_route": omitted[number % 3]}
        for number, instance in enumerate(instances)
    ]
    theirs = results(node, *(("drop", each) for each in given))
    assert theirs == [ours("drop", each)["result"] for each in given]
    assert {each["dropped"] for each in theirs} == ({True, False} if "consent" in form.route else {False})


def test_both_refuse_the_same_instances_that_are_almost_xml(node):
    rng, good = Random("almost xml"), json.loads((VECTORS / "drop_declined.json").read_text())["given"]
    changes = (
        "<",
        ">",
        "/",
        "&",
        ";",
        '"',
        "'",
        "]]>",
        "<!--",
        "-->",
        "<![CDATA[",
        "&#50;",
        "&#x110000;",
        " ",
        "<g9>",
        "</g4>",
    )
    given = []
    for _ in range(400):
        text, at = good["instance"], rng.randrange(len(good["instance"]))
        given.append({**good, "instance": text[:at] + rng.choice(changes) + text[at + rng.choice((0, 0, 1, 4)) :]})
    assert expected_of_both(node, given) == {"ok", "seal.not_xml"}


def expected_of_both(node: Path, given: list[Case]) -> set[str]:
    """What both implementations answer when they drop answers; fails where they differ."""
    theirs = ask(node, *(("drop", each) for each in given))
    differ = [
        (each["instance"], here, there)
        for each, there in zip(given, theirs, strict=True)
        if (here := ours("drop", each)) != there
    ]
    assert not differ, differ[:5]
    return {each["expect"] for each in theirs}


NAMES = ("g", "deriva", "sexo", "queue_kinds", "outcome", "meta", "_", "__proto__", "constructor", "xml", "A.b-1")
ODD_NAMES = ("1q", "-q", ".q", "n\u0303", "año", "q\u00b7x", "x:q", "a:b:c", ":q", "", "q\u200d", "Ω", "\U00010400")
TEXTS = ("yes", "no", "male", " \r\n\t", "&#10;", "&#xA0;", "&#x1F600;", "]]&gt;", ">", "'", '"', "ñ\u0301", "\u0085")
TEXTS += ("\u00a0", "\ufeff", "\ufdd0", "\ufffd", "\U0001ffff", "\x7f", "&#0000065;", "&apos;&quot;", "&#x10ffff;")
ODD_TEXTS = ("\x00", "\x01", "\x0b", "\x1f", "\uffff", "\ufffe", "&#0;", "&#xb;", "&#xD800;", "&#xdfff;", "&#xFFFE;")
ODD_TEXTS += ("&#x110000;", "&#9999999;", "&#00000065;", "&#x;", "&#;", "&;", "&", "&nbsp;", "&AMP;", "&#X41;", "]]>")
ODD_TEXTS += ("<!---->", "<?p q?>", "<![CDATA[yes]]>", "<", "</g>", "<g>", "<q a='b'/>", "<q  />", "<q\n/>")
VALUES = ("f", "", "3 b", "ñ", "&#10;&#9;", "&quot;", "'", ">", "&amp;lt;", "]]>")
ODD_VALUES = ("a\nb", "a\tb", "<", "&", '"', "\x01", "&#0;", "&#xFFFF;", "\uffff")
MARKS = ("", "", ' answers="dropped"')
ODD_MARKS = (
    ' answers="kept"',
    " answers='dropped'",
    ' id="b"',
    ' xmlns="u"',
    ' xmlns:x="u"',
    ' x:id="b"',
    "\u00a0",
    "\n",
)
ENDS = ("",)
ODD_ENDS = (
    "\n",
    " ",
    "\ufeff",
    "x",
    "<!---->",
    "<?xml version='1.0'?>",
    "<?xml version='1.0' a='b'?>",
    "<!DOCTYPE data>",
)


def odd_xml(rng: Random) -> str:
    """An instance of which each part may be one that XML, or only the protocol, refuses."""

    def pick(usual: tuple[str, ...], odd: tuple[str, ...]) -> str:
        return rng.choice(odd if rng.random() < 0.03 else usual)

    def content(depth: int) -> str:
        parts = []
        for _ in range(rng.randint(0, 3)):
            name = pick(NAMES, ODD_NAMES)
            inner = content(depth + 1) if depth < 3 and rng.random() < 0.4 else pick(TEXTS, ODD_TEXTS)
            parts.append(rng.choice((f"<{name}>{inner}</{name}>", f"<{name}>{inner}</{name}>", f"<{name}/>", inner)))
        return "".join(parts)

    name, inner = pick(("data", "f"), ODD_NAMES), content(0) + rng.choice(("", "<deriva> yes\n</deriva>"))
    head = f'id="{pick(VALUES, ODD_VALUES)}" version="{pick(VALUES, ODD_VALUES)}"{pick(MARKS, ODD_MARKS)}'
    return f"{pick(ENDS, ODD_ENDS)}<{name} {head}>{inner}</{name}>{pick(ENDS, ODD_ENDS)}"


@pytest.mark.parametrize("seed", range(3))
def test_both_refuse_the_same_odd_xml_and_drop_the_same_answers_of_the_rest(node, seed):
    rng, route = Random(f"odd xml {seed}"), {"consent": "deriva", "sex": "sexo"}
    given = [{"instance": odd_xml(rng), "route": route, "omit_route": []} for _ in range(1500)]
    assert expected_of_both(node, given) == {"ok", "seal.not_xml"}
    results_here = [ours("drop", each).get("result", {}).get("dropped") for each in given]
    assert min(results_here.count(each) for each in (True, False, None)) > 100


def vectors(*dos: str) -> list[Case]:
    cases = [json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))]
    return [case for case in cases if case["do"] in dos]


def test_both_write_the_very_same_documents(node):
    written, questions = [], []
    for case in vectors(*DOCUMENTS):
        if case["expect"] == "ok":
            payload, *lines = case["given"]["document"].split("\n")
            heads = [json.loads(unb64u(line.split(".")[0])) for line in lines]
            said = {"value": json.loads(payload), "typ": heads[0]["typ"]}
            keys = [SIGNERS[head["kid"]] for head in heads]
            written.append(Document.of(said["value"], said["typ"], *keys).to_bytes().decode())
            questions.append(("write_document", {**said, "keys": [b64u(key.secret) for key in keys]}))
    assert len(written) > 20
    assert results(node, *questions) == written


REQUEST = Request(
    n=7,
    at=NOW,
    trust=1,
    orders=3,
    generation="AAAAAAAAAAA",
    pending=("ab" * 32,) * 40,
    envelopes=(b"a.b", b""),
    inventory={"piloto": "cd" * 32},
    refused={"ef" * 32: "signed.too_few"},
    ended={CHAIN: 7},
    budget=9,
)
RECEIPTS = receipt.make(
    SERVER, dev=DEVICE.kid, n=7, at=NOW, generation="AAAAAAAAAAA", head="", items=[ReceiptItem("ab" * 32, "stored", 1)]
)
RESPONSE = Response(
    dev=DEVICE.kid,
    n=7,
    at=NOW,
    generation="AAAAAAAAAAA",
    receipts=RECEIPTS,
    trust=(TRUST,),
    events=(Event("ab" * 32, "closed", NOW),),
    seq={CHAIN: 4},
    more=True,
)


def travelled(message: Message) -> Case:
    return {"body": b64u(message.body), "signature": message.signature}


def test_each_reads_the_requests_and_responses_that_the_other_writes(node):
    device, server = b64u(DEVICE.public.raw), b64u(SERVER.public.raw)
    asked = {"dev": DEVICE.kid, "n": 7, "servers": [server]}
    here = [
        ("request", {**travelled(messages.write_request(REQUEST, DEVICE)), "device": device}),
        ("response", {**travelled(messages.write_response(RESPONSE, SERVER)), **asked}),
    ]
    read = results(node, *here)
    assert read == [ours(*question)["result"] for question in here]
    request, response = results(
        node,
        ("write_request", {"members": read[0], "key": b64u(DEVICE.secret)}),
        ("write_response", {"members": read[1], "key": b64u(SERVER.secret)}),
    )
    assert messages.read_request(Message(unb64u(request["body"]), request["signature"]), DEVICE.public) == REQUEST
    back = Message(unb64u(response["body"]), response["signature"])
    assert messages.read_response(back, {SERVER.kid: SERVER.public}, dev=DEVICE.kid, n=7) == RESPONSE


def test_both_write_the_same_short_forms(node):
    vector = json.loads((VECTORS / "short_string_between.json").read_text())["result"]["envelopes"]
    here = messages.write_request(Request(n=7, at=NOW, envelopes=tuple(text.encode() for text in vector)), DEVICE)
    members = {"n": 7, "at": NOW, "envelopes": vector}
    read, there = results(
        node,
        ("request", {**travelled(here), "device": b64u(DEVICE.public.raw)}),
        ("write_request", {"members": members, "key": b64u(DEVICE.secret)}),
    )
    assert read["envelopes"] == vector
    assert zlib.decompress(unb64u(there["body"]), 31) == zlib.decompress(here.body, 31)


def test_each_opens_the_seeds_and_key_files_that_the_other_locks(node, tmp_path):
    where = {"keyring": "national", "epoch": 3, "member_id": DEVICE.kid}
    wrap = {**where, "seed": b64u(KEYRING.seed), "member_key": b64u(MEMBER.public.raw)}
    save_secret(tmp_path / "here.key", KEYRING, PHRASE)
    file = {"file": (tmp_path / "here.key").read_text(), "kind": "seal"}
    wrapped, seed, unlocked, locked = results(
        node,
        ("write_wrap", wrap),
        (
            "unwrap",
            {
                **where,
                "wrapped": seal.wrap_seed(KEYRING.seed, MEMBER.public, **where),
                "member_seed": b64u(MEMBER.seed),
            },
        ),
        ("read_key_file", {**file, "phrase": PHRASE.upper()}),
        ("write_key_file", {"seed": b64u(KEYRING.seed), "phrase": PHRASE}),
    )
    assert seal.unwrap_seed(wrapped, MEMBER, **where).seed == KEYRING.seed
    assert seed == unlocked == b64u(KEYRING.seed)
    refused = ask(
        node,
        ("read_key_file", file),
        ("read_key_file", {**file, "kind": "route", "phrase": PHRASE}),
        ("read_key_file", {**file, "phrase": "abeja"}),
    )
    assert [each["expect"] for each in refused] == ["key.locked", "key.wrong_kind", "key.wrong_passphrase"]
    (tmp_path / "there.key").write_text(locked)
    (tmp_path / "there.key").chmod(0o600)
    assert load_secret(tmp_path / "there.key", SealKey, PHRASE) == KEYRING


def test_a_tablet_in_javascript_enrols(node):
    invitation = {
        "address": "https://chaski.example/tabletas?a=1&b=ñ+%20",
        "code": "codigo-de-un-uso",
        "pin": "ab" * 32,
    }
    words, line, document = results(
        node,
        ("draw_passphrase", {}),
        ("write_invitation", invitation),
        ("write_enrolment", {"code": "codigo-de-un-uso"}),
    )
    assert len(words.split()) == 6
    assert set(words.split()) <= set(WORDS)
    assert vars(Invitation.parse(line)) == {"url": invitation["address"], "code": "codigo-de-un-uso", "pin": "ab" * 32}
    assert ours("enrolment", {"document": document}) == {"expect": "ok"}


def test_both_read_the_same_of_damaged_courier_files(node):
    rng, files = Random("courier files"), [unb64u(case["given"]["file"]) for case in vectors("courier_file")]
    given = []
    for _ in range(400):
        file = bytearray(rng.choice(files) + rng.choice(files))
        for _ in range(rng.choice([0, 1, 1, 3])):
            at = rng.randrange(len(file) + 1)
            file[at : at + rng.choice([0, 1, 1, 40])] = rng.choice([b"", b"\n", b"\r", b" ", b"\t", rng.randbytes(1)])
        given.append({"file": b64u(bytes(file))})
    here = [ours("courier_file", each) for each in given]
    assert ask(node, *(("courier_file", each) for each in given)) == here
    assert sum(len(each.get("result", {}).get("damaged", ())) for each in here) > 200


def test_both_give_the_same_answer_to_almost_right_vectors(node):
    rng = Random(20261121)
    good = [case for case in vectors(*DOCUMENTS, *OTHERS) if case["expect"] == "ok"]
    good += [case for case in vectors("versions") if case["given"]["served"] and case["expect"] == "ok"]
    cases = [made for made in (changed(rng, rng.choice(good)) for _ in range(ALMOST_RIGHT)) if made]
    theirs = ask(node, *((case["do"], case["given"]) for case in cases))
    differ = []
    codes = set()
    for case, there in zip(cases, theirs, strict=True):
        here = ours(case["do"], case["given"])
        codes.add(here["expect"])
        if here != there:
            differ.append({**case, "here": here, "there": there})
    assert not differ, json.dumps(differ[:3], indent=1)[:6000]
    assert len(codes) > 20
