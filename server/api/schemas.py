"""JSON schemas of the staff API, for validation and for its OpenAPI document.

Signed documents are bytes and must not pass through a schema.
"""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, fields, validate

from sync.wire.encoding import MAX_INTEGER

MODES = ("field", "training")
# marshmallow anchors a pattern at the start only, so each ends with \Z. `\d` would match the digits of every script.
ONE_LINE = validate.Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,80}\Z")
ONE_LINE_OR_EMPTY = validate.Regexp(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,80}\Z")
THIRTY_TWO_BYTES = validate.Regexp(r"[A-Za-z0-9_-]{43}\Z")
_DIGITS = re.compile(r"-?[0-9]{1,16}")
REGION_CODE = validate.Regexp(r"[0-9]{2}\Z")
DEVICE_IDS = validate.Regexp(r"[A-Za-z0-9_-]{22}(,[A-Za-z0-9_-]{22}){0,99}\Z")
REGION_CODES = validate.Regexp(r"[0-9]{2}(,[0-9]{2})*\Z")


class WholeNumber(fields.Integer):
    """A whole number from a client. Text must be ASCII digits: int() would also accept `1_0`, `+1` and spaces."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class NameSet(fields.List[str]):
    """A set of names, serialized as a sorted list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fields.String(), **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> list[Any] | None:
        return super()._serialize(sorted(value), attr, obj, **options)


class AskChallengeSchema(Schema):
    """A client's request that the server prove itself (SPEC 5.9). An empty login asks for the proof alone."""

    login = fields.String(required=True, validate=ONE_LINE_OR_EMPTY)
    nonce = fields.String(required=True, validate=THIRTY_TWO_BYTES)
    url = fields.String(required=True, validate=validate.Length(max=300))


class SignInSchema(Schema):
    """The answer to a challenge of this server. Neither the passphrase nor `auth` is sent."""

    challenge = fields.String(required=True, validate=validate.Length(max=4096))
    proof = fields.String(required=True, validate=THIRTY_TWO_BYTES)


class TrustsSchema(Schema):
    """Every trust as text, rising by number."""

    trusts = fields.List(fields.String())


class RejectedEnvelopeSchema(Schema):
    """An envelope that was not stored, and why."""

    id = fields.String()
    code = fields.String()


class CourierSchema(Schema):
    """What became of the envelopes that a courier brought."""

    generation = fields.String()
    receipts = fields.List(fields.String())
    rejected = fields.List(fields.Nested(RejectedEnvelopeSchema))


class PersonSchema(Schema):
    """The signed-in person."""

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


class LimitSchema(Schema):
    """The length of a page."""

    limit = WholeNumber(load_default=100, validate=validate.Range(1, 1000))


class PageSchema(LimitSchema):
    """A page of a list. `after` is the id of the last item of the page before; empty: the first page."""

    after = fields.String(load_default="", validate=validate.Regexp(r"[A-Za-z0-9_.-]{0,64}\Z"))


class NumberPageSchema(LimitSchema):
    """A page of a list whose items have numbers. `after` is the last number of the page before."""

    after = WholeNumber(load_default=0, validate=validate.Range(0, MAX_INTEGER))


class ViewSchema(Schema):
    """The view: field work or training, never both at once."""

    mode = fields.String(load_default="field", validate=validate.OneOf(MODES))


class ViewPageSchema(ViewSchema, PageSchema):
    """A page of field work or of training."""


class StatisticsQuerySchema(ViewSchema, NumberPageSchema):
    """A page of the published tables of field work or of training."""


class InviteSchema(Schema):
    """A new tablet to invite."""

    label = fields.String(required=True, validate=ONE_LINE)
    region = fields.String(required=True, validate=REGION_CODE)


class InvitationSchema(Schema):
    """The text of the QR code that a tablet reads. The server returns it once."""

    invitation = fields.String()
    expires = fields.Integer()


class OrderSchema(Schema):
    """A registrar's order to a tablet, and when the tablet reported that it carried it out."""

    number = fields.Integer()
    kind = fields.String(metadata={"enum": ["revoke", "wipe"]})
    given = fields.Integer()
    carried_out = fields.Integer(allow_none=True)


