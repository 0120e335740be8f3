"""JSON schemas of the publishing endpoints: form versions, rollouts, rule tables, tasks, inventory, tokens.

Source packages, compiled forms and signatures are bytes and must not pass through a schema.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from server.api.schemas import ONE_LINE, REGION_CODE, NameSet, NumberPageSchema, WholeNumber
from sync.envelope.route import codes
from sync.wire.encoding import MAX_INTEGER
from sync.wire.json_object import KID, SHA256_HEX

FORM_ID = validate.Regexp(r"[a-z][a-z0-9_]{0,39}\Z")
REASON = validate.Regexp(r"[^\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]{1,1000}\Z")
CHANNEL = validate.OneOf(("training", "field"))
COUNT = validate.Range(0, MAX_INTEGER)
OUTCOME, TIER, QUEUE_KIND = (validate.OneOf(sorted(codes(name))) for name in ("outcome", "tier", "queue_kinds"))


class ChannelQuerySchema(Schema):
    """The channel for which a form is compiled."""

    channel = fields.String(load_default="training", validate=CHANNEL)


class FormQuerySchema(NumberPageSchema):
    """Selects one form; without it, all forms."""

    form = fields.String(validate=FORM_ID)


class FormProblemSchema(Schema):
    """One problem in an author's form, and its place."""

    sheet = fields.String()
    row = fields.Integer()
    column = fields.String()
    code = fields.String()
    advice_es = fields.String()
    advice_en = fields.String()
    blocking = fields.Boolean()


class CheckedSchema(Schema):
    """The problems of an upload."""

    ok = fields.Boolean()
    problems = fields.List(fields.Nested(FormProblemSchema))


class VersionSchema(Schema):
    """A form version in any state from draft to retired."""

    id = fields.Integer()
    form = fields.String()
    version = fields.String()
    channel = fields.String()
    sha = fields.String()
    state = fields.String(metadata={"enum": ["draft", "in_review", "approved", "published", "closing", "retired"]})
    author = fields.String()
    reviewer = fields.String()
    indicator_set = fields.String()
    policy = fields.String()
    validated = fields.String()
    reason = fields.String()
    created = fields.Integer()
    changed = fields.Integer()
    source = fields.Boolean()


class DraftSchema(VersionSchema):
    """A stored draft, and its remaining problems."""

    problems = fields.List(fields.Nested(FormProblemSchema))


class TrialSchema(Schema):
    """The outcome of a trial interview, without answers."""

    outcome = fields.String()
    tier = fields.String()
    queue_kinds = fields.List(fields.String())
    fired = fields.Integer()
    at = fields.Integer()


class VersionDetailSchema(VersionSchema):
    """A version with its trial interviews, and the version that tablets used before it."""

    trials = fields.List(fields.Nested(TrialSchema))
    before = fields.Integer(allow_none=True)


class NewTrialSchema(Schema):
    """The outcome of a trial interview with a draft."""

    sha = fields.String(required=True, validate=validate.Regexp(rf"{SHA256_HEX.pattern}\Z"))
    outcome = fields.String(required=True, validate=OUTCOME)
    tier = fields.String(required=True, validate=TIER)
    queue_kinds = fields.List(fields.String(validate=QUEUE_KIND), required=True, validate=validate.Length(max=8))
    fired = WholeNumber(required=True, validate=validate.Range(0, 1000))


class WhySchema(Schema):
    """The reason of a decision, for other people to read."""

    reason = fields.String(required=True, validate=REASON)


class NewRingSchema(Schema):
    """The tablets that get a version. An omitted field does not limit them."""

    regions = fields.List(
        fields.String(validate=validate.Regexp(r"[0-9]{2,6}\Z")), validate=validate.Length(1, 100), allow_none=True
    )
    devices = fields.List(
        fields.String(validate=validate.Regexp(rf"{KID.pattern}\Z")), validate=validate.Length(1, 1000), allow_none=True
    )
    share_permille = WholeNumber(validate=validate.Range(1, 1000), allow_none=True)


class NewRolloutSchema(NewRingSchema):
    """A new rollout to a ring of tablets: now, or at a given time."""

    starts = WholeNumber(validate=COUNT, allow_none=True)


