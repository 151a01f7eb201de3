"""The Debian snapshot as one table of mixed columns, and any such table as numbers, bins and 0/1."""

import numpy as np
import pandas as pd


def only(tags, facet, groups=None):
    """The one value of a facet among tags; None without, "several"."""
    found = {t.split("::")[1] for t in tags if t.startswith(facet + "::")}
    if groups:
        found = {groups[value] for value in found if value in groups}
    return None if not found else found.pop() if len(found) == 1 else "several"


def frequent(values, most):
    """The `most` frequent values of a column; the rest becomes "other"."""
    values = pd.Series(values, dtype=object)
    keep = values.isna() | values.isin(values.value_counts().index[:most])
    return values.where(keep, "other")


def debian_table(d):
    """One row per package: the columns of KINDS, and its source package."""
    roles = {
        "devel-lib": "library",
        "shared-lib": "library",
        "app-data": "data",
    }
    roles |= {r: r for r in ("program", "data", "plugin", "documentation")}
    needed = np.concatenate(d.depends).astype(int)
    frame = pd.DataFrame({"source": d.source, "priority": d.priority})
    frame["section"] = frequent(d.section, 12)
    frame["language"] = frequent([only(t, "implemented-in") for t in d.tags], 6)
    frame["native"] = ["no" if "-" in v else "yes" for v in d.version]
    frame["epoch"] = ["yes" if ":" in v else "no" for v in d.version]
    frame["installed_kb"] = d.installed_kb
    lengths = {
        "summary_chars": d.short,
        "text_chars": d.long,
        "name_chars": d.name,
    }
    lengths |= {
        "n_depends": d.depends,
        "n_recommends": d.recommends,
        "n_tags": d.tags,
    }
    for name, values in lengths.items():
        frame[name] = [len(v) for v in values]
    frame["needed_by"] = np.bincount(needed, minlength=len(frame))
    frame["role"] = [only(t, "role", roles) for t in d.tags]
    return frame


def named(kind):
    return kind in ("nominal", "ordinal")


def encode(frame, kinds):
    """Table as numbers (n, p), missing as nan; levels of named columns."""
    columns, levels = [], {}
    for name, kind in kinds.items():
        if named(kind):
            values = pd.Categorical(frame[name])
            levels[name] = [str(v) for v in values.categories]
            columns.append(np.where(values.codes < 0, np.nan, values.codes))
        else:
            columns.append(frame[name].to_numpy(float))
    return np.column_stack(columns), levels


def binned(x, kind, new, most=6):
    """Bins of `new` (m,), made for `x` (n,); the last: missing, unknown."""
    seen = x[~np.isnan(x)]
    if not named(kind) and len(seen):
        seen = np.quantile(seen, np.arange(1, most + 1) / most, method="higher")
    values = np.unique(seen)
    known = np.isin(new, values) if named(kind) else ~np.isnan(new)
    place = np.minimum(np.searchsorted(values, new), len(values) - 1)
    return np.where(known, place, len(values)), len(values) + 1


def one_hot(x, kinds, new=None):
    """Bins of all columns as 0/1: (n, L), start of each column (p + 1,)."""
    new = x if new is None else new
    parts = [binned(x[:, j], k, new[:, j]) for j, k in enumerate(kinds.values())]
    starts = np.concatenate([[0], np.cumsum([size for _, size in parts])])
    hot = np.zeros((len(new), starts[-1]))
    places = np.column_stack([place for place, _ in parts]) + starts[:-1]
    np.put_along_axis(hot, places, 1.0, axis=1)
    return hot, starts


def by_group(x, kinds, key, groups, least=3):
    """Means of log(1 + numbers) per group (G, q), share of groups (G,)."""
    numeric = [j for j, kind in enumerate(kinds.values()) if not named(kind)]
    member = (x[:, [key]] == np.arange(groups)).astype(float)  # (n, G)
    values = np.log1p(np.abs(x[:, numeric]))
    count = member.T @ ~np.isnan(values)
    sums = member.T @ np.nan_to_num(values)
    means = np.where(count >= least, sums / np.maximum(count, 1), np.nan)
    return means, member.mean(0)


def correlation(a, b):
    """Pearson correlation over entries that both have; 0 if none."""
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 3 or a[both].std() == 0 or b[both].std() == 0:
        return 0.0
    return float(np.corrcoef(a[both], b[both])[0, 1])


def ridge_loo(hot, y, lam=1.0):
    """Leave-one-out accuracy of a ridge classifier in closed form."""
    x = np.column_stack([np.ones(len(hot)), hot])
    goal = (y[:, None] == np.unique(y)).astype(float)
    part = np.linalg.solve(x.T @ x + lam * np.eye(x.shape[1]), x.T)  # (L, n)
    own = (x * part.T).sum(1, keepdims=True)
    loo = (x @ (part @ goal) - own * goal) / (1 - own)
    return float((loo.argmax(1) == goal.argmax(1)).mean())
