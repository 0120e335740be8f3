"""The JSON of the people's door, for validation and for its OpenAPI document. No signed bytes pass through here."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, fields, validate

from sync.encoding import MAX_INTEGER

MODES = ("field", "training")
# marshmallow matches from the start only, hence the ends; \d would take the digits of every script.
LINE = validate.Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,80}\Z")
_DIGITS = re.compile(r"-?[0-9]{1,16}")
REGION = validate.Regexp(r"[0-9]{2}\Z")
DEVICES = validate.Regexp(r"[A-Za-z0-9_-]{22}(,[A-Za-z0-9_-]{22}){0,99}\Z")
REGIONS = validate.Regexp(r"[0-9]{2}(,[0-9]{2})*\Z")


class Whole(fields.Integer):
    """A whole number that somebody sends: as text in plain digits only, where int() would take `1_0`, `+1`, blanks."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Names(fields.List[str]):
    """A set of names, written in one order."""

    def __init__(self, **said: Any) -> None:
        super().__init__(fields.String(), **said)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **said: Any) -> list[Any] | None:
        return super()._serialize(sorted(value), attr, obj, **said)


class Parameters(Schema):
    """How a client makes `auth` and `lock` of a passphrase (SPEC 3.2)."""

    salt = fields.String(required=True, metadata={"description": "16 bytes, base64url"})
    kdf = fields.Constant("argon2id-65536-3-1", metadata={"type": "string", "enum": ["argon2id-65536-3-1"]})


class Login(Schema):
    """Whose parameters are wanted."""

    login = fields.String(required=True, validate=LINE)


class SignIn(Login):
    """A sign-in. `auth` is derived in the client; the passphrase is never sent."""

    auth = fields.String(required=True, validate=validate.Length(equal=43), metadata={"description": "base64url"})


class Person(Schema):
    """Who is signed in."""

    person = fields.String(attribute="id")
    login = fields.String()
    name = fields.String()
    roles = Names()
    groups = Names()


class LockedKey(Schema):
    """A secret that only the person's passphrase opens, for the purpose `<kind>/<kid>`."""

    kind = fields.String()
    kid = fields.String()
    locked = fields.String()


class WrappedKeyring(Schema):
    """The person's own copy of a keyring epoch's secret."""

    keyring = fields.String()
    epoch = fields.Integer()
    kid = fields.String()
    wrapped = fields.String()


class Me(Schema):
    """Everything the person's client needs to work."""

    person = fields.Nested(Person)
    queues = fields.List(fields.String())
    seal = fields.Nested(LockedKey)
    signing = fields.Nested(LockedKey)
    keyrings = fields.List(fields.Nested(WrappedKeyring))


class View(Schema):
    """Field work or the training view; never both at once."""

    mode = fields.String(load_default="field", validate=validate.OneOf(MODES))


class Invite(Schema):
    """A tablet that is to come."""

    label = fields.String(required=True, validate=LINE)
    region = fields.String(required=True, validate=REGION)


class Invitation(Schema):
    """What the tablet reads as a QR code; shown once."""

    invitation = fields.String()
    expires = fields.Integer()


class Order(Schema):
    """What a registrar ordered a tablet to do, and when the tablet said it had done it."""

    number = fields.Integer()
    kind = fields.String(metadata={"enum": ["revoke", "wipe"]})
    given = fields.Integer()
    carried_out = fields.Integer(allow_none=True)


class Device(Schema):
    """A tablet, and what is known of it."""

    dev = fields.String()
    label = fields.String()
    region = fields.String()
    state = fields.String()
    key = fields.String()
    enrolled = fields.Integer()
    seen = fields.Integer(allow_none=True)
    trust = fields.Integer(metadata={"description": "number of the document on board, like the next two"})
    registry = fields.Integer()
    manifest = fields.Integer()
    clock_offset = fields.Integer(allow_none=True, metadata={"description": "its clock minus ours, in ms"})
    forms = fields.Dict(keys=fields.String(), metadata={"description": "form id to the version on board"})
    rejected = fields.Integer(metadata={"description": "envelopes of its that were rejected, ever"})
    order = fields.Integer(attribute="last", metadata={"description": "the highest number of an order for it"})
    orders = fields.List(fields.Nested(Order))


