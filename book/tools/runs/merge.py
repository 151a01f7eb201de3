"""Many seeds of a paper, run in groups at once: how they are grouped, and one record from the groups' records.

A merged record is looked at and judged like any other, but its `result_hash` is null: it is no run's record, so no
site is built from it. At `full` on a cluster, where every seed is a job, it is what `make records` accepts.
"""

from __future__ import annotations

from pathlib import Path

from book.tools import BUILD
from book.tools.papers.notebooks import papers
from book.tools.runs.plan import Run
from shared.record import RecordError, describe, results_digest, validate_record, write_json
from shared.scales import resolve_seeds


def groups(seeds: list[int], scale: str, default: int) -> list[list[int]]:
    """Seeds in groups, one job each.

    A group has at least as many seeds as the paper's own run, so that what a notebook tunes over its seeds is
    tuned on no fewer, and the grouping does not depend on the machine. At `full` every seed is a job.
    """
    seeds = sorted(seeds)
    count = len(seeds) if scale == "full" else max(1, len(seeds) // default)
    cuts = [len(seeds) * i // count for i in range(count + 1)]
    return [seeds[a:b] for a, b in zip(cuts, cuts[1:])]


def by_seed(scale: str, profile: str) -> bool:
    """Whether every seed is a job without being asked: at `full` on a cluster."""
    return scale == "full" and profile != "local"


def group_runs(slug: str, scale: str, seeds: list[int] | None = None) -> list[Run]:
    """The run of each group of seeds; without `seeds`, of those that the paper asks for."""
    default = describe(slug)["seeds"][scale]
    parts = groups(resolve_seeds(seeds, default), scale, default)
    return [Run(slug, scale, tuple(part), group=True) for part in parts]


def merged_path(scale: str, slug: str) -> Path:
    """Where the merged record goes: aside from the runs that the site is built from."""
    return BUILD / "seeds" / scale / papers()[slug] / f"{slug}.json"


def merge(records: list[dict]) -> dict:
    """One record of the records of the same paper on other seeds; per-seed values in the order of the seeds.

    Raises:
        RecordError: the records are not of one source, or share a seed.
    """
    records = sorted(records, key=lambda record: record["results"]["seeds"])
    results, sources = [r["results"] for r in records], [r["provenance"] for r in records]
    slug = records[0]["slug"]
    seeds = [seed for r in results for seed in r["seeds"]]
    if len(set(seeds)) < len(seeds):
        raise RecordError(f"{slug}: two of the records to merge have a seed in common.")
    order = sorted(range(len(seeds)), key=seeds.__getitem__)
    sizes = [len(r["seeds"]) for r in results]

    def same(what: str, values: list):
        if any(value != values[0] for value in values):
            raise RecordError(f"{slug}: the records to merge differ in {what}: run all groups on one source.")
        return values[0]

    def joined(lists: list[list]) -> list:
        values = [value for part in lists for value in part]
        return [values[i] for i in order]

    def claim(name: str, parts: list[dict]) -> dict:
        fields = same(f"what claim {name!r} recorded", [list(part) for part in parts])
        merged = {}
        for field in fields:
            values = [part[field] for part in parts]
            if field == "arms":
                arms = same(f"the arms of claim {name!r}", [list(value) for value in values])
                merged[field] = {arm: claim(name, [value[arm] for value in values]) for arm in arms}
            elif field == "x":
                merged[field] = same(f"x of claim {name!r}", values)
            elif field == "item_se":
                # The items themselves are not in a record. This is the most that their share can be: it is
                # reached where the groups' item effects agree, as they do where all groups share the items.
                merged[field] = sum(n * value for n, value in zip(sizes, values)) / len(seeds)
            else:
                merged[field] = joined(values)
        return merged

    labels = [_label(r["seeds"]) for r in results]

    def arms(lists: list[list[dict]]) -> list[dict]:
        """Arms of all groups joined: values and trials by seed, sums over items added."""
        frames = same(
            "their arms", [[{k: v for k, v in a.items() if k not in _BY_SEED} for a in arms] for arms in lists]
        )
        whole = []
        for i, frame in enumerate(frames):
            parts = [arms[i] for arms in lists]
            entry = {**frame, "values": _by_seed(parts, "values", seeds, results)}
            for name in ("trials", "late"):
                if name in parts[0]:
                    entry[name] = _by_seed(parts, name, seeds, results)
            if "items" in parts[0]:
                entry["items"] = [float(f"{sum(column):.8g}") for column in zip(*(part["items"] for part in parts))]
            if len(entry["values"]) < len(seeds):
                ran = [seed for part, r in zip(parts, results) for seed in part.get("seeds", r["seeds"])]
                entry["seeds"] = sorted(ran)
            whole.append(entry)
        return whole

    together = {
        "scale": same("scale", [r["scale"] for r in results]),
        "seeds": sorted(seeds),
        "settings": same("settings", [r["settings"] for r in results]),
        "arms": arms([r["arms"] for r in results]),
        "claims": {
            name: claim(name, [r["claims"][name] for r in results])
            for name in same("the claims recorded", [list(r["claims"]) for r in results])
        },
        "choices": {
            arm: {
                "grid": same(f"the grid of {arm!r}", [r["choices"][arm]["grid"] for r in results]),
                "chosen": {label: r["choices"][arm]["chosen"] for label, r in zip(labels, results)},
            }
            for arm in same("what was tuned", [list(r["choices"]) for r in results])
        },
        "resampled": same("what a seed draws anew", [r["resampled"] for r in results]),
        "shared_parts": same("shared parts", [r["shared_parts"] for r in results]),
    }  # fmt: skip
    listed = {
        name: sorted({p[name] for p in sources if name in p}) for name in ("device", "device_name", "device_print")
    }
    commits = {p["commit"] for p in sources}
    provenance = {
        "result_hash": None,
        "page_hash": None,
        "results_digest": results_digest(together),
        **{name: round(sum(p[name] for p in sources), 2) for name in ("seconds", "cpu_seconds")},
        "peak_memory_mib": max(p["peak_memory_mib"] for p in sources),
        **{name: ", ".join(values) for name, values in listed.items() if values},
        "versions": _listed([p["versions"] for p in sources]),
        "data": same("data", [p["data"] for p in sources]),
        "weights": same("weights", [p.get("weights", {}) for p in sources]),
        "timings": {k: sum(p.get("timings", {}).get(k, 0.0) for p in sources) for k in sources[0].get("timings", {})},
        "commit": commits.pop() if len(commits) == 1 else None,
        "dirty": None if any(p["dirty"] is None for p in sources) else any(p["dirty"] for p in sources),
        "date": max(p["date"] for p in sources),
        # What a notebook tunes over all its seeds together it tuned within each of these.
        "groups": [
            {"seeds": r["seeds"], **{k: p[k] for k in ("result_hash", "results_digest", "seconds", "device", "date")}}
            for r, p in zip(results, sources)
        ],
    }
    timed = arms([r.get("timed", []) for r in records])
    registered = same("claims", [p.get("registration") for p in sources])
    if registered is not None:
        provenance["registration"] = registered
    record = {"schema": 2, "slug": same("paper", [r["slug"] for r in records]), "results": together,
              **({"timed": timed} if timed else {}), "provenance": provenance}  # fmt: skip
    validate_record(record, f"the merged record of {slug}")
    return record


_BY_SEED = ("values", "trials", "late", "items", "seeds")


def _by_seed(parts: list[dict], what: str, seeds: list[int], results: list[dict]) -> list:
    """What the groups' arms have by seed, in the order of the seeds; an arm may have run only some of a group's."""
    found = {
        seed: value for part, r in zip(parts, results) for seed, value in zip(part.get("seeds", r["seeds"]), part[what])
    }
    return [found[seed] for seed in sorted(seeds) if seed in found]


def _label(seeds: list[int]) -> str:
    whole = seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 1 else f"seeds {', '.join(map(str, seeds))}"


def _listed(dicts: list[dict]) -> dict:
    """Every value that a name has among the dicts."""
    return {name: ", ".join(sorted({d[name] for d in dicts if name in d})) for name in dicts[0]}


def write(scale: str, slug: str, records: list[dict]) -> tuple[Path, dict]:
    path, record = merged_path(scale, slug), merge(records)
    write_json(path, record)
    return path, record
