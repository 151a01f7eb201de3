"""From runs and records to pages. May import `papers` and `runs`; nothing here runs a notebook."""
