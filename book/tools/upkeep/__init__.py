"""Keeping the book: accepting records, pilots, drift, measurements. May import every other room and `book.py`."""
