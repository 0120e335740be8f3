"""Writes the seeds of the fuzzer's corpus: the vectors, and a small good input where there is no vector. Found cases
stay beside them and are never removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from fuzz import http_reader
from fuzz.form_readers import engine
from fuzz.readers import CORPUS
from screening_forms.workbook.package import pack_package, parse_package
from screening_forms.workbook.reader import parse_markdown
from screening_forms.workbook.resources import BUILT_IN
from screening_forms.workbook.xlsx_writer import write_xlsx
from support.forms import SMALL, compiled
from sync.envelope import seal
from sync.envelope.route import VOCABULARY, open_route
from sync.envelope.verify import parse_envelope
from sync.errors import SyncError
from sync.exchange import codings
from sync.wire.encoding import unb64u
from vector_makers.fixed_inputs import ROUTE_KEY
from vector_makers.run import VECTORS

_DOCUMENTS = {
    "trust": "trust",
    "registry": "registry",
    "manifest": "manifest",
    "bundle": "bundle",
    "enrolment": "enrolment",
    "certificate": "certificate",
    "receipts": "receipts",
    "order": "order",
}


def _of_vectors() -> Iterator[tuple[str, bytes]]:
    for path in sorted(VECTORS.glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        do, given = vector["do"], vector["given"]
        if given.get("document"):
            whole = given["document"].encode()
            yield "document", whole
            yield "json", whole.split(b"\n")[0]
            if do in _DOCUMENTS:
                yield _DOCUMENTS[do], whole.split(b"\n")[0]
        elif do in ("request", "response", "refusal"):
            yield do, unb64u(given["body"])
            yield "signature", given["signature"].encode()
            if do == "request":
                yield "conversation", unb64u(given["body"])
        elif do in ("courier_file", "courier_request"):
            yield do, unb64u(given["file" if do == "courier_file" else "body"])
        elif do == "stream":
            yield do, unb64u(given["body"])
        elif do == "courier_receipts":
            for whole in given["documents"]:
                yield do, whole.encode().split(b"\n")[0]
        elif do == "envelope":
            yield from _of_envelope(given["envelope"].encode())
        elif do == "route":
            yield "base64", given["route"].partition(".")[2].encode()


def _of_envelope(raw: bytes) -> Iterator[tuple[str, bytes]]:
    yield "envelope", raw
    try:
        header = parse_envelope(raw).header
    except SyncError:
        return
    yield "envelope_header", header.to_bytes()
    yield "batch", header.to_bytes() + b"\n" + raw
    yield "courier_batch", header.to_bytes() + b"\n" + raw
    try:
        opened = open_route(header.route, {ROUTE_KEY.kid: ROUTE_KEY}, header.jti)
    except SyncError:
        return
    content = opened.to_content()
    yield "route", json.dumps([content.get(name) for name in VOCABULARY], separators=(",", ":")).encode()


def _of_forms() -> Iterator[tuple[str, bytes]]:
    form, small = compiled("small"), {"peligro": "no", "permiso": "yes", "edad": "18_29", "oferta": "yes", "horas": 12}
    yield "form", form.to_bytes()
    yield "xform", form.xform.encode()
    yield "markdown", SMALL.encode()
    yield "answers", json.dumps(small).encode()
    filled = engine().drop_irrelevant(small)
    yield "instance", engine().write_instance(filled)
    yield "plaintext", b"\1" + seal.pack_plaintext(engine().write_instance(filled), 1024)
    yield "policy", BUILT_IN.policies["pe_adult_2026_1"].encode()
    yield "indicators", BUILT_IN.indicator_sets["ilo_delphi_2009"].encode()
    yield (
        "courier_answer",
        b'{"generation":"AAAAAAAAAAA","receipts":[],"rejected":[{"id":"' + b"0" * 64 + b'","code":"a.b"}]}',
    )
    for place, kind in enumerate((codings.GZIP, codings.ZSTD)):
        yield "coding", bytes([place]) + codings.encode(SMALL.encode(), kind)
    yield "coding", b"\x02" + codings.encode(SMALL.encode(), codings.ZSTD)
    for seed in http_reader.SEEDS:
        yield "http", seed
    yield "invitation", b"chaski:1?u=https%3A%2F%2Fchaski.example&c=abcdefgh&r=" + b"0" * 64
    yield "xlsx", write_xlsx(parse_markdown(SMALL), BUILT_IN)
    yield "source", pack_package(parse_package(SMALL.encode()))
    yield "cases", SMALL.partition("| cases |")[2].encode()
    yield "cells", bytes((0, 11, 3)) + b"${deuda} = 'no' or ${edad}='30_59'\n" + bytes((3, 6, 1)) + b"${horas} < 3"
    yield (
        "sheet",
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
        b'<c r="A1" t="inlineStr"><is><t>type</t></is></c><c r="B1"><v>1.5</v></c></row></sheetData></worksheet>',
    )


def main() -> None:
    for reader, data in (*_of_vectors(), *_of_forms()):
        folder = CORPUS / reader
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


if __name__ == "__main__":
    main()
