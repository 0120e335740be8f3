"""The languages that a form may be in: their tags, their names on screen, and what stands in for each.

Tablets and desks load this too; it needs nothing.
"""

SOURCE = "es"
LANGUAGES = {"es": "Español (es)", "quz": "Runasimi (quz)", "ayr": "Aymar aru (ayr)"}
FALLBACK = {"quz": "es", "ayr": "es"}  # quy never stands in for quz
