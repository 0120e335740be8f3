"""The allowed subset of XLSForm: question types, columns, settings and appearances.

It is a whitelist: pyxform accepts features that send data, or that locate, photograph or name a person. Only a feature
in these tables passes the checks.
"""

from collections.abc import Mapping

from screening_forms.workbook.columns import TEXT_PARTS

SELECT_TYPES = ("select_one", "select_multiple")
GROUP_TYPES = ("begin_group", "end_group", "begin group", "end group")
QUESTION_TYPES = (
    "select_one",
    "select_multiple",
    "integer",
    "date",
    "note",
    "calculate",
    "acknowledge",
    "text",
    "start",
    "end",
)
TYPES_WITH_LABEL = frozenset({*SELECT_TYPES, "integer", "date", "note", "acknowledge", "text"})
TYPES_WITHOUT_ANSWER = ("note", "start", "end", *GROUP_TYPES)
YES_NO = {"": False, "no": False, "false": False, "yes": True, "true": True}
EXPRESSION_COLUMNS = ("relevant", "constraint", "calculation", "choice_filter", "required")
COLUMN_OF_SYMBOL = {
    ".": "constraint",
    "(name)": "choice_filter",
}  # The only column in which a symbol is allowed: `.` is the own answer, a name is a column of choices.
COLUMNS_BY_SHEET: Mapping[str, tuple[str, ...]] = {
    "survey": ("type", "name", *TEXT_PARTS, *EXPRESSION_COLUMNS, "appearance", "route", "reason"),
    "choices": ("list_name", "name", "label"),
    "settings": (
        *("form_id", "form_title", "version", "default_language", "indicator_set", "policy", "profile", "languages"),
        *("omit_route", "consent_policy", "ubigeo_lists", "unreached_on_purpose"),
    ),
    "indicators": ("code", "when", "note"),
    "cases": ("case", "outcome", "tier", "queue_kinds", "note"),
}
REQUIRED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "survey": ("type", "name", "label"),
    "choices": ("list_name", "name", "label"),
    "indicators": ("code", "when"),
    "cases": ("case", "outcome"),
}
REQUIRED_SETTINGS = ("form_id", "form_title", "version", "default_language", "indicator_set", "policy", "profile")
FORBIDDEN_SETTINGS = (
    *("submission_url", "public_key", "auto_send", "auto_delete", "client_editable", "instance_name", "namespaces"),
    *("attribute", "entity", "allow_choice_duplicates", "clean_text_values"),
)
MEDIA_COLUMNS = ("media", "image", "audio", "video", "big-image", "autoplay")
APPEARANCES = frozenset(
    {
        *("minimal", "quick", "quickcompact", "likert", "columns", "columns-pack", "no-buttons", "autocomplete"),
        *("label", "list", "list-nolabel", "table-list", "field-list", "multiline", "month-year", "year"),
        *("no-calendar", *(f"columns-{n}" for n in range(1, 11)), *(f"w{n}" for n in range(1, 13))),
    }
)
"""The allowed looks of a question. Other appearances start programs, print, search files or read barcodes."""

WHY_FORBIDDEN: Mapping[str, str] = {
    **dict.fromkeys(("geopoint", "geotrace", "geoshape", "start-geopoint", "background-geopoint"), "type.place"),
    **dict.fromkeys(("image", "photo", "audio", "video", "file", "background-audio", "audit"), "type.recording"),
    **dict.fromkeys(
        ("deviceid", "subscriberid", "simserial", "phonenumber", "username", "email", "barcode"), "type.identifies"
    ),
    **dict.fromkeys(("begin_repeat", "end_repeat"), "type.repeat"),
    **dict.fromkeys(
        ("select_one_from_file", "select_multiple_from_file", "select_one_external", "csv-external", "xml-external"),
        "type.from_file",
    ),
    **dict.fromkeys(("rank", "range"), "type.no_refusal"),
}
"""The problem code of a forbidden type with a reason of its own; all other types get the general code."""
