"""Writes sync/vectors/*.json: run `make vectors` after a change of the protocol, and read the difference.

Keys, times and signatures are fixed. HPKE draws its own randomness, so sealed_once.json stores its results.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vector_makers.bundle_streams import stream_cases
from vector_makers.courier import courier_file_cases, courier_receipt_cases, courier_request_cases
from vector_makers.curve_points import curve_cases
from vector_makers.documents import (
    document_cases,
    key_document_cases,
    region_cases,
    registry_cases,
    trust_cases,
)
from vector_makers.dropped_answers import drop_cases
from vector_makers.exchange import exchange_cases, lost_cases, take_in_cases
from vector_makers.fixed_inputs import Case
from vector_makers.form_selection import manifest_cases
from vector_makers.form_versions import bundle_cases, recording_cases, version_cases
from vector_makers.request_numbers import number_cases, refusal_cases
from vector_makers.root_changes import reopened_cases
from vector_makers.sealed import context_cases, envelope_cases, key_cases, route_cases
from vector_makers.short_forms import short_cases
from vector_makers.sign_in import session_cases
from vector_makers.spellings import base64_cases, invitation_cases, json_cases, rule_cases
from vector_makers.tablets import copied_cases, enrolment_cases, order_cases, readmission_cases, receipt_cases

VECTORS = Path(__file__).parents[2] / "sync" / "vectors"
NOT_OURS = {"public_hpke_9_ke"}
SEALED_ONCE = Path(__file__).with_name("sealed_once.json")


def all_cases(sealed_once: dict[str, str]) -> dict[str, Case]:
    def seal_once(name: str, make: Callable[[], str]) -> str:
        if name not in sealed_once:
            sealed_once[name] = make()
        return sealed_once[name]

    groups = {
        "base64": base64_cases(),
        "json": json_cases(),
        "rule": rule_cases(),
        "invitation": invitation_cases(),
        "document": document_cases(),
        "curve": curve_cases(),
        "trust": trust_cases(),
        "reopened": reopened_cases(),
        "registry": registry_cases(),
        "region_keys": region_cases(),
        "stream": stream_cases(),
        "keyring_key": key_document_cases(),
        "manifest": manifest_cases(),
        "bundle": bundle_cases(),
        "versions": version_cases(),
        "recording": recording_cases(),
        "enrolment": enrolment_cases(),
        "envelope": envelope_cases(seal_once),
        "context": context_cases(seal_once),
        "route": route_cases(seal_once),
        "drop": drop_cases(),
        "receipts": receipt_cases(),
        "courier_file": courier_file_cases(),
        "courier_request": courier_request_cases(),
        "courier_receipts": courier_receipt_cases(),
        "sync": exchange_cases(),
        "short": short_cases(seal_once),
        "number": number_cases(),
        "refusal": refusal_cases(),
        "lost": lost_cases(),
        "take_in": take_in_cases(seal_once),
        "order": order_cases(),
        "readmit": readmission_cases(),
        "copied": copied_cases(),
        "key": key_cases(seal_once),
        "session": session_cases(),
    }
    return {f"{group}_{name}": made for group, cases in groups.items() for name, made in cases.items()}


def to_json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    sealed_once = json.loads(SEALED_ONCE.read_text()) if SEALED_ONCE.exists() else {}
    cases = all_cases(sealed_once)
    for gone in {path.stem for path in VECTORS.glob("*.json")} - cases.keys() - NOT_OURS:
        (VECTORS / f"{gone}.json").unlink()
    for name, made in cases.items():
        (VECTORS / f"{name}.json").write_text(to_json(made))
    SEALED_ONCE.write_text(to_json(sealed_once))


if __name__ == "__main__":
    main()
