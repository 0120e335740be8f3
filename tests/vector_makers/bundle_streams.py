"""The vectors of streams of form versions (SPEC 12.2)."""

from typing import Any

from sync.exchange.bundle_stream import Piece
from sync.wire.encoding import b64u
from vector_makers.fixed_inputs import Case, case

ONE, TWO, THREE = "11" * 32, "22" * 32, "33" * 32
SHORT = b64u(bytes.fromhex(TWO))
BAD = "transport.bad_stream"


def stream_cases() -> dict[str, Case]:
    coded, plain = Piece(ONE, "dcz", b"abc\n{}"), Piece(TWO, "", b"{}")
    unknown = Piece(THREE, code="form.unknown")

    def read(expect: str, about: str, body: bytes, result: Any = None) -> Case:
        return case("stream", expect, about, {"wanted": [ONE, TWO, THREE], "body": b64u(body)}, result)

    def line(text: str) -> bytes:
        return coded.to_bytes() + text.encode()

    return {
        "whole": read(
            "ok",
            "A delta, a version as it is, and one that the server does not have.",
            coded.to_bytes() + plain.to_bytes() + unknown.to_bytes(),
            [[ONE, "dcz", b64u(coded.body)], [TWO, "", b64u(plain.body)], [THREE, "form.unknown"]],
        ),
        "ended_early": read(
            "ok", "The others are asked for again.", coded.to_bytes(), [[ONE, "dcz", b64u(coded.body)]]
        ),
        "empty": read("ok", "Nothing came.", b"", []),
        "other_member": read(
            "ok", "A member of tomorrow.", f'{{"length":2,"new":1,"sha":"{SHORT}"}}\n{{}}'.encode(), [[TWO, "", "e30"]]
        ),
        "cut_in_a_line": read(BAD, "It ends in a line.", plain.to_bytes() + coded.to_bytes()[:20]),
        "cut_in_a_piece": read(BAD, "It ends in a piece.", coded.to_bytes()[:-1]),
        "not_asked_for": read(BAD, "Another version.", Piece("44" * 32, "", b"{}").to_bytes()),
        "hexadecimal": read(BAD, "A hash in hexadecimal.", line(f'{{"length":2,"sha":"{TWO}"}}\n{{}}')),
        "stray_bits": read(
            BAD, "A hash whose last bits are not zero.", line(f'{{"length":2,"sha":"{SHORT[:-1]}J"}}\n{{}}')
        ),
        "twice": read(BAD, "One version twice.", plain.to_bytes() * 2),
        "other_coding": read(
            BAD, "A coding that does not exist.", line(f'{{"coding":"br","length":2,"sha":"{SHORT}"}}\n{{}}')
        ),
        "no_json": read(BAD, "A line that is not JSON.", line("{}{}\n")),
        "long_line": read(
            BAD, "A line of more than 255 bytes.", line(f'{{"length":2,"new":"{"x" * 200}","sha":"{SHORT}"}}\n{{}}')
        ),
        "too_long": read(BAD, "A version above 4 MiB.", line(f'{{"length":4194305,"sha":"{SHORT}"}}\n{{}}')),
        "code_and_bytes": read(
            BAD, "Both a code and bytes.", line(f'{{"code":"form.unknown","length":2,"sha":"{SHORT}"}}\n{{}}')
        ),
        "neither": read(BAD, "Neither a code nor bytes.", line(f'{{"length":0,"sha":"{SHORT}"}}\n')),
    }
