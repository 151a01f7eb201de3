"""What turns notebooks into a book: pairing, content keys, running, records, staging, generated pages."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BOOK_BUILD") or ROOT / "_build")  # elsewhere for measurements


class BookError(Exception):
    """Something a person can mend; the message is one sentence that says how."""
