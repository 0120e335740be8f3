"""Tests that every vector in sync/vectors gives what its `expect` says, as in any implementation (SPEC 15)."""

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.problems import Problem
from sync.documents import bundle, enrolment, manifest, receipt, registry, sign_in, trust
from sync.documents.signed import Document
from sync.envelope import dropped_answers, seal
from sync.envelope.route import open_route
from sync.envelope.verify import envelope_id, parse_envelope, verify_envelope
from sync.errors import SyncError
from sync.exchange import courier_messages, messages
from sync.exchange.bundle_stream import StreamReader
from sync.exchange.courier_bundle import Unread, read_envelopes, read_receipts
from sync.keys import passphrases
from sync.keys.key_pairs import RouteKey, SealKey, VerifyKey, key_id
from sync.wire.encoding import b64u, canonical, strict_json, unb64u
from vector_makers.fixed_inputs import SERVER
from vector_makers.real_server import (
    answered,
    copied,
    listed_as_lost,
    obeyed,
    readmitted,
    settled_by_courier,
    taken_in,
    worked_with,
)
from vector_makers.run import NOT_OURS, SEALED_ONCE, VECTORS, all_cases, to_json

Given = dict[str, Any]


def doc(text: str) -> Document:
    return Document.parse(text.encode())


def verify_keys(texts: list[str]) -> dict[str, VerifyKey]:
    return {key.kid: key for key in (VerifyKey.from_raw(unb64u(text)) for text in texts)}


def pinned(text: str) -> trust.Trust:
    return trust.reopen(doc(text))


