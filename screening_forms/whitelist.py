"""What a form may contain, and nothing else: question types, columns, settings; used by checks alone.

A whitelist, because pyxform lets through in silence what would send, locate, photograph or name a person.
"""

from collections.abc import Mapping

from screening_forms.translations import PARTS

SELECTS = ("select_one", "select_multiple")
GROUPS = ("begin_group", "end_group", "begin group", "end group")
TYPES = ("select_one", "select_multiple", "integer", "date", "note", "calculate", "acknowledge", "start", "end")
TEXTUAL = frozenset({*SELECTS, "integer", "date", "note", "acknowledge"})
UNANSWERED = ("note", "start", "end", *GROUPS)
YES_NO = {"": False, "no": False, "false": False, "yes": True, "true": True}
EXPRESSIONS = ("relevant", "constraint", "calculation", "choice_filter", "required")
HOMES = {".": "constraint", "(name)": "choice_filter"}  # the one column where an own answer, or a column, is meant
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "survey": ("type", "name", *PARTS, *EXPRESSIONS, "appearance", "route"),
    "choices": ("list_name", "name", "label"),
    "settings": (
        *("form_id", "form_title", "version", "default_language", "indicator_set", "policy", "profile", "languages"),
        *("omit_route", "consent_policy", "ubigeo_lists"),
    ),
    "indicators": ("code", "when", "note"),
    "cases": ("case", "outcome", "tier", "queue_kinds", "note"),
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "survey": ("type", "name", "label"),
    "choices": ("list_name", "name", "label"),
    "indicators": ("code", "when"),
    "cases": ("case", "outcome"),
}
NEEDED_SETTINGS = ("form_id", "form_title", "version", "default_language", "indicator_set", "policy", "profile")
FORBIDDEN_SETTINGS = (
    *("submission_url", "public_key", "auto_send", "auto_delete", "client_editable", "instance_name", "namespaces"),
    *("attribute", "entity", "allow_choice_duplicates", "clean_text_values"),
)
_PLACE = ("no se guarda dónde está una persona", "where a person is must not be stored")
_IMAGE = ("no se guardan imágenes, voz ni archivos de nadie", "nobody's image, voice or files are stored")
_NAMED = ("no se guarda lo que identifica a una persona o su equipo", "nothing that identifies a person is stored")
WHY_FORBIDDEN = {
    **dict.fromkeys(("geopoint", "geotrace", "geoshape", "start-geopoint", "background-geopoint"), _PLACE),
    **dict.fromkeys(("image", "photo", "audio", "video", "file", "background-audio", "audit"), _IMAGE),
    **dict.fromkeys(("deviceid", "subscriberid", "simserial", "phonenumber", "username", "email", "barcode"), _NAMED),
    "text": ("un texto libre puede llevar nombres", "free text may carry names"),
}
NOT_LISTED = ("solo se permiten: " + ", ".join(TYPES), "allowed are: " + ", ".join(TYPES))
