"""Sphinx extension: every script once, and none of thebe's, which would load code from elsewhere.

jupyter-book connects some extensions twice, so that their scripts come twice; a second MathJax breaks the first.
"""


def once(app, pagename, templatename, context, doctree):
    kept, seen = [], set()
    for script in context.get("script_files", []):
        body = (getattr(script, "attributes", None) or {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        if "thebe" in name.lower() or "thebe" in body.lower() or (name, body) in seen:
            continue
        seen.add((name, body))
        kept.append(script)
    context["script_files"] = kept


def setup(app):
    app.connect("html-page-context", once, priority=999)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
