"""The small utility module that the book's notebooks import.

Importing it costs nothing: every module is loaded when it is asked for, and heavy libraries inside the
functions that need them.
"""

__book__ = "imperfect-labels"  # how a notebook tells this package from another one called `shared`
__version__ = "0.1.0"


def ensure(slug: str) -> None:
    """Install what the notebook of paper `slug` needs and the runtime lacks (see `shared.runtime`)."""
    from shared.runtime import ensure as _ensure

    _ensure(slug)