class Enrolled(Schema):
    """A tablet that has been taken in, or taken back."""

    dev = fields.String()
    state = fields.String()


class Ring(Schema):
    """Which tablets get a version first; all of them when nothing is given."""

    regions = fields.String(validate=REGIONS, metadata={"description": "17,21"})
    devices = fields.String(validate=DEVICES)
    share_permille = Whole(validate=validate.Range(1, 1000))


class Published(Schema):
    """A form version in use."""

    form = fields.String()
    version = fields.String()
    channel = fields.String()
    sha = fields.String()
    manifest = fields.Integer()


class Accepted(Schema):
    """A signed document that is now in force."""

    kind = fields.String()
    number = fields.Integer()


class Queue(Schema):
    """One desk's list, with how much is in it."""

    id = fields.String()
    title = fields.String()
    site = fields.String()
    kind = fields.String()
    waiting = fields.Integer()
    claimed = fields.Integer()
    accepted = fields.Integer()
    overdue = fields.Integer()


class Referral(Schema):
    """One screening as work in one queue; the route is what the server could read of it."""

    id = fields.String()
    queue = fields.String()
    envelope = fields.String()
    jti = fields.String()
    dev = fields.String()
    kid = fields.String()
    state = fields.String()
    mode = fields.String()
    urgency = fields.String()
    mark = fields.String()
    opened = fields.Integer()
    deadline = fields.Integer(allow_none=True)
    holder = fields.String(allow_none=True)
    lease = fields.Integer(allow_none=True)
    result = fields.String(allow_none=True)
    route = fields.Dict(keys=fields.String(), allow_none=True)


class Close(Schema):
    """How the work ended."""

    result = fields.String(required=True, validate=validate.Length(1, 40))


class WorkQuery(Schema):
    """What waits for a decision, or what was kept apart."""

    kept = Whole(load_default=0, validate=validate.OneOf((0, 1)))


class WorkItem(Schema):
    """Something a person must decide."""

    id = fields.Integer()
    kind = fields.String()
    dev = fields.String()
    label = fields.String()
    chain = fields.String()
    envelope = fields.String()
    reason = fields.String()
    opened = fields.Integer()
    sentence = fields.String(metadata={"description": "what it means and what to do, in Spanish"})
    decisions = fields.List(fields.String())
    closed = fields.Integer(allow_none=True)
    decision = fields.String(allow_none=True)


class Evidence(Schema):
    """A stored screening that an item of the work list is about."""

    envelope = fields.String()
    jti = fields.String()
    dev = fields.String()
    kid = fields.String()
    seq = fields.Integer()
    received = fields.Integer()
    outcome = fields.String()
    referrals = fields.List(fields.String())
    route = fields.Dict(keys=fields.String(), allow_none=True)


class WorkDetail(WorkItem):
    """Something a person must decide, and the screenings it is about."""

    envelopes = fields.List(fields.Nested(Evidence))


class Decide(Schema):
    """How an item of the work list is settled."""

    decision = fields.String(required=True, validate=validate.Length(1, 40))


class Table(Schema):
    """One month and dimension. null: held back, because it is built on fewer than eleven people."""

    month = fields.String()
    dimension = fields.String()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))
    total = fields.Integer(allow_none=True)


class AuditQuery(Schema):
    """Which page of the chain."""

    after = Whole(load_default=0, validate=validate.Range(0, MAX_INTEGER))


class AuditEntry(Schema):
    """One deed."""

    number = fields.Integer()
    at = fields.Integer()
    action = fields.String()
    actor = fields.String()
    subject = fields.String()
    detail = fields.Dict(keys=fields.String())
    prev = fields.String()
    hash = fields.String()


class AuditHead(Schema):
    """The chain's last row."""

    number = fields.Integer()
    hash = fields.String()


class AuditPage(Schema):
    """Up to 500 deeds and the chain's head."""

    head = fields.Nested(AuditHead)
    entries = fields.List(fields.Nested(AuditEntry))


class Health(Schema):
    """The server can work; where it cannot, it answers with a problem."""

    status = fields.String(metadata={"enum": ["ok"]})
