"""The page of all methods, and the figure that compares the papers of a part."""

from __future__ import annotations

import io
from html import escape

from book.tools.site.compare import Comparison, short
from book.tools.site.context import Context
from book.tools.site.tables import filtered_table

SHARES = (5, 10, 20, 30, 40, 50, 60, 80)  # wrong labels, in %, to ask for: the nearest settings are shown
CLEAN = {"none": "none needed", "some": "some needed"}


def _methods(c: Comparison) -> str:
    """The methods of a comparison as a list, best first, the paper's own in bold, with a bar that grows with the value."""
    top = max(m.mean for m in c.measured)
    items = []
    unit = "&nbsp;%" if c.block["unit"] == "%" else f" {escape(c.block['unit'])}"
    for m in c.measured:
        text = escape(m.method)
        text = f"<strong>{text}</strong>" if m.method == c.block["method"] else text
        width = max(1.0, 100 * m.mean / top) if top > 0 else 1.0
        items.append(
            f'<li><span class="bar" style="width:{width:.0f}%"></span><span class="words">{text} '
            f"<span>{short(m.mean)}{unit} <small>[{short(m.low)}, {short(m.high)}]</small></span></span></li>"
        )
    return f'<ol class="ranked">{"".join(items)}</ol>'


def methods(context: Context, page: str) -> str:
    """Every setting that a paper of the book compares methods in: situation, methods with numbers, how to use it."""
    body, options = [], {"data": {}, "problem": {}, "clean labels": {}}
    for slug in context.slugs:
        info = context.infos[slug]
        url = f"../notebooks/{info['part']}/{slug}.html"
        use = info.get("use", {})
        library = use.get("library")
        for c in context.compared[slug]:
            share = f"{c.at['share']:g}" if "share" in c.at and c.block["problem"].startswith("wrong") else ""
            clean = CLEAN[use.get("clean", "none")]
            for key, got in (("data", c.block["kind"]), ("problem", c.block["problem"]), ("clean labels", clean)):
                options[key][got] = True
            setting = ", ".join(filter(None, [c.label, c.block.get("noise", "")]))
            metric = " ".join(c.block["metric"].replace("{at}", c.at["word"]).split())
            better = "" if c.block["better"] == "higher" else " (lower is better)"
            kept = f' The kept library: <a href="{library["url"]}">{escape(library["name"])}</a>.' if library else ""
            body.append(
                f'<tr data-data="{c.block["kind"]}" data-problem="{c.block["problem"]}" data-wrong-labels="{share}" '
                f'data-clean-labels="{clean}">'
                f'<td><span class="own">{c.block["kind"]}</span> <span class="own">{c.block["problem"]}</span>'
                f"<br>{escape(setting) + '<br>' if setting else ''}<small>{escape(c.block['data'])}; {escape(metric)}{better}</small></td>"
                f"<td>{_methods(c)}</td>"
                f'<td><a href="{url}">{escape(info["short"])}</a>: <a href="{url}#on-your-own-data">on your own data</a>.'
                f"<br><small>It needs {escape(use.get('needs', ''))}.{kept}</small></td></tr>"
            )
    chosen = {key: [(v, v) for v in got] for key, got in options.items()}
    chosen["wrong labels"] = [(f"{share}", f"about {share} %") for share in SHARES]
    heads = [("situation", 0), ("methods, best first; the page's own in bold", 0), ("use it", 0)]
    return filtered_table("methods", "settings", heads, body, chosen, near=("wrong labels",))


def across(context: Context, page: str) -> str:
    """The figure that compares the papers of a part, where there is one."""
    part = page.rsplit("/", 1)[1].removesuffix(".md")
    panels = curves(context, part)
    if not panels:
        return ""
    context.made[f"book/figures/{part}.png"] = draw(panels)
    told = []
    for title, _, lines in panels:
        last = {method: line[-1] for method, line in lines.items()}
        share = max(point[0] for point in last.values())
        told.append(f"{title} at {share:g} % wrong labels: " + ", ".join(f"{n} {p[1]:.0f} %" for n, p in last.items()))
    return (
        f"```{{figure}} ../figures/{part}.png\n:name: fig-{part}-across\n:alt: Accuracy over the share of wrong labels in "
        f"{len(panels)} panels, one per paper. {'; '.join(told)}\n\nTest accuracy against the share of wrong labels for the papers "
        "that measure it, each beside its baselines; bars are 95 % intervals over seeds. Data, networks and tasks differ from panel "
        "to panel: compare curves inside a panel, not between panels.\n```"
    )


def curves(context: Context, part: str) -> list[tuple[str, str, dict[str, list[tuple]]]]:
    """(short name, data, method -> [(share, mean, low, high)]) of each block of a part that is marked `curve`."""
    panels = []
    for slug in context.slugs:
        if context.infos[slug]["part"] != part:
            continue
        curves: dict[int, list[Comparison]] = {}  # by block
        for c in context.compared[slug]:
            if c.block.get("curve"):
                curves.setdefault(id(c.block), []).append(c)
        for found in curves.values():
            block = found[0].block
            lines: dict[str, list[tuple]] = {method: [] for method in block["arms"]}
            for c in found:
                for m in c.measured:
                    lines[m.method].append((c.at["share"], m.mean, m.low, m.high))
            lines = {method: line for method, line in lines.items() if line}
            panels.append((context.infos[slug]["short"], block["data"], lines))
    return panels


def draw(panels: list[tuple[str, str, dict[str, list[tuple]]]]) -> bytes:
    """The panels as PNG; the paper's own method comes last and is blue in each."""
    from matplotlib.figure import Figure

    from shared.plots import COLORS, MARKERS

    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(7, 3.1 * rows), dpi=160, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, 2, squeeze=False).flatten()
    for axes, (title, data, lines) in zip(grid, panels):
        order = [*range(1, len(lines)), 0]
        for k, (method, line) in enumerate(lines.items()):
            color, marker = COLORS[order[k]], MARKERS[order[k]]
            x, mean, low, high = zip(*line)
            shift = [v + 0.6 * (k - 1) for v in x]
            spread = [[m - a for m, a in zip(mean, low)], [b - m for m, b in zip(mean, high)]]
            axes.errorbar(shift, mean, spread, color=color, marker=marker, capsize=2, markersize=5, label=method)
        axes.set_title(f"{title}\n{data}", fontsize=9)
        axes.set(xlabel="wrong labels, %", ylabel="test accuracy, %", xlim=(-4, 86))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7.5, frameon=False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
