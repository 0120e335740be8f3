"""JSON schemas of the tablet API, for validation and for its OpenAPI document.

Signed documents stand in them as text. A tablet verifies each one itself.
"""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from server.api.schemas import TrustsSchema, WholeNumber
from sync.documents.registry import MAX_KEYS
from sync.exchange.bundle_stream import MAX_WANTED, WANTED
from sync.wire.encoding import MAX_INTEGER

KEY_HASHES = validate.Regexp(rf"[0-9a-f]{{64}}(,[0-9a-f]{{64}}){{0,{MAX_KEYS - 1}}}\Z")
FORM_HASHES = validate.Regexp(rf"{WANTED.pattern}(,{WANTED.pattern}){{0,{MAX_WANTED - 1}}}\Z")


class ReadmittedSchema(Schema):
    """A tablet after re-enrolment."""

    dev = fields.String()
    state = fields.String()


class EnrolledSchema(ReadmittedSchema):
    """A tablet after enrolment, with the trust by which it checks the pin."""

    trust = fields.String()


class TrustHeldSchema(Schema):
    """The number of the trust that a tablet holds; 0: none."""

    trust = WholeNumber(load_default=0, validate=validate.Range(0, MAX_INTEGER))


class FirstPullSchema(TrustsSchema):
    """The documents of a certified tablet, and the keys of its region."""

    registry = fields.String()
    manifest = fields.String()
    certificate = fields.String()
    keys = fields.List(fields.String())


class KeysSchema(Schema):
    """Public keys of keyrings."""

    keys = fields.List(fields.String())


class WantedKeysSchema(Schema):
    """The hashes of the keys to send."""

    want = fields.String(required=True, validate=KEY_HASHES)


class WantedFormsSchema(Schema):
    """The form versions to send, each with the dictionary that the tablet has for it."""

    want = fields.String(required=True, validate=FORM_HASHES)
