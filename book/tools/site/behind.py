"""Parts of the pages behind the book: data, and who uses what of `shared`."""

from __future__ import annotations

import ast

from book.tools.papers.memo import memo
from book.tools.papers.notebooks import source
from book.tools.site.context import Context
from shared.data import catalog


def users(context: Context, page: str) -> str:
    """Which pages use which function of `shared`."""
    users = users_of(context)
    lines = ["| from `shared` | used on the pages |", "| --- | --- |"]
    for name in sorted(users):
        links = ", ".join(f"[{s}](../notebooks/{context.infos[s]['part']}/{s}.ipynb)" for s in users[name])
        lines.append(f"| `{name}` | {links} |")
    return "\n".join(lines)


def users_of(context: Context) -> dict[str, list[str]]:
    """Public names of `shared` -> slugs of the notebooks whose code names them."""
    users: dict[str, list[str]] = {}
    for slug in context.slugs:
        text = source(slug).read_text(encoding="utf-8")
        names = memo("used", __file__, text, lambda text=text: "\n".join(sorted(used_names(text))).encode())
        for name in names.decode().splitlines():
            users.setdefault(name, []).append(slug)
    return users


def used_names(text: str) -> set[str]:
    """Public names of `shared` that a notebook's code uses: "module.name"."""
    modules, names, attributes = {}, set(), []  # modules: local name -> module of shared
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shared":
            for alias in node.names:
                if node.module == "shared":
                    modules[alias.asname or alias.name] = alias.name
                else:
                    names.add(f"{node.module.removeprefix('shared.')}.{alias.name}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.append((node.value.id, node.attr))
    return names | {f"{modules[owner]}.{name}" for owner, name in attributes if owner in modules}


def data(context: Context, page: str) -> str:
    uses: dict[str, list[str]] = {}
    for slug, info in context.infos.items():
        for names in info["data"].values():
            for name in names:
                if slug not in uses.setdefault(name, []):
                    uses[name].append(slug)
    table = ["| set | what | licence | used by |", "| --- | --- | --- | --- |"]
    details = []
    for name, entry in catalog().items():
        licence = f"[{entry['licence']}]({entry['licence_url']})" if entry.get("licence_url") else entry["licence"]
        users = (
            ", ".join(f"[{s}](../notebooks/{context.infos[s]['part']}/{s}.ipynb)" for s in uses.get(name, [])) or "-"
        )
        cells = [f"`{name}`", f"**{entry['title']}**; {entry['rows']}", licence, users]
        table.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        made = {
            "embedded": f"Made by `{entry.get('script')}`",
            "package": "Fetched by pip where a notebook reads it",
            "download": "Downloaded at `full`",
        }[entry["kind"]]
        size = f"{entry['bytes'] / 1e6:.1f} MB"
        details.append(f"- `{name}`: {entry['source']}. {made}; {size}; sha256 `{entry['sha256'][:16]}`...")
    return "\n".join(table) + "\n\n## Where they come from\n\n" + "\n".join(details)