def code_of(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except SyncError as wrong:
        return wrong.code


def do_base64(given: Given) -> str:
    return unb64u(given["text"]).hex()


def do_json(given: Given) -> str:
    return canonical(strict_json(unb64u(given["bytes"]))).decode()


def do_invitation(given: Given) -> dict[str, str]:
    read = enrolment.Invitation.parse(given["text"])
    return {"u": read.url, "c": read.code, "r": read.pin}


def do_region_keys(given: Given) -> dict[str, Any]:
    known = registry.accept(doc(given["registry"]), pinned(given["trust"]), None)
    near = known.keyrings_near(given["region"])
    hashes = {keyring.key_sha256 for keyring in near.values()}
    return {"keyrings": [*near], "sealed_to": [known.keyring_on_board(*each, hashes).id for each in given["asked"]]}


def do_stream(given: Given) -> list[list[str]]:
    reader = StreamReader.of({*given["wanted"]})
    pieces = [*reader.feed(unb64u(given["body"]))]
    reader.require_end()
    return [[each.sha, each.code] if each.code else [each.sha, each.coding, b64u(each.body)] for each in pieces]


def do_kinds(given: Given) -> list[str]:
    return [registry.sealed_to(kinds) for kinds in given["asked"]]


def do_inventory(given: Given) -> str:
    return key_id(canonical(given["inventory"]))


def do_document(given: Given) -> None:
    doc(given["document"]).require(given["typ"], verify_keys(given["keys"]), given["threshold"])


def do_trust(given: Given) -> dict[str, Any]:
    held = pinned(given["held"]) if given["held"] else None
    known = trust.accept(doc(given["document"]), held, given["pin"])
    if given["staff"]:
        known.require_current(given["now"])
    return {"number": known.number, "pin": known.pin, "old": known.is_expired(given["now"])}


def do_reopened(given: Given) -> int:
    trusts = [doc(each) for each in given["trusts"]]
    trust.accept_chain(trusts, None, given["pin"])
    held = trust.reopen(trusts[-1])
    enrolment.accept_certificate(doc(given["certificate"]), held, given["dev"])
    return (trust.accept(doc(given["document"]), held, given["pin"]) if given["document"] else held).number


def do_registry(given: Given) -> list[str]:
    pins = pinned(given["trust"])
    held = registry.accept(doc(given["held"]), pins, None) if given["held"] else None
    known = registry.accept(doc(given["document"]), pins, held)
    return [known.keyring_for(*asked).id for asked in given["asked"]]


def do_keyring_key(given: Given) -> str:
    known = registry.accept(doc(given["registry"]), pinned(given["trust"]), None)
    return known.keyrings[given["keyring"]].public(unb64u(given["key"])).kid


def do_manifest(given: Given) -> dict[str, Any]:
    pins = pinned(given["trust"])
    held = manifest.accept(doc(given["held"]), pins, None) if given["held"] else None
    known = manifest.accept(doc(given["document"]), pins, held)
    chosen = [known.choose(*asked) for asked in given["asked"]]
    return {"chosen": chosen, "route_key": known.route_key(given["now"]).kid}


def do_bundle(given: Given) -> None:
    bundle.accept(doc(given["document"]), pinned(given["trust"]), given["sha"])


def do_recordings(given: Given) -> list[list[Any]]:
    return [[each.sha256, each.size, each.type] for each in bundle.recordings(doc(given["document"]).content)]


def do_recording(given: Given) -> None:
    bundle.Recording(given["sha256"], given["size"], "audio/ogg").check(unb64u(given["bytes"]))


def do_certificate(given: Given) -> None:
    enrolment.accept_certificate(doc(given["document"]), pinned(given["trust"]), given["dev"])


def do_enrolment(given: Given) -> None:
    enrolment.accept_enrolment_request(doc(given["document"]))


def do_receipts(given: Given) -> list[str]:
    said = {name: given[name] for name in ("dev", "n", "generation")}
    read = receipt.accept(doc(given["document"]), pinned(given["trust"]), **said)
    return [item.id for item in read.items if item.done]


def do_courier_file(given: Given) -> dict[str, Any]:
    unread = [Unread(), Unread()]
    file = unb64u(given["file"])
    envelopes = [[each.pin, each.id] for each in read_envelopes(BytesIO(file), unread[0])]
    receipts = [each.sha256 for each in read_receipts(BytesIO(file), unread[1])]
    damaged = sorted({number for each in unread for number in each.numbers})
    return {"envelopes": envelopes, "receipts": receipts, "damaged": damaged}


def do_courier_request(given: Given) -> list[str]:
    return [envelope_id(raw) for raw in courier_messages.read_request(unb64u(given["body"]))]


def do_envelope(given: Given) -> dict[str, Any]:
    parsed = parse_envelope(given["envelope"].encode())
    verify_envelope(parsed, VerifyKey.from_raw(unb64u(given["device"])))
    content = seal.open_envelope(parsed, SealKey.from_seed(unb64u(given["keyring_seed"])))
    route_key = RouteKey.from_secret(unb64u(given["route_secret"]))
    header = parsed.header
    opened = code_of(lambda: open_route(header.route, {route_key.kid: route_key}, header.jti).to_content())
    read = {"instance": content.instance.decode(), "route": opened}
    return read if content.context is None else {**read, "context": vars(content.context)}


def do_route(given: Given) -> dict[str, Any]:
    key = RouteKey.from_secret(unb64u(given["route_secret"]))
    return open_route(given["route"], {key.kid: key}, given["jti"]).to_content()


def message(given: Given) -> messages.Message:
    return messages.Message(unb64u(given["body"]), given["signature"])


def body(written: messages.Message) -> Any:
    """Return the members that were read, as JSON: writing them again leaves out empty ones."""
    packed = written.body[:1] == b"\x1f"
    return json.loads(zlib.decompress(written.body, 31) if packed else written.body)


def do_drop(given: Given) -> dict[str, Any]:
    sealed = dropped_answers.drop_answers(given["instance"].encode(), given["route"], given["omit_route"])
    return {"dropped": dropped_answers.are_dropped(sealed), "instance": sealed.decode()}


def do_request(given: Given) -> Any:
    read = messages.read_request(message(given), VerifyKey.from_raw(unb64u(given["device"])))
    said = body(messages.write_request(replace(read, envelopes=()), SERVER))
    return said | ({"envelopes": [raw.decode() for raw in read.envelopes]} if read.envelopes else {})


def do_response(given: Given) -> Any:
    asked = {"dev": given["dev"], "n": given["n"], "envelopes": [raw.encode() for raw in given.get("envelopes", [])]}
    read = messages.read_response(message(given), verify_keys(given["servers"]), **asked)
    return body(messages.write_response(read, SERVER))


def do_refusal(given: Given) -> int:
    return messages.read_refusal(message(given), verify_keys(given["servers"]), dev=given["dev"], n=given["n"]).last


def do_session(given: Given) -> dict[str, str]:
    asked = {name: given[name] for name in ("nonce", "url", "login")}
    challenge = sign_in.accept(doc(given["document"]), pinned(given["trust"]), **asked)
    proof = sign_in.prove(unb64u(given["auth"]), doc(given["document"]), challenge.auth_salt)
    return {"salt": b64u(challenge.salt), "proof": proof}


do_take_in, do_requests, do_readmit, do_orders, do_copied = taken_in, answered, readmitted, obeyed, copied
do_versions, do_lost, do_courier_receipts = worked_with, listed_as_lost, settled_by_courier
do_short_receipts = do_response


def do_unlock(given: Given) -> dict[str, str]:
    derived = passphrases.derive_keys(given["phrase"], unb64u(given["salt"]))
    secret = passphrases.unlock_secret(given["locked"], derived.lock, given["purpose"])
    return {"auth": b64u(derived.auth), "lock": b64u(derived.lock), "secret": b64u(secret)}


def do_words(given: Given) -> dict[str, str]:
    key = VerifyKey.from_raw(unb64u(given["key"]))
    return {"kid": key.kid, "words": " ".join(key.words())}


def do_unwrap(given: Given) -> str:
    member = SealKey.from_seed(unb64u(given["member_seed"]))
    where = {"keyring": given["keyring"], "epoch": given["epoch"], "member_id": given["member_id"]}
    return b64u(seal.unwrap_seed(given["wrapped"], member, **where).seed)


def do_seal_public(given: Given) -> str:
    return b64u(SealKey.from_seed(unb64u(given["seed"])).public.raw)


def do_public_jwe(given: Given) -> str:
    jwe, secret = given["jwe"], SealKey.from_seed(unb64u(given["jwk"]["priv"]))
    assert b64u(secret.public.raw) == given["jwk"]["pub"]
    ek = json.loads(unb64u(jwe["protected"]))["ek"]
    content_key = seal.SUITE.decrypt(
        unb64u(ek) + unb64u(jwe["encrypted_key"]), secret.hpke, b"JOSE-HPKE rcpt\xffA256GCM\xff"
    )
    sealed = unb64u(jwe["ciphertext"]) + unb64u(jwe["tag"])
    return AESGCM(content_key).decrypt(unb64u(jwe["iv"]), sealed, f"{jwe['protected']}.{jwe['aad']}".encode()).decode()


ACTIONS: dict[str, Callable[[Given], Any]] = {
    name.removeprefix("do_"): action for name, action in list(globals().items()) if name.startswith("do_")
}
CASES = sorted(VECTORS.glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_every_vector_ends_as_it_says(path):
    vector = json.loads(path.read_text())
    act = ACTIONS[vector["do"]]
    result, ended = None, "ok"
    try:
        result = act(vector["given"])
    except (SyncError, Problem) as wrong:
        ended, result = wrong.code, getattr(wrong, "members", {}) or None
    assert (ended, result) == (vector["expect"], vector.get("result"))


def test_the_script_writes_the_vectors_that_are_there():
    sealed_once = json.loads(SEALED_ONCE.read_text())
    written = {path.stem: path.read_text() for path in CASES if path.stem not in NOT_OURS}
    assert {name: to_json(made) for name, made in all_cases(sealed_once).items()} == written


PROMISED = """ok bad_signature two_signatures_one_key wrong_typ grant_as_envelope wrong_recipient tampered_route
unopenable_route truncated trailing_deflate inflate_bomb nonzero_padding non_canonical_base64 duplicate_member
forbidden_header_b64 trust_rolled_back registry_rolled_back manifest_rolled_back expired_on_board clock_2090 clock_1970
gap fork conflict duplicate quarantined held replayed_request same_request_again order_wrong_device order_older_number
order_by_server order_unknown_order readmit_ok copied_above request_ended number_skipped refusal_used refusal_unsigned
refusal_by_stranger response_signed_as_refusal refusal_signed_as_response many_values author_alone reviewer_alone
author_twice two_keys_one_person revoked_author changed_byte older_manifest not_named revoked_author_on_board
one_refused_of_two reopened_after_root_change reopened_after_two_changes reopened_unknown_root reopened_former_roots
reopened_registrar_replaced"""


def test_every_case_that_was_promised_has_a_vector_of_its_name():
    names = [path.stem for path in CASES]
    for case in PROMISED.split():
        assert any(f"_{name}".endswith(f"_{case}") for name in names), case


def test_the_vectors_cover_every_action_and_no_two_are_the_same():
    given = [json.loads(path.read_text()) for path in CASES]
    assert {vector["do"] for vector in given} == set(ACTIONS)
    digests = [hashlib.sha256(to_json([vector["do"], vector["given"]]).encode()).hexdigest() for vector in given]
    assert len(set(digests)) == len(digests)
