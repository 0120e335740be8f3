"""Renders the neutral help card: as text for a terminal, and as an HTML page for one sheet of paper to fold.

The person folds the sheet twice: first the upper half to the back, then the left half to the back. Cover and notes are
then outside, the numbers inside. The page must have no script and load no file: opening it sends no request.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from screening_forms.help_card.content import DRAFT_MARK, Card, Hotline, Page
from screening_forms.languages import OWN_NAMES

_STYLE = """
*{box-sizing:border-box}body{margin:0;font:16px/1.35 sans-serif;color:#000;background:#fff}
section{padding:16px;border-bottom:1px dashed #999}h1,h2,p,ul{margin:0 0 8px}h1{font-size:24px}h2{font-size:18px}
.cover,.notes{text-align:center}.cover{padding:48px 16px}.cover p{font-size:20px}
ul{list-style:none;padding:0}li{margin:0 0 8px}b{font-size:20px;white-space:nowrap}small{color:#333;display:block}
.line{border-bottom:1px solid #000;height:32px;margin-bottom:8px}.draft{font-weight:normal}
@page{size:A4;margin:0}
@media print{body{width:210mm;height:296mm;display:grid;grid-template:148mm 148mm/105mm 105mm;overflow:hidden}
section{border:0;padding:9mm}.inside{grid-area:1/1/2/3;display:grid;grid-template-columns:1fr 1fr;padding:0;
transform:rotate(180deg);font-size:11pt;line-height:1.25}.cover{grid-area:2/2;padding-top:45mm}.notes{grid-area:2/1}
.inside h2,.inside b{font-size:14pt}.inside p,.inside li{margin-bottom:2mm}
.others section{padding:5mm 8mm 1mm}.others{font-size:8pt;line-height:1.15}.inside .others :is(h2,b){font-size:10pt}
.inside .others :is(h2,p,li){margin-bottom:.8mm}.others .line{height:6mm;margin-bottom:1mm}small{display:inline}}
"""


def render_text(card: Card) -> Iterator[str]:
    """Yield the lines of the card, the outside texts first."""
    for page in card.pages:
        yield _marked(page, "title") + (f" · {card.region_name}" if page.lang == "es" else "")
    width = max(len(_number(line, page)) for page in card.pages for line in card.hotlines)
    for page in card.pages:
        yield ""
        yield f"{_mark(page)}{OWN_NAMES[page.lang]}: {page.texts['question']}"
        for line in card.hotlines:
            yield f"  {_number(line, page):<{width}}  {page.serves[line.name]} ({line.verified})"
        yield f"  {page.texts['region']} {'_' * 24}"
        yield f"  {page.texts['free']}"
        yield f"  {page.texts['safe']}"


def render_html(card: Card) -> str:
    """Return the HTML page. Spanish is first; each part has the tag of its language."""
    spanish, *others = card.pages
    titles = "".join(f'<p lang="{page.lang}">{escape(_marked(page, "title"))}</p>' for page in others)
    words = " · ".join(f'<span lang="{page.lang}">{escape(_marked(page, "notes"))}</span>' for page in card.pages)
    title = escape(spanish.texts["title"])
    return f"""<!doctype html>
<html lang="es">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<section class="cover"><h1>{title}</h1>{titles}<p>{escape(card.region_name)}</p></section>
<div class="inside">{_inside(spanish, card)}<div class="others">{"".join(_inside(p, card) for p in others)}</div></div>
<section class="notes"><p>{words}</p>{'<div class="line"></div>' * 6}</section>
</body>
</html>
"""


def _inside(page: Page, card: Card) -> str:
    rows = "".join(
        f"<li><b>{escape(_number(line, page))}</b> {escape(page.serves[line.name])} "
        f'<small lang="es">({escape(line.verified)})</small></li>'
        for line in card.hotlines
    )
    closing = "".join(f"<p>{escape(page.texts[name])}</p>" for name in ("free", "safe"))
    mark = f'<span class="draft" lang="es">{escape(_mark(page))}</span>'
    return (
        f'<section lang="{page.lang}"><h2>{mark}{escape(page.texts["question"])}</h2><ul>{rows}</ul>'
        f'<p>{escape(page.texts["region"])}</p><div class="line"></div>{closing}</section>'
    )


def _number(line: Hotline, page: Page) -> str:
    return f"{line.number}, {page.texts['option']} {line.option}" if line.option else line.number


def _mark(page: Page) -> str:
    return DRAFT_MARK if page.draft else ""


def _marked(page: Page, name: str) -> str:
    return _mark(page) + page.texts[name]
