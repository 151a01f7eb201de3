"""One paper's run: reads its yml, collects values, computes verdicts, writes the record."""

from __future__ import annotations

import copy
import difflib
import functools
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from types import SimpleNamespace

from shared import claims as _claims
from shared import scales

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


def verdicts(info: dict, record: dict) -> dict[str, _claims.Outcome]:
    """Outcome of every claim of the yml, computed from a record."""
    values, scale = record["results"]["claims"], record["results"]["scale"]
    outcomes = {}
    for claim in info["claims"]:
        if claim["id"] not in values and scale not in (claim.get("untestable") or {}):
            raise RecordError(f"{info['slug']}: claim {claim['id']!r} is in the yml, but the run never recorded it.")
        outcomes[claim["id"]] = _claims.judge(claim, values.get(claim["id"], {}), scale)
    return outcomes


def _display(html: str | None, text: str, markdown: bool = False) -> None:
    """Show HTML (or Markdown) in a notebook, plain text elsewhere."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
    except ImportError:
        shell = None
    if shell is None:
        print(text)
        return
    from IPython.display import display

    rich = {"text/markdown": text} if markdown else {"text/html": html}
    display({**rich, "text/plain": text}, raw=True)


def table_html(rows: list[dict], caption: str = "") -> str:
    """A plain HTML table: the keys of the first row are the header; cells are escaped, numbers right-aligned."""
    head = list(rows[0])

    def cell(value):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        return f"<td{' class=number' if number else ''}>{escape(shown)}</td>"

    body = "".join("<tr>" + "".join(cell(row.get(key, "")) for key in head) + "</tr>" for row in rows)
    top = "".join(f"<th>{escape(str(key))}</th>" for key in head)
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="book-table"><table class="dataframe">{caption}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _plain_table(rows: list[dict]) -> str:
    lines = [list(map(str, rows[0]))]
    lines += [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)) for line in lines)


def number(value: float | None, unit: str = "") -> str:
    """A number for a table: three significant digits or one decimal, with its sign and unit; "-" for None."""
    if value is None or not math.isfinite(value):
        return "-"
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return f"{text} {unit}".strip()


def effect_text(claim: dict, outcome: _claims.Outcome) -> str:
    """Effect with interval as shown in tables, such as "7.1 [5.2, 9.0] points"."""
    if outcome.effect is None:
        return "-"
    if claim["kind"] == "exact":
        return f"{outcome.effect:.0%} of seeds"
    if outcome.low is None or outcome.high is None:
        return number(outcome.effect, claim["unit"])
    unit = "times" if claim["kind"] == "ratio" else claim["unit"]
    return f"{number(outcome.effect)} [{number(outcome.low)}, {number(outcome.high)}] {unit}"


def verdict_text(claim: dict, outcome: _claims.Outcome) -> str:
    """Verdict as shown in tables: with the deciding arm and, where unresolved, what could have been detected."""
    text = outcome.verdict
    if outcome.verdict == _claims.UNRESOLVED and outcome.detectable is not None:
        unit = "times" if claim["kind"] == "ratio" else claim["unit"]
        text += f" (this run could have detected {number(outcome.detectable, unit)})"
    if outcome.arm:
        text += f"; worst arm: {outcome.arm}"
    return text


def paper_text(claim: dict) -> str:
    """The paper's own numbers as shown in tables, by setting and source."""
    if claim.get("origin") == "book":
        return "not the paper's claim: a question of this book"
    settings: dict[tuple[str, str], list[str]] = {}
    for e in claim.get("paper") or []:
        settings.setdefault((e["setting"], e["source"]), []).append(f"{e['arm']} {e['value']:g} {e['unit']}")
    texts = [f"{', '.join(values)} ({where}; {source})" for (where, source), values in settings.items()]
    return "; ".join(texts) or "no number printed"


