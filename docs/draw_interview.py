"""Draws docs/interview.svg: one page of the interview, as an inspector sees it in the terminal. `make pictures` does.

The page is the real one, of a form of the catalogue, with the story's first interview behind it; a test draws it again
and compares. The picture loads nothing from the network: a letter's width is set, and the typeface is the reader's own.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import MONOKAI

from screening_forms.compiler.compile_form import compile_form
from screening_forms.engine.evaluator import load_engine
from screening_forms.engine.interview import Interview
from screening_forms.workbook.package import load_package
from screening_forms.workbook.resources import CATALOGUE
from server.cli.page_layout import Page
from server.cli.tablet.interview_pages import question_page
from sync.envelope.route import AUTHOR_FIELDS

FILE = Path(__file__).with_name("interview.svg")
FORM, STORY, QUESTION = "pe_laboral_adulto", "1_huepetuhe_quz.json", "deuda"
COLUMNS = 50
TITLE = "chaski device screen"
# The library's own template asks a server for its typeface.
TEMPLATE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
<title id="title">A question of the interview in the terminal, in Spanish, with its numbered answers</title>
<style>
.{unique_id}-matrix {{
  font: {char_height}px "DejaVu Sans Mono", Consolas, Menlo, monospace; line-height: {line_height}px; white-space: pre
}}
.{unique_id}-title {{ font: 700 18px system-ui, "DejaVu Sans", Arial, sans-serif }}
{styles}
</style>
<defs>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def find_page() -> Page:
    """Compile the form, answer as in the story up to the question, and return its page."""
    package = load_package(CATALOGUE / FORM)
    form = compile_form(
        package.workbook, channel="training", route_vocabulary=AUTHOR_FIELDS, resources=package.resources
    )
    answers = json.loads((CATALOGUE / FORM / "answers" / STORY).read_text(encoding="utf-8"))
    interview = Interview(load_engine(form.xform))
    while (question := interview.question) and question.name != QUESTION:
        given = answers.get(question.name, "")
        interview = interview.answer(" ".join(given) if isinstance(given, list) else str(given))
    if not question:
        raise LookupError(f"the interview of {STORY} never comes to {QUESTION}")
    return question_page(form, interview, question, "es", "", frozenset())


def draw() -> str:
    """Return the page as SVG."""
    page = find_page()
    console = Console(record=True, file=StringIO(), width=COLUMNS, force_terminal=True, highlight=False)
    console.print(Group(*page.head, *page.body, "", *page.foot, "> "))
    return console.export_svg(title=TITLE, theme=MONOKAI, code_format=TEMPLATE, unique_id="interview")


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
