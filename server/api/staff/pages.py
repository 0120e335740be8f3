"""Pages of the staff API's lists: the answer is an array, and its header `Link` names the next page (RFC 8288).

A cursor (`after`) is the id of the last item of the page before. An endpoint asks its flow for one item more than the
page has, so that it knows whether there is a next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import request

from server.api.openapi import Document
from server.problems import Problem

Item = TypeVar("Item")
NEXT_PAGE: Document = {"Link": {"schema": {"type": "string"}}}
"""The header of a list in its OpenAPI response: `<address>; rel="next"`, left out on the last page."""


def answer_page(
    found: Sequence[Item], limit: int, *, cursor: Callable[[Item], object], describe: Callable[[Item], Any]
) -> tuple[list[Any], dict[str, str]]:
    """Return the first `limit` items as described, and the header with the next page's address if there is one."""
    shown = [describe(each) for each in found[:limit]]
    if len(found) <= limit:
        return shown, {}
    query = urlencode({**request.args, "after": str(cursor(found[limit - 1])), "limit": limit})
    return shown, {"Link": f'<{request.path}?{query}>; rel="next"'}


def answer_part(whole: Sequence[Any], after: int, limit: int) -> tuple[list[Any], dict[str, str]]:
    """Return a page of a list whose items have no id. Its cursor is the number of items before the page."""
    numbered = list(enumerate(whole, 1))[after : after + limit + 1]
    return answer_page(numbered, limit, cursor=lambda each: each[0], describe=lambda each: each[1])


def cut_page(whole: Sequence[Item], after: str, limit: int, *, cursor: Callable[[Item], object]) -> list[Item]:
    """Cut a page and one item more out of a short list that is in memory: a list that people make by hand.

    Raises Problem `list.bad_cursor` if no item has the cursor.
    """
    names = [str(cursor(each)) for each in whole] if after else []
    if after and after not in names:
        raise Problem("list.bad_cursor", after)
    begin = names.index(after) + 1 if after else 0
    return list(whole[begin : begin + limit + 1])