class DeviceSchema(Schema):
    """A tablet and its last reported state."""

    dev = fields.String()
    label = fields.String()
    region = fields.String()
    state = fields.String()
    key = fields.String()
    enrolled = fields.Integer()
    seen = fields.Integer(allow_none=True)
    trust = fields.Integer(metadata={"description": "number of the document on the tablet, like the next two"})
    registry = fields.Integer()
    manifest = fields.Integer()
    clock_offset = fields.Integer(allow_none=True, metadata={"description": "its clock minus ours, in ms"})
    forms = fields.Dict(keys=fields.String(), metadata={"description": "form id to the version on the tablet"})
    rejected = fields.Integer(metadata={"description": "total number of its envelopes that the server rejected"})
    order = fields.Integer(attribute="last", metadata={"description": "the highest number of an order for it"})
    orders = fields.List(fields.Nested(OrderSchema))


class RingSchema(Schema):
    """The ring of tablets that get a version. Without parameters: all tablets."""

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


class OrphanSchema(Schema):
    """Names keys that a trust drops although documents count by them alone."""

    orphan = fields.String(load_default="", validate=validate.Length(max=2000))


class VersionNameSchema(Schema):
    """Selects form versions by their name."""

    version = fields.String(required=True, validate=validate.Length(max=80))


class FormVersionSchema(Schema):
    """A form version that tablets use or used."""

    form = fields.String()
    version = fields.String()
    channel = fields.String()
    sha = fields.String()
    state = fields.String(metadata={"enum": ["published", "closing", "retired"]})


class AcceptedSchema(Schema):
    """A signed document that is now in force."""

    kind = fields.String()
    number = fields.Integer()


class QueueSchema(Schema):
    """A queue of one desk, with its counts per state. A count of 10,000 stands for more, too."""

    id = fields.String()
    title = fields.String()
    site = fields.String()
    kind = fields.String()
    waiting = fields.Integer()
    claimed = fields.Integer()
    accepted = fields.Integer()
    overdue = fields.Integer()


class ReferralSchema(Schema):
    """One screening in one queue. The route is the part of it that the server can read."""

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
    holder_login = fields.String(allow_none=True)
    received = fields.Integer()
    place = fields.String(allow_none=True)
    lease = fields.Integer(allow_none=True)
    result = fields.String(allow_none=True)
    route = fields.Dict(allow_none=True)


class CloseSchema(Schema):
    """The result with which a referral is closed."""

    result = fields.String(required=True, validate=validate.Length(1, 40))


class WorkQuerySchema(NumberPageSchema):
    """Selects open items (0), or items that were kept aside (1)."""

    kept = WholeNumber(load_default=0, validate=validate.OneOf((0, 1)))


class WorkItemSchema(Schema):
    """An item of the work list: a person must decide on it."""

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
    """A stored screening to which a work-list item refers."""

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
    """A work-list item with the screenings to which it refers."""

    envelopes = fields.List(fields.Nested(EvidenceSchema))


class DecideSchema(Schema):
    """The decision that settles a work-list item."""

    decision = fields.String(required=True, validate=validate.Length(1, 40))


class TableSchema(Schema):
    """The table of one fact in one published period. A count is a number from 11, `< 11`, or `hidden`."""

    period = fields.String()
    table = fields.String(attribute="fact")
    total = fields.Integer()
    counts = fields.Dict(attribute="figures", keys=fields.String(), values=fields.String())


class AuditQuerySchema(Schema):
    """Selects a page of the audit chain."""

    after = WholeNumber(load_default=0, validate=validate.Range(0, MAX_INTEGER))


class AuditEntrySchema(Schema):
    """One entry of the audit chain."""

    number = fields.Integer()
    at = fields.Integer()
    action = fields.String()
    actor = fields.String()
    subject = fields.String()
    detail = fields.Dict(keys=fields.String())
    prev = fields.String()
    hash = fields.String()


class AuditHeadSchema(Schema):
    """The last row of the audit chain."""

    number = fields.Integer()
    hash = fields.String()


class ToldHeadSchema(AuditHeadSchema):
    """The present end of the audit chain, and whether it contains the head that the client named."""

    agrees = fields.Boolean()


class KnownHeadSchema(Schema):
    """The audit head that the client was told before; number 0 if none."""

    number = WholeNumber(required=True, validate=validate.Range(0, MAX_INTEGER))
    hash = fields.String(required=True, validate=validate.Regexp(r"[0-9a-f]{64}\Z"))


class AuditPageSchema(Schema):
    """Up to 500 audit entries and the chain's head."""

    head = fields.Nested(AuditHeadSchema)
    entries = fields.List(fields.Nested(AuditEntrySchema))


class HealthSchema(Schema):
    """The server is healthy. If it is not, it answers with a problem instead."""

    status = fields.String(metadata={"enum": ["ok", "damaged"]})
