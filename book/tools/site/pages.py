"""Generated parts of pages: made from the records of the run that the site is built from, never by hand.

A page of `book/` asks for one by a comment, `<!-- made: NAME -->`.
"""

from __future__ import annotations

import re

from book.tools import BookError
from book.tools.site import behind, front, methods, results
from book.tools.site.context import Context

MARK = re.compile(r"<!-- made: ([a-z-]+) -->")
MAKERS = {
    "papers": front.papers,
    "counts": front.counts,
    "times": front.times,
    "wall": front.wall,
    "part": front.part,
    "methods": methods.methods,
    "across": methods.across,
    "by-part": results.by_part,
    "primary": results.primary,
    "users": behind.users,
    "data": behind.data,
}


def fill(context: Context, text: str, page: str) -> str:
    """The page with its marks replaced. Raises BookError for a mark that nothing makes."""

    def make(match):
        if match[1] not in MAKERS:
            raise BookError(f"{page} asks for {match[1]!r}, which nothing makes.")
        return MAKERS[match[1]](context, page)

    return MARK.sub(make, text)
