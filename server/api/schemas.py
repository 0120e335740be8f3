"""The JSON of the people's door, for validation and for its OpenAPI document. No signed bytes pass through here."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, fields, validate

from sync.wire.encoding import MAX_INTEGER

MODES = ("field", "training")
# marshmallow matches from the start only, hence the ends; \d would take the digits of every script.
ONE_LINE = validate.Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,80}\Z")
_DIGITS = re.compile(r"-?[0-9]{1,16}")
REGION_CODE = validate.Regexp(r"[0-9]{2}\Z")
DEVICE_IDS = validate.Regexp(r"[A-Za-z0-9_-]{22}(,[A-Za-z0-9_-]{22}){0,99}\Z")
REGION_CODES = validate.Regexp(r"[0-9]{2}(,[0-9]{2})*\Z")


class WholeNumber(fields.Integer):
    """A whole number from a client: as text in plain digits only, where int() would take `1_0`, `+1` and blanks."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class NameSet(fields.List[str]):
    """A set of names, written in one order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fields.String(), **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> list[Any] | None:
        return super()._serialize(sorted(value), attr, obj, **options)


class ParametersSchema(Schema):
    """How a client makes `auth` and `lock` of a passphrase (SPEC 3.2)."""

    salt = fields.String(required=True, metadata={"description": "16 bytes, base64url"})
    kdf = fields.Constant("argon2id-65536-3-1", metadata={"type": "string", "enum": ["argon2id-65536-3-1"]})


class LoginSchema(Schema):
    """Whose parameters are wanted."""

    login = fields.String(required=True, validate=ONE_LINE)


class SignInSchema(LoginSchema):
    """A sign-in. `auth` is derived in the client; the passphrase is never sent."""

    auth = fields.String(required=True, validate=validate.Length(equal=43), metadata={"description": "base64url"})


class PersonSchema(Schema):
    """Who is signed in."""

    person = fields.String(attribute="id")
    login = fields.String()
    name = fields.String()
    roles = NameSet()
    groups = NameSet()


class LockedKeySchema(Schema):
    """A secret that only the person's passphrase opens, for the purpose `<kind>/<kid>`."""

    kind = fields.String()
    kid = fields.String()
    locked = fields.String()


class WrappedKeyringSchema(Schema):
    """The person's own copy of a keyring epoch's secret."""

    keyring = fields.String()
    epoch = fields.Integer()
    kid = fields.String()
    wrapped = fields.String()


class MeSchema(Schema):
    """Everything the person's client needs to work."""

    person = fields.Nested(PersonSchema)
    queues = fields.List(fields.String())
    seal = fields.Nested(LockedKeySchema)
    signing = fields.Nested(LockedKeySchema)
    keyrings = fields.List(fields.Nested(WrappedKeyringSchema))


class ViewSchema(Schema):
    """Field work or the training view; never both at once."""

    mode = fields.String(load_default="field", validate=validate.OneOf(MODES))


class InviteSchema(Schema):
    """A tablet that is to come."""

    label = fields.String(required=True, validate=ONE_LINE)
    region = fields.String(required=True, validate=REGION_CODE)


class InvitationSchema(Schema):
    """What the tablet reads as a QR code; shown once."""

    invitation = fields.String()
    expires = fields.Integer()


class OrderSchema(Schema):
    """What a registrar ordered a tablet to do, and when the tablet said it had done it."""

    number = fields.Integer()
    kind = fields.String(metadata={"enum": ["revoke", "wipe"]})
    given = fields.Integer()
    carried_out = fields.Integer(allow_none=True)


class DeviceSchema(Schema):
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
    orders = fields.List(fields.Nested(OrderSchema))


class EnrolledSchema(Schema):
    """A tablet that has been taken in, or taken back."""

    dev = fields.String()
    state = fields.String()


class RingSchema(Schema):
    """Which tablets get a version first; all of them when nothing is given."""

    regions = fields.String(validate=REGION_CODES, metadata={"description": "17,21"})
    devices = fields.String(validate=DEVICE_IDS)
    share_permille = WholeNumber(validate=validate.Range(1, 1000))


class PublishedSchema(Schema):
    """A form version in use."""

    form = fields.String()
    version = fields.String()
    channel = fields.String()
    sha = fields.String()
    manifest = fields.Integer()


class AcceptedSchema(Schema):
    """A signed document that is now in force."""

    kind = fields.String()
    number = fields.Integer()


class QueueSchema(Schema):
    """One desk's list, with how much is in it."""

    id = fields.String()
    title = fields.String()
    site = fields.String()
    kind = fields.String()
    waiting = fields.Integer()
    claimed = fields.Integer()
    accepted = fields.Integer()
    overdue = fields.Integer()


class ReferralSchema(Schema):
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


class CloseSchema(Schema):
    """How the work ended."""

    result = fields.String(required=True, validate=validate.Length(1, 40))


class WorkQuerySchema(Schema):
    """What waits for a decision, or what was kept apart."""

    kept = WholeNumber(load_default=0, validate=validate.OneOf((0, 1)))


class WorkItemSchema(Schema):
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


class EvidenceSchema(Schema):
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


class WorkDetailSchema(WorkItemSchema):
    """Something a person must decide, and the screenings it is about."""

    envelopes = fields.List(fields.Nested(EvidenceSchema))


class DecideSchema(Schema):
    """How an item of the work list is settled."""

    decision = fields.String(required=True, validate=validate.Length(1, 40))


class TableSchema(Schema):
    """One month and dimension. null: held back, because it is built on fewer than eleven people."""

    month = fields.String()
    dimension = fields.String()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(allow_none=True))
    total = fields.Integer(allow_none=True)


class AuditQuerySchema(Schema):
    """Which page of the chain."""

    after = WholeNumber(load_default=0, validate=validate.Range(0, MAX_INTEGER))


class AuditEntrySchema(Schema):
    """One deed."""

    number = fields.Integer()
    at = fields.Integer()
    action = fields.String()
    actor = fields.String()
    subject = fields.String()
    detail = fields.Dict(keys=fields.String())
    prev = fields.String()
    hash = fields.String()


class AuditHeadSchema(Schema):
    """The chain's last row."""

    number = fields.Integer()
    hash = fields.String()


class AuditPageSchema(Schema):
    """Up to 500 deeds and the chain's head."""

    head = fields.Nested(AuditHeadSchema)
    entries = fields.List(fields.Nested(AuditEntrySchema))


class HealthSchema(Schema):
    """The server can work; where it cannot, it answers with a problem."""

    status = fields.String(metadata={"enum": ["ok"]})
