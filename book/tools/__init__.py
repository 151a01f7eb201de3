"""What turns notebooks into a book: pairing, content keys, running, records, staging, generated pages."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"


class BookError(Exception):
    """Something a person can mend; the message is one sentence that says how."""