class Paper:
    """The run of one paper at one scale.

    Args:
        slug: the paper's slug.
        scale: "smoke", "small", "full", or None for $BOOK_SCALE, else "small".
        seeds: a count, a list, or None for $BOOK_SEEDS, else what the yml says for the scale.

    Attributes:
        info: the yml. scale, seeds, device: as resolved.

    Raises:
        ValueError, TypeError: unknown paper or scale, seeds of the wrong type.
    """

    def __init__(self, slug: str, scale: str | None = None, seeds=None):
        self.info = describe(slug)
        self.slug = slug
        self.scale = scales.resolve_scale(scale)
        self.seeds = scales.resolve_seeds(seeds, self.info["seeds"][self.scale])
        self.device = scales.device()
        scales.deterministic(self.scale)
        self.record: dict | None = None
        self._claims = {claim["id"]: claim for claim in self.info["claims"]}
        self._values: dict[str, dict] = {}
        self._arms: list[dict] = []
        self._choices: dict[str, dict] = {}
        self._settings: dict = {}
        self._resampled: list[str] = []
        self._shared: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._weights: dict[str, str] = {}
        self._start = (time.perf_counter(), time.process_time())

    # -- what the notebook tells ---------------------------------------------------------------------------

    def settings(self, **values) -> SimpleNamespace:
        """Show the settings of all three scales and return those of this run.

        Args:
            values: name=(smoke, small, full) each; None where a scale does not use one.
        """
        wrong = [name for name, triple in values.items() if not isinstance(triple, tuple) or len(triple) != 3]
        if wrong:
            raise TypeError(f"settings: give a (smoke, small, full) tuple for {', '.join(wrong)}.")
        rows = [
            {"setting": name, **{s: _setting(v) for s, v in zip(scales.SCALES, triple)}}
            for name, triple in values.items()
        ]
        rows.append({"setting": "seeds", **{s: str(self.info["seeds"][s]) for s in scales.SCALES}})
        self.table(
            rows, caption=f"Settings by scale; this run: {self.scale}, {len(self.seeds)} seeds, {self.device.type}."
        )
        chosen = {name: triple[scales.SCALES.index(self.scale)] for name, triple in values.items()}
        self._settings.update(chosen)
        return SimpleNamespace(**chosen)

    def arm(self, arm: str, metric: str, values, unit: str = "%") -> None:
        """Record the per-seed values of one arm: `values` (seeds,)."""
        values = _floats(values)
        if len(values) != len(self.seeds):
            raise RecordError(f"Arm {arm!r}, {metric}: {len(values)} values for {len(self.seeds)} seeds.")
        if any(a["arm"] == arm and a["metric"] == metric for a in self._arms):
            raise RecordError(f"Arm {arm!r}, {metric}: recorded twice.")
        self._arms.append({"arm": arm, "metric": metric, "unit": unit, "values": values})

    def choice(self, arm: str, grid: dict, chosen) -> None:
        """Record the hyper-parameter grid of an arm and what was chosen from it, on held-out data."""
        self._choices[arm] = {"grid": _plain(grid), "chosen": _plain(chosen)}

    def resampled(self, *parts: str) -> None:
        """Name what a seed draws anew, such as "initialisation", "order", "train/test split"."""
        self._resampled = list(dict.fromkeys([*self._resampled, *parts]))

    def shared_part(self, part: str, why: str) -> None:
        """Name a part that all seeds share, and why; claims that depend on it must pass `ours_items`."""
        self._shared[part] = why

    def timing(self, name: str, value: float) -> None:
        """Record a wall-clock number: kept out of the results, which two runs must reproduce to the bit."""
        self._timings[name] = float(value)

    def weights(self, name: str, sha256: str) -> None:
        """Record pretrained weights that the run used."""
        self._weights[name] = sha256

    def claim(self, claim_id: str, *, ours=None, baseline=None, ours_items=None, baseline_items=None, x=None,
              successes=None, trials=None, passed=None) -> None:  # fmt: skip
        """Record the values that decide a claim, once; its kind stands in the yml.

        Args:
            claim_id: id in the yml.
            ours, baseline: per-seed values, paired: (seeds,); (seeds, k) for trends over `x` (k,); (seeds, 2)
                for interactions (first and second condition). A dict by arm where the claim is for every arm.
            ours_items, baseline_items: (seeds, items) scores where seeds share the test items; where `ours` or
                `baseline` is left out, its values are their means.
            successes, trials: counts per seed for proportions.
            passed: one boolean per seed for exact claims.

        Raises:
            RecordError: unknown claim, recorded twice, not what its kind needs, wrong number of seeds.
        """
        if claim_id not in self._claims:
            near = difflib.get_close_matches(claim_id, self._claims, n=1)
            raise RecordError(
                f"Claim {claim_id!r} is not in {self.slug}.yml: add it there"
                + (f", or did you mean {near[0]!r}?" if near else ".")
            )
        if claim_id in self._values:
            raise RecordError(f"Claim {claim_id!r} is recorded twice.")
        given = {"ours": ours, "baseline": baseline, "ours_items": ours_items, "baseline_items": baseline_items,
                 "x": x, "successes": successes, "trials": trials, "passed": passed}  # fmt: skip
        for side in ("ours", "baseline"):
            items = given[f"{side}_items"]
            if given[side] is None and items is not None:
                given[side] = {arm: _means(v) for arm, v in items.items()} if isinstance(items, dict) else _means(items)
        given = {name: value for name, value in given.items() if value is not None}
        dicts = {name: value for name, value in given.items() if isinstance(value, dict)}
        if not dicts:
            values = self._checked(claim_id, given)
        else:
            arms = list(next(iter(dicts.values())))
            if any(list(value) != arms for value in dicts.values()):
                raise RecordError(f"Claim {claim_id!r}: the arms of {' and '.join(dicts)} differ.")
            values = {
                "arms": {
                    arm: self._checked(claim_id, {n: v[arm] if n in dicts else v for n, v in given.items()})
                    for arm in arms
                }
            }
        self._values[claim_id] = values

    def _checked(self, claim_id: str, given: dict) -> dict:
        kind = self._claims[claim_id]["kind"]
        needed, allowed = _NEEDS[kind]
        if not needed <= set(given) or not set(given) <= needed | allowed:
            raise RecordError(
                f"Claim {claim_id!r} is of kind {kind!r}: give {', '.join(sorted(needed))}"
                + (f" (and {', '.join(sorted(allowed))} where there is one)" if allowed else "")
                + f", not {', '.join(given) or 'nothing'}."
            )
        values = {n: _plain(v) for n, v in given.items() if not n.endswith("_items")}
        if "passed" in values:
            values["passed"] = [bool(p) for p in values["passed"]]
        for name, value in values.items():
            if name != "x" and len(value) != len(self.seeds):
                raise RecordError(f"Claim {claim_id!r}: {name} has {len(value)} values for {len(self.seeds)} seeds.")
            if name != "passed":
                _finite(value, f"Claim {claim_id!r}, {name}")
        if kind == "interaction" and any(len(row) != 2 for row in values["ours"] + values["baseline"]):
            raise RecordError(f"Claim {claim_id!r}: an interaction needs (first, second condition) per seed.")
        if "ours_items" in given:
            values["item_se"] = _claims.item_standard_error(given["ours_items"], given.get("baseline_items"))
        return values

    # -- what the notebook shows ---------------------------------------------------------------------------

    def say(self, markdown: str) -> None:
        """Show a Markdown sentence whose numbers come from variables."""
        _display(None, markdown, markdown=True)

    def table(self, rows: list[dict], caption: str = "") -> None:
        """Show a table: one dict a row, the first one's keys are the header."""
        _display(table_html(rows, caption), (caption + "\n" if caption else "") + _plain_table(rows))

    def report(self) -> None:
        """Show paper against measured with the verdicts, and write the record (kept as `record` too).

        The record goes to $BOOK_OUT, else to `_build/records/<scale>/` of the checkout, else to the current
        folder, whole or not at all.

        Raises:
            RecordError: a claim of the yml was never recorded.
        """
        record = {
            "schema": 1,
            "slug": self.slug,
            "results": {
                "scale": self.scale,
                "seeds": self.seeds,
                "settings": _plain(self._settings),
                "arms": self._arms,
                "claims": self._values,
                "choices": self._choices,
                "resampled": self._resampled,
                "shared_parts": self._shared,
            },
            "provenance": self._provenance(),
        }
        record["provenance"]["results_digest"] = results_digest(record["results"])
        _validate(record, "record.schema.json", f"the record of {self.slug}")
        outcomes = verdicts(self.info, record)
        rows = [
            {
                "claim": claim["sentence"],
                "paper": paper_text(claim),
                "measured effect": effect_text(claim, outcomes[claim["id"]]),
                "smallest that matters": number(claim["delta"], claim["unit"]) if claim["kind"] != "exact" else "-",
                "verdict": verdict_text(claim, outcomes[claim["id"]]),
            }
            for claim in self.info["claims"]
        ]
        self.table(
            rows,
            caption=f"Paper against measured ({self.scale}, {len(self.seeds)} seeds). Positive effects support the claim.",
        )
        if "BOOK_OUT" in os.environ:
            folder = Path(os.environ["BOOK_OUT"])
        else:
            folder = ROOT / "_build" / "records" / self.scale if ROOT else Path.cwd()
        write_json(folder / f"{self.slug}.json", record)
        self.record = record

    def _provenance(self) -> dict:
        import numpy as np
        import torch

        loaded = sys.modules.get("shared.data")
        data = dict(loaded.loaded) if loaded else {}
        listed = set(self.info["data"][self.scale])
        if set(data) != listed:
            raise RecordError(
                f"{self.slug}.yml lists the data {sorted(listed)} at {self.scale}, the notebook loaded {sorted(data)}."
            )
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else _cpu_name()
        commit, dirty = _commit()
        return {
            "result_hash": os.environ.get("BOOK_RESULT_HASH") or None,
            "seconds": round(time.perf_counter() - self._start[0], 2),
            "cpu_seconds": round(time.process_time() - self._start[1], 2),
            "peak_memory_mib": round(_peak_mib(), 1),
            "device": self.device.type,
            "device_name": name,
            "device_print": _cpu_print(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "platform": platform.platform(terse=True),
            },
            "data": dict(sorted(data.items())),
            "weights": self._weights,
            "timings": self._timings,
            "commit": commit,
            "dirty": dirty,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


_PAIR = ({"ours", "baseline"}, {"ours_items", "baseline_items"})


def _means(items):
    """(seeds, items) -> (seeds,)."""
    import numpy as np

    return np.asarray(items).mean(axis=-1)


_NEEDS = {  # kind: (needed, allowed beside)
    "difference": _PAIR,
    "equivalence": _PAIR,
    "not_worse": _PAIR,
    "ratio": ({"ours", "baseline"}, set()),
    "trend": ({"ours", "x"}, {"baseline"}),
    "interaction": ({"ours", "baseline"}, set()),
    "proportion": ({"successes", "trials"}, set()),
    "exact": ({"passed"}, set()),
}


def _setting(value) -> str:
    return "-" if value is None else str(value)


def _plain(value):
    """Arrays, tensors and tuples as JSON's own types."""
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(v) for v in value]
    return value


def _floats(values) -> list[float]:
    values = [float(v) for v in _plain(values)]
    _finite(values, "recorded values")
    return values


def _finite(values, what: str) -> None:
    for value in values:
        if isinstance(value, list):
            _finite(value, what)
        elif not math.isfinite(value):
            raise RecordError(f"{what}: {value} is not a finite number.")


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


def _peak_mib() -> float:
    """Peak resident memory of this process in MiB (0 where the system does not tell)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _cpu_print() -> str:
    """Short print of the processor's model and instruction set: runs are alike to the bit only where it is."""
    keep = ("cpu family", "model\t", "model name", "stepping", "flags")
    try:
        core = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        core = [platform.processor(), platform.machine()]
        keep = ("",)
    return hashlib.sha256("\n".join(line for line in core if line.startswith(keep)).encode()).hexdigest()[:12]


_SOURCES = ("notebooks", "shared", "requirements.lock")  # what a run is made from, beside the data in `shared`


def _commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout that the run started from, and whether its tree had changes."""
    if ROOT is None:
        return None, None

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD"), bool(
            git("status", "--porcelain", "--untracked-files=no", "--", *_SOURCES)
        )
    except (OSError, subprocess.CalledProcessError):
        return None, None
