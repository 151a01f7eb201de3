"""Papers' yml files and records on disk: reading, writing, validating, and what a claim reads from a record."""

from __future__ import annotations

import copy
import difflib
import functools
import hashlib
import json
import os
from pathlib import Path

from shared import claims as _claims
from shared.values import item_error

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent if (HERE.parent / "_toc.yml").exists() else None  # None where only the package is installed


class RecordError(ValueError):
    """A notebook and its yml disagree, or a record is not what it should be."""


def papers_folder() -> Path:
    """Folder of the papers' yml files: `notebooks/` of a checkout, else the package's own copy."""
    return ROOT / "notebooks" if ROOT else HERE / "papers"


def slugs() -> dict[str, Path]:
    """Every paper's slug and yml, in the order of the file names."""
    return {path.stem: path for path in sorted(papers_folder().glob("[a-z]*/[a-z]*.yml"))}


def describe(slug: str) -> dict:
    """The validated yml of a paper.

    Raises:
        ValueError: there is no such paper; names the nearest.
        RecordError: the yml breaks the schema; names the entry.
    """
    # Not through `slugs`: to list every paper for each of them costs the square of their number.
    places = [folder / f"{slug}.yml" for folder in papers_folder().glob("[a-z]*")]
    place = next((path for path in places if path.is_file()), None)
    if place is None:
        known = slugs()
        near = difflib.get_close_matches(slug, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the papers are {', '.join(known) or 'not there yet'}."
        raise ValueError(f"Unknown paper {slug!r}: {hint}")
    return copy.deepcopy(_described(slug, place.read_text(encoding="utf-8")))


@functools.lru_cache(maxsize=1000)
def _described(slug: str, text: str) -> dict:
    import yaml

    try:
        info = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise RecordError(f"{slug}.yml is not valid YAML: {' '.join(str(error).split())}") from None
    _validate(info, "paper.schema.json", f"{slug}.yml")
    _check_claims(info)
    ids = [claim["id"] for claim in info["claims"]]
    if info["slug"] != slug or len(ids) != len(set(ids)):
        raise RecordError(f"{slug}.yml: the slug must be {slug!r} and every claim id must occur once.")
    return info


@functools.lru_cache(maxsize=4)
def _validator(schema: str):
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads((HERE / schema).read_text(encoding="utf-8")))


def _validate(document, schema: str, name: str) -> None:
    import jsonschema

    error = jsonschema.exceptions.best_match(_validator(schema).iter_errors(document))
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the whole"
        raise RecordError(f"{name}, at {where}: {error.message[:300]}")


def read_record(path: Path) -> dict:
    """A record from disk, validated. Raises RecordError with the file's name where it is damaged."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read as a record ({error}): delete it and run the paper again.") from None
    _check_record(text, str(path))
    return record


@functools.lru_cache(maxsize=1000)  # the book asks for the same records again and again
def _check_record(text: str, path: str) -> None:
    record = json.loads(text)
    _validate(record, "record.schema.json", path)
    if record["provenance"]["results_digest"] != results_digest(record["results"]):
        raise RecordError(f"{path} was changed after its run: numbers come from runs only; run the paper again.")


def validate_record(record: dict, name: str) -> None:
    """Raise RecordError with the name where a record is not what it should be."""
    _validate(record, "record.schema.json", name)


def results_digest(results: dict) -> str:
    """Digest of the results part of a record: tells a record as it was written from one edited since."""
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()[:20]


def _check_claims(info: dict) -> None:
    """What a schema cannot say of claims. Raises RecordError naming the claim."""
    for claim in info["claims"]:
        name, kind = f"{info['slug']}.yml, claim {claim['id']!r}", claim["kind"]
        book = claim.get("origin") == "book"
        if claim.get("primary") and book:
            raise RecordError(f"{name}: a question of ours is never primary.")
        if claim.get("baseline") and "bound" in claim:
            raise RecordError(f"{name}: give a baseline or a bound, not both.")
        limit = _claims.delta_limit(claim)
        if claim.get("delta_why") and limit is not None and claim["delta"] > limit * (1 + 1e-9):
            raise RecordError(f"{name}: delta {claim['delta']:g} is over {limit:.3g}, half of what the paper printed.")
        if "ours" not in claim:
            continue
        if kind in ("difference", "equivalence", "not_worse") and not (claim.get("baseline") or "bound" in claim):
            raise RecordError(f"{name}: a {kind.replace('_', ' ')} needs a baseline or a bound.")
        if kind in ("ratio", "interaction") and not claim.get("baseline"):
            raise RecordError(f"{name}: kind {kind} needs a baseline.")
        if kind in ("trend", "interaction") and len(claim.get("x", [])) < 2:
            raise RecordError(f"{name}: kind {kind} needs the places x.")


# -- what a claim reads from a record ----------------------------------------------------------------------------


def _filled(text: str, place, x=None) -> str:
    """`text` with a for-each entry put where `{}` or `{name}` stands, and x where `{x}` does."""
    shown = lambda value: f"{value:g}" if isinstance(value, float) else str(value)  # noqa: E731
    fields = place if isinstance(place, dict) else {"": place} if place is not None else {}
    for name, value in {**fields, **({"x": x} if x is not None else {})}.items():
        text = text.replace(f"{{{name}}}", shown(value))
    return text


def label(place) -> str:
    """How an entry of `for_each` is called."""
    return ", ".join(map(str, place.values())) if isinstance(place, dict) else str(place)


def arms_of(claim: dict) -> list[tuple[str, str]]:
    """(arm, metric) of every arm that a claim's query names; empty for a claim without one."""
    found = []
    for side in filter(None, (claim.get("ours"), claim.get("baseline"))):
        for place in claim.get("for_each") or [None]:
            for x in claim.get("x") or [None]:
                metric = side.get("metric", claim["metric"])
                found.append((_filled(side["arm"], place, x), _filled(metric, place, x)))
    return list(dict.fromkeys(found))


