"""Sphinx extension: figures numbered within their page; every script once, and none of thebe's, which would load code from elsewhere.

jupyter-book connects some extensions twice, so that their scripts come twice; a second MathJax breaks the first.
"""

import copy


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


def recall(app, env):
    """Give Sphinx the numbers that it gave last time, so that it writes again only the pages whose figures changed."""
    env.toc_fignumbers = getattr(env, "book_fignumbers", {})
    return []


def within_pages(app, env):
    """Number figures within their page; Sphinx goes on from page to page."""
    env.book_fignumbers = copy.deepcopy(env.toc_fignumbers)
    for kinds in env.toc_fignumbers.values():
        for numbers in kinds.values():
            for number, name in enumerate(sorted(numbers, key=numbers.get), 1):
                numbers[name] = (number,)
    return []


def setup(app):
    app.connect("html-page-context", once, priority=999)
    app.connect("env-get-updated", recall, priority=100)  # the collector of figures has 500
    app.connect("env-get-updated", within_pages, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