class RolloutSchema(Schema):
    """A rollout of a version to a ring of tablets."""

    id = fields.Integer()
    version = fields.Integer()
    form = fields.String()
    label = fields.String()
    channel = fields.String()
    sha = fields.String()
    regions = fields.List(fields.String(), allow_none=True)
    devices = fields.List(fields.String(), allow_none=True)
    share_permille = fields.Integer(allow_none=True)
    state = fields.String(metadata={"enum": ["planned", "live", "halted", "ended"]})
    starts = fields.Integer()
    since = fields.Integer(allow_none=True)
    reason = fields.String()
    refused = fields.Integer()


class ChangeSchema(Schema):
    """One difference between two versions, in an author's terms."""

    code = fields.String()
    sheet = fields.String()
    name = fields.String()
    es = fields.String()
    en = fields.String()


class AgainstSchema(NumberPageSchema):
    """The version to compare with. Without it: the version that tablets used before."""

    old = WholeNumber(validate=COUNT)


class CountSchema(Schema):
    """The number of synthetic respondents for a comparison."""

    count = WholeNumber(load_default=300, validate=validate.Range(1, 10_000))


class ImpactSchema(AgainstSchema, CountSchema):
    """The version to compare with, and the number of synthetic respondents."""


class RuleTableSchema(Schema):
    """An indicator set or a policy that an author published."""

    kind = fields.String(metadata={"enum": ["indicator_set", "policy"]})
    name = fields.String()
    family = fields.String()
    published = fields.Integer()


class PutTableSchema(RuleTableSchema):
    """A published table, its changes, and the form versions that use its family."""

    former = fields.String()
    changes = fields.List(fields.Nested(ChangeSchema))
    users = fields.List(fields.Nested(VersionSchema))


class TaskSchema(Schema):
    """A background task: its progress and its result."""

    id = fields.String()
    state = fields.String(metadata={"enum": ["waiting", "running", "done", "failed"]})
    done = fields.Integer()
    of = fields.Integer()
    result = fields.Raw(allow_none=True)
    problem = fields.Dict(keys=fields.String(), allow_none=True)


class InventoryQuerySchema(Schema):
    """Selects the tablets of one region; without it, all tablets."""

    region = fields.String(validate=REGION_CODE)


class HeldSchema(Schema):
    """The tablets with one version in one region, as counts."""

    form = fields.String()
    sha = fields.String()
    version = fields.String()
    channel = fields.String()
    state = fields.String()
    region = fields.String()
    held = fields.Integer()
    due = fields.Integer()
    behind = fields.Integer()
    since = fields.Integer(allow_none=True)
    silent = fields.Integer()


class BehindSchema(Schema):
    """A tablet that has a different version than the manifest gives it."""

    dev = fields.String()
    label = fields.String()
    region = fields.String()
    form = fields.String()
    held = fields.String()
    wanted = fields.String()
    since = fields.Integer()
    seen = fields.Integer(allow_none=True)
    silent = fields.Boolean()


class QuietSchema(Schema):
    """A tablet that has not synced for a long time."""

    dev = fields.String()
    label = fields.String()
    region = fields.String()
    seen = fields.Integer(allow_none=True)


class InventorySchema(Schema):
    """The versions on tablets. A token does not get `behind` and `silent`, because they name tablets."""

    versions = fields.List(fields.Nested(HeldSchema))
    behind = fields.List(fields.Nested(BehindSchema))
    silent = fields.List(fields.Nested(QuietSchema))


class NewTokenSchema(Schema):
    """A token to create."""

    label = fields.String(required=True, validate=ONE_LINE)
    roles = fields.List(
        fields.String(validate=validate.OneOf(("author", "reviewer", "publisher"))),
        required=True,
        validate=validate.Length(1, 3),
    )
    days = WholeNumber(load_default=30, validate=validate.Range(1, 90))


class TokenSchema(Schema):
    """A token with its roles and its expiry."""

    id = fields.String()
    label = fields.String()
    roles = NameSet()
    created = fields.Integer()
    expires = fields.Integer()
    used = fields.Integer(allow_none=True)
    revoked = fields.Integer(allow_none=True)


class MadeTokenSchema(TokenSchema):
    """A new token. The server returns its text once."""

    token = fields.String()