def claim_values(claim: dict, record: dict) -> dict:
    """Values of one claim, as `claims.judge` wants them: read from the arms that its query names, else as recorded.

    Raises:
        RecordError: an arm is not there, has other seeds or another unit; the claim was never recorded.
    """
    results = record["results"]
    if "ours" not in claim:
        if claim["id"] not in results["claims"]:
            raise RecordError(f"{record['slug']}: claim {claim['id']!r} is in the yml, but the run never recorded it.")
        return results["claims"][claim["id"]]
    arms = {(a["arm"], a["metric"]): a for a in (record.get("timed") or [] if claim.get("timed") else results["arms"])}
    read = lambda place: _queried(claim, place, arms, record["slug"], len(results["seeds"]))  # noqa: E731
    if claim.get("for_each"):
        return {"arms": {label(place): read(place) for place in claim["for_each"]}}
    return read(None)


def _queried(claim: dict, place, arms: dict, slug: str, seeds: int) -> dict:
    what = f"{slug}: claim {claim['id']!r}"

    def arm(side, x=None):
        name = _filled(side["arm"], place, x), _filled(side.get("metric", claim["metric"]), place, x)
        if name not in arms:
            near = difflib.get_close_matches(" | ".join(name), [" | ".join(key) for key in arms], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise RecordError(f"{what} reads the arm {' | '.join(name)!r}, which the run never recorded{hint}")
        if len(arms[name]["values"]) != seeds:
            raise RecordError(f"{what} reads the arm {' | '.join(name)!r}, which has fewer seeds than the run.")
        return arms[name]

    kind, sides = claim["kind"], [side for side in (claim["ours"], claim.get("baseline")) if side]
    if kind == "exact":
        return {"passed": [value == 1 for value in arm(claim["ours"])["values"]]}
    if kind == "proportion":
        ours = arm(claim["ours"])
        if "trials" not in ours:
            raise RecordError(f"{what}: a proportion reads counts: record the arm with `trials`.")
        return {"successes": ours["values"], "trials": ours["trials"]}
    places = claim.get("x") or [None]
    table = [[arm(side, x) for x in places] for side in sides]  # sides x places
    units = {a["unit"] for row in table for a in row}
    if len(units) > 1:
        raise RecordError(f"{what} compares {' with '.join(sorted(units))}.")
    _check_unit(claim, units.pop(), what)
    values: dict = {}
    for name, row in zip(("ours", "baseline"), table):
        columns = [a["values"] for a in row]
        values[name] = columns[0] if claim.get("x") is None else [list(seed) for seed in zip(*columns)]
    if kind == "trend":
        values["x"] = claim["x"]
    error = _item_error(kind, claim.get("x"), table, seeds)
    return {**values, "item_se": error} if error is not None else values


def _check_unit(claim: dict, unit: str, what: str) -> None:
    """An effect is counted in the unit of its arms; differences of percentages are points."""
    wanted = "points" if unit == "%" else unit
    if claim["kind"] != "ratio" and claim["unit"] not in (wanted, unit) and not claim["unit"].startswith(f"{wanted} "):
        raise RecordError(f"{what} counts in {claim['unit']!r}, but its arms in {unit!r}.")


def _item_error(kind: str, x, table: list[list[dict]], seeds: int) -> float | None:
    """Standard error from test items that the seeds share: of the contrast that the kind takes, over items."""
    import numpy as np

    if not all("items" in a for row in table for a in row):
        return None
    factor = 100.0 if table[0][0]["unit"] == "%" else 1.0
    if len({len(a["items"]) for row in table for a in row}) > 1:
        return None  # other items on the two sides: each seed's difference carries them
    scores = [[factor * np.asarray(a["items"], float) / seeds for a in row] for row in table]
    if kind == "ratio":
        scores = [[s / s.mean() for s in row] for row in scores]
    gaps = [a - b for a, b in zip(*scores)] if len(scores) > 1 else scores[0]
    weights = np.ones(1)
    if kind == "trend":
        places = np.asarray(x, float) - np.mean(x)
        weights = places / (places @ places)
    elif kind == "interaction":
        weights = np.array([-1.0, 1.0])
    return item_error(sum(w * gap for w, gap in zip(weights, gaps)))


def verdicts(info: dict, record: dict) -> dict[str, _claims.Outcome]:
    """Outcome of every claim of the yml, computed from a record."""
    scale, outcomes = record["results"]["scale"], {}
    for claim in info["claims"]:
        values = {} if scale in (claim.get("untestable") or {}) else claim_values(claim, record)
        outcomes[claim["id"]] = _claims.judge(claim, values, scale)
    return outcomes


def constants(info: dict, record: dict) -> list[str]:
    """Claims whose every seed gave the same values, and whose yml does not say why."""
    found = []
    for claim in info["claims"]:
        if "ours" not in claim or claim["kind"] in ("exact", "proportion") or claim.get("constant"):
            continue
        if record["results"]["scale"] in (claim.get("untestable") or {}):
            continue
        values = claim_values(claim, record)
        for one in values.get("arms", {"": values}).values():
            sides = [one["ours"], *([one["baseline"]] if "baseline" in one else [])]
            if len(sides[0]) > 1 and all(value == side[0] for side in sides for value in side):
                found.append(claim["id"])
                break
    return found


def warnings(claim: dict, record: dict) -> list[str]:
    """What to know beside a verdict: a choice at the edge of its grid, a rate over few trials, a curve still moving."""
    results, found = record["results"], []
    names = {arm for arm, _ in arms_of(claim)}
    for arm in names & set(results["choices"]):
        grid, chosen = results["choices"][arm]["grid"], results["choices"][arm]["chosen"]
        for name, settings in grid.items():
            if not isinstance(settings, list) or len(settings) < 3 or isinstance(settings[0], (str, bool, list, dict)):
                continue
            picked = chosen.get(name) if isinstance(chosen, dict) else chosen
            picked = picked if isinstance(picked, list) else [picked]
            ends = [value for value in picked if value in (min(settings), max(settings))]
            if picked and len(ends) * 2 > len(picked):
                found.append(f"{arm}: {name} was chosen at the edge of its grid")
    for a in results["arms"]:
        if a.get("trials") and min(a["trials"]) < 30 and (a["arm"], a["metric"]) in arms_of(claim):
            found.append(f"{a['arm']}: a rate over {min(a['trials'])} cases a seed")
        if a.get("late") and (a["arm"], a["metric"]) in arms_of(claim):
            moved = sum(a["values"]) / len(a["values"]) - sum(a["late"]) / len(a["late"])
            # Additive kinds have delta in the metric's unit; of the others a hundredth of the value counts.
            additive = claim["kind"] in ("difference", "equivalence", "not_worse", "interaction")
            matters = claim["delta"] / 4 if additive else 0.01 * abs(sum(a["values"]) / len(a["values"]))
            if abs(moved) > matters:
                unit = "points" if a["unit"] == "%" else a["unit"]
                found.append(f"{a['arm']}: its curve still moved by {moved:+.2g} {unit} in the last fifth of training")
    return sorted(found)


# -- registration ------------------------------------------------------------------------------------------------

_REGISTERED = ("kind", "direction", "delta", "bound", "metric", "ours", "baseline", "for_each", "x", "origin", "primary", "untestable")  # fmt: skip


def claim_digest(claim: dict) -> str:
    """Digest of what a claim promised: kind, direction, delta and query, but not its words."""
    kept = {name: claim[name] for name in _REGISTERED if name in claim}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def registration(info: dict) -> dict[str, str]:
    """Digest of every claim of a paper."""
    return {claim["id"]: claim_digest(claim) for claim in info["claims"]}


# -- writing -----------------------------------------------------------------------------------------------------


def write_json(path: Path, document) -> None:
    """Write JSON whole or not at all."""
    write_whole(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: a killed process or a full disk leaves the old one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
