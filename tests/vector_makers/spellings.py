"""The vectors of spellings and of rules without state: base64url, JSON, invitations, words, desks, inventories."""

from sync.documents.enrolment import Invitation
from sync.keys.key_pairs import key_id
from sync.wire.encoding import b64u, canonical, strict_json
from vector_makers.fixed_inputs import DEVICE, PIN, Case, case


def base64_cases() -> dict[str, Case]:
    def check(expect: str, about: str, text: str, result: str | None = None) -> Case:
        return case("base64", expect, about, {"text": text}, result)

    wrong = "encoding.base64"
    return {
        "ok": check("ok", "Both special letters.", "-_-_", "fbffbf"),
        "empty": check("ok", "No bytes.", "", ""),
        "padded": check(wrong, "Padding.", "AA=="),
        "stray_bits": check(wrong, "Bits behind the last byte.", "AB"),
        "one_letter": check(wrong, "A single letter holds no byte.", "AAAAA"),
        "standard_alphabet": check(wrong, "The letters of plain base64.", "+/+/"),
        "line_end": check(wrong, "A line end inside.", "AAAA\nAAAA"),
        "foreign_letter": check(wrong, "A letter that is none of the 64.", "AAñA"),
    }


def json_cases() -> dict[str, Case]:
    def check(expect: str, about: str, data: bytes) -> Case:
        result = canonical(strict_json(data)).decode() if expect == "ok" else None
        return case("json", expect, about, {"bytes": b64u(data)}, result)

    wrong, twice = "encoding.json", "encoding.duplicate_member"
    return {
        "spaced": check("ok", "Blanks, order and escapes go.", rb' { "b" : [ 1 , -0 ], "a\u00f1" : "\u0041\/" } '),
        "sorted": check("ok", "Names are sorted as UTF-16.", '{"\ufb33":1,"\U0001f600":2,"z":3,"":4}'.encode()),
        "numbers": check("ok", "Numbers as ECMAScript writes them.", b'{"a":[1.0,1e3,1E-7,0.1e22,-0.0,5e-324,1.5]}'),
        "controls": check("ok", "Control characters.", rb'{"a":"\u0000\u001f\b\f\n\r\t\u007f\u2028"}'),
        "deep": check("ok", "32 levels.", b'{"a":' * 32 + b"1" + b"}" * 32),
        "duplicate_member": check(twice, "The same member twice.", b'{"a":1,"a":1}'),
        "duplicate_member_inside": check(twice, "Further inside.", b'{"a":[{"b":1,"b":2}]}'),
        "duplicate_member_escaped": check(twice, "The same name, escaped.", rb'{"a":1,"\u0061":2}'),
        "duplicate_proto": check(
            twice, "A name that some languages treat as special.", b'{"__proto__":1,"__proto__":2}'
        ),
        "proto": check("ok", "The same name once: a name like any other.", b'{"__proto__":{"a":1}}'),
        "byte_order_mark": check(wrong, "A byte order mark.", b"\xef\xbb\xbf{}"),
        "not_utf8": check(wrong, "Latin-1.", b'{"a":"\xf1"}'),
        "surrogates_in_utf8": check(wrong, "A surrogate in UTF-8.", b'{"a":"\xed\xa0\x80"}'),
        "half_surrogate": check(wrong, "Half a surrogate pair has no canonical form.", rb'{"a":"\ud800"}'),
        "nan": check(wrong, "NaN.", b'{"a":NaN}'),
        "infinity": check(wrong, "Infinity.", b'{"a":-Infinity}'),
        "huge_number": check(wrong, "Too large for a double.", b'{"a":1e400}'),
        "huge_integer": check(wrong, "Beyond 2^53.", b'{"a":9007199254740992}'),
        "leading_zero": check(wrong, "A leading zero.", b'{"a":01}'),
        "line_end_in_text": check(wrong, "A line end in a string.", b'{"a":"\n"}'),
        "trailing_comma": check(wrong, "A comma too many.", b'{"a":1,}'),
        "two_objects": check(wrong, "Two objects.", b"{}{}"),
        "array": check(wrong, "An array.", b"[]"),
        "empty": check(wrong, "Nothing.", b""),
    }


def invitation_cases() -> dict[str, Case]:
    address, code = "https://chaski.example/tabletas", "codigo-de-un-uso"
    good = Invitation(address, code, PIN).to_text()

    def check(expect: str, about: str, text: str, address: str = address) -> Case:
        result = {"u": address, "c": code, "r": PIN} if expect == "ok" else None
        return case("invitation", expect, about, {"text": text}, result)

    wrong = "enrolment.bad_invitation"
    encoded = good.replace(":", "%3A").replace("/", "%2F").replace("%3A", ":", 1)
    return {
        "ok": check("ok", "As it is shown.", good),
        "percent_encoded": check("ok", "Every letter may be percent-encoded.", encoded),
        "blanks_and_slash": check("ok", "Blanks around, a slash at the end.", f" {good.replace('&c', '/&c')} \n"),
        "unknown_member": check("ok", "A member of tomorrow.", good + "&x=1"),
        "plus": check("ok", "A plus is a plus.", good.replace("tabletas", "tabletas+1"), address + "+1"),
        "percent_alone": check(wrong, "A percent sign that stands for nothing.", good.replace("tabletas", "%F")),
        "not_utf8": check(wrong, "Percents that are no UTF-8.", good.replace("tabletas", "%ff")),
        "other_scheme": check(wrong, "Another version.", good.replace("chaski:1", "chaski:2")),
        "ftp": check(wrong, "Neither http nor https.", good.replace("https", "ftp")),
        "short_code": check(wrong, "A code of seven letters.", good.replace(code, "c234567")),
        "short_pin": check(wrong, "A pin of 63 digits.", good[:-1]),
        "no_pin": check(wrong, "No pin.", good.partition("&r=")[0]),
        "two_codes": check(wrong, "Two codes.", good + f"&c={code}"),
    }


def rule_cases() -> dict[str, Case]:
    asked = [["child", "labour"], ["labour"], ["labour", "protection"], ["review"], [], ["protection", "review"]]
    kinds = ["child", "labour", "protection", "protection", "protection", "protection"]
    versions = {"pe_laboral_adulto": "a1" * 32, "a": "00" * 32}
    said = {"key": b64u(DEVICE.public.raw)}
    words = {"kid": DEVICE.kid, "words": " ".join(DEVICE.public.words())}
    return {
        "desk_kinds": case("kinds", "ok", "Which kind of desk a screening is sealed to.", {"asked": asked}, kinds),
        "inventory": case("inventory", "ok", "Two forms.", {"inventory": versions}, key_id(canonical(versions))),
        "no_inventory": case("inventory", "ok", "No form.", {"inventory": {}}, key_id(b"{}")),
        "words": case("words", "ok", "Six words of a device's key.", said, words),
    }
