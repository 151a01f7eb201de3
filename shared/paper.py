"""One paper's run: what a notebook tells of its arms and claims, and the record that comes of it."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from shared import provenance, scales, show, values
from shared.record import (
    ROOT,
    RecordError,
    constants,
    describe,
    read_record,
    registration,
    results_digest,
    validate_record,
    verdicts,
    write_json,
)


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
        self._arms: dict[tuple[str, str], dict] = {}
        self._timed: dict[tuple[str, str], dict] = {}
        self._choices: dict[str, dict] = {}
        self._settings: dict = {}
        self._resampled: list[str] = []
        self._shared: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._weights: dict[str, str] = {}
        self._recorded: dict[str, tuple] = {}  # what was recorded -> the cell and its run
        self._start = (time.perf_counter(), time.process_time())

    # -- what the notebook tells ---------------------------------------------------------------------------

    def settings(self, **settings) -> SimpleNamespace:
        """Show the settings of all three scales and return those of this run.

        Args:
            settings: name=(smoke, small, full) each; None where a scale does not use one.
        """
        wrong = [name for name, triple in settings.items() if not isinstance(triple, tuple) or len(triple) != 3]
        if wrong:
            raise TypeError(f"settings: give a (smoke, small, full) tuple for {', '.join(wrong)}.")
        rows = [
            {"setting": name, **{s: "-" if v is None else str(v) for s, v in zip(scales.SCALES, triple)}}
            for name, triple in settings.items()
        ]
        rows.append({"setting": "seeds", **{s: str(self.info["seeds"][s]) for s in scales.SCALES}})
        self.table(
            rows, caption=f"Settings by scale; this run: {self.scale}, {len(self.seeds)} seeds, {self.device.type}."
        )
        chosen = {name: triple[scales.SCALES.index(self.scale)] for name, triple in settings.items()}
        self._settings.update(chosen)
        return SimpleNamespace(**chosen)

    def arm(self, arm: str, metric: str, given=None, unit: str = "%", *, items=None, trials=None, seeds=None,
            late=None) -> None:  # fmt: skip
        """Record the per-seed values of one arm.

        Args:
            arm, metric: its name and what was measured; claims in the yml read it by both.
            given: (seeds,) values; booleans with unit "true" for exact claims; counts where `trials` is given.
            unit: unit of the values.
            items: (seeds, items) scores where the seeds share the test items, in 0..1 where the unit is "%"; the
                values are their means, and intervals are widened by what the items share.
            trials: of how many, one number or (seeds,): the values are counts.
            seeds: the seeds that this arm ran, where they are fewer than the run's; no claim can read it then.
            late: (seeds,) the same after four fifths of the training: a curve that still moves at its end is said
                beside the verdict.

        Raises:
            RecordError: not as many values as seeds, not a finite number, or another cell recorded the same.
        """
        what = f"Arm {arm!r}, {metric}"
        ran = list(self.seeds if seeds is None else seeds)
        entry = {"arm": arm, "metric": metric, "unit": unit}
        if (given is None) == (items is None):
            raise RecordError(f"{what}: give values or items.")
        with _refusing():
            if items is not None:
                entry["values"], entry["items"] = values.from_items(items, unit, what)
            else:
                entry["values"] = values.per_seed(given, what)
            if late is not None:
                entry["late"] = values.per_seed(late, f"{what}, late")
        if trials is not None:
            counts = values.plain(trials)
            entry["trials"] = [int(n) for n in (counts if isinstance(counts, list) else [counts] * len(ran))]
            if any(not 0 <= k <= n or n < 1 for k, n in zip(entry["values"], entry["trials"])):
                raise RecordError(f"{what}: successes must lie between 0 and the trials, and trials be 1 or more.")
        if not set(ran) <= set(self.seeds):
            raise RecordError(f"{what}: seeds {ran} are not all of this run's.")
        if any(len(entry.get(name, ran)) != len(ran) for name in ("values", "trials", "late")):
            raise RecordError(f"{what}: {len(entry['values'])} values for {len(ran)} seeds.")
        if len(ran) < len(self.seeds):
            entry["seeds"] = ran
        self._once(what)
        self._arms[arm, metric] = entry

    def timed(self, arm: str, metric: str, given, unit: str = "ms") -> None:
        """Record measured times (seeds or repetitions,): kept outside the results, which two runs must reproduce."""
        what = f"Timed arm {arm!r}, {metric}"
        with _refusing():
            times = values.per_seed(given, what)
        if len(times) != len(self.seeds):
            raise RecordError(f"{what}: {len(times)} values for {len(self.seeds)} seeds.")
        self._once(what)
        self._timed[arm, metric] = {"arm": arm, "metric": metric, "unit": unit, "values": times}

    def choice(self, arm: str, grid: dict, chosen) -> None:
        """Record the hyper-parameter grid of an arm and what was chosen from it, on held-out data."""
        self._choices[arm] = {"grid": values.plain(grid), "chosen": values.plain(chosen)}

    def resampled(self, *parts: str) -> None:
        """Name what a seed draws anew, such as "initialisation", "order", "train/test split"."""
        self._resampled = list(dict.fromkeys([*self._resampled, *parts]))

    def shared_part(self, part: str, why: str) -> None:
        """Name a part that all seeds share, and why; arms that depend on it are recorded by `items`."""
        self._shared[part] = why

    def timing(self, name: str, value: float) -> None:
        """Record a wall-clock number that no claim reads: kept out of the results."""
        self._timings[name] = float(value)

    def weights(self, name: str, sha256: str) -> None:
        """Record pretrained weights that the run used."""
        self._weights[name] = sha256

    def claim(self, claim_id: str, *, ours=None, baseline=None, ours_items=None, baseline_items=None, x=None,
              successes=None, trials=None, passed=None) -> None:  # fmt: skip
        """Record derived values of a claim that no query on arms can give; its kind stands in the yml.

        Args:
            claim_id: id in the yml.
            ours, baseline: per-seed values, paired: (seeds,); (seeds, k) for trends over `x` (k,); (seeds, 2)
                for interactions (first and second condition). A dict by arm where the claim is for every arm.
            ours_items, baseline_items: (seeds, items) scores where seeds share the test items; where `ours` or
                `baseline` is left out, its values are their means.
            successes, trials: counts per seed for proportions.
            passed: one boolean per seed for exact claims.

        Raises:
            RecordError: unknown claim, one that reads arms, not what its kind needs, wrong number of seeds, or
                another cell recorded the same.
        """
        if claim_id not in self._claims:
            near = difflib.get_close_matches(claim_id, self._claims, n=1)
            raise RecordError(
                f"Claim {claim_id!r} is not in {self.slug}.yml: add it there"
                + (f", or did you mean {near[0]!r}?" if near else ".")
            )
        if "ours" in self._claims[claim_id]:
            raise RecordError(f"Claim {claim_id!r} reads arms, says {self.slug}.yml: record these, not the claim.")
        given = {"ours": ours, "baseline": baseline, "ours_items": ours_items, "baseline_items": baseline_items,
                 "x": x, "successes": successes, "trials": trials, "passed": passed}  # fmt: skip
        for side in ("ours", "baseline"):
            items = given[f"{side}_items"]
            if given[side] is None and items is not None:
                many = isinstance(items, dict)
                given[side] = {arm: values.means(v) for arm, v in items.items()} if many else values.means(items)
        given = {name: value for name, value in given.items() if value is not None}
        dicts = {name: value for name, value in given.items() if isinstance(value, dict)}
        if not dicts:
            checked = self._checked(claim_id, given)
        else:
            arms = list(next(iter(dicts.values())))
            if any(list(value) != arms for value in dicts.values()):
                raise RecordError(f"Claim {claim_id!r}: the arms of {' and '.join(dicts)} differ.")
            checked = {
                "arms": {
                    arm: self._checked(claim_id, {n: v[arm] if n in dicts else v for n, v in given.items()})
                    for arm in arms
                }
            }
        self._once(f"Claim {claim_id!r}")
        self._values[claim_id] = checked

    def _checked(self, claim_id: str, given: dict) -> dict:
        claim = self._claims[claim_id]
        kind = claim["kind"]
        needed, allowed = _NEEDS[kind]
        if "bound" in claim:
            needed = needed - {"baseline"}
        if not needed <= set(given) or not set(given) <= needed | allowed:
            raise RecordError(
                f"Claim {claim_id!r} is of kind {kind!r}: give {', '.join(sorted(needed))}"
                + (f" (and {', '.join(sorted(allowed))} where there is one)" if allowed else "")
                + f", not {', '.join(given) or 'nothing'}."
            )
        checked = {}
        for name, value in given.items():
            if name.endswith("_items"):
                continue
            plain = values.plain(value)
            if name == "passed":
                checked[name] = [bool(p) for p in plain]
            else:
                with _refusing():
                    checked[name] = values.numbers(plain, f"Claim {claim_id!r}, {name}")
            if name != "x" and len(checked[name]) != len(self.seeds):
                raise RecordError(
                    f"Claim {claim_id!r}: {name} has {len(checked[name])} values for {len(self.seeds)} seeds."
                )
        if kind == "interaction" and any(len(row) != 2 for row in checked["ours"] + checked["baseline"]):
            raise RecordError(f"Claim {claim_id!r}: an interaction needs (first, second condition) per seed.")
        if "ours_items" in given:
            checked["item_se"] = values.item_standard_error(given["ours_items"], given.get("baseline_items"))
        return checked

    def _once(self, what: str) -> None:
        """A cell that runs again replaces what it recorded; two cells that record the same are an error."""
        cell, turn = _cell()
        before = self._recorded.get(what)
        if before is not None and (before[0] != cell or before[1] == turn):
            raise RecordError(f"{what}: recorded twice.")
        self._recorded[what] = (cell, turn)

    # -- what the notebook shows ---------------------------------------------------------------------------

    def say(self, markdown: str) -> None:
        """Show a Markdown sentence whose numbers come from variables."""
        show.display(None, markdown, markdown=True)

    def table(self, rows: list[dict], caption: str = "") -> None:
        """Show a table: one dict a row, the first one's keys are the header."""
        show.display(show.table_html(rows, caption), (caption + "\n" if caption else "") + show.plain_table(rows))

    def report(self) -> None:
        """Show every claim with its verdict, and write the record (kept as `record` too).

        The record goes to $BOOK_OUT, else to `_build/records/<scale>/` of the checkout, else to the current
        folder, whole or not at all.

        Raises:
            RecordError: a claim was never recorded or reads an arm that was not, or every seed gave the same.
        """
        record = {
            "schema": 2,
            "slug": self.slug,
            "results": {
                "scale": self.scale,
                "seeds": self.seeds,
                "settings": values.plain(self._settings),
                "arms": list(self._arms.values()),
                "claims": self._values,
                "choices": self._choices,
                "resampled": self._resampled,
                "shared_parts": self._shared,
            },
            **({"timed": list(self._timed.values())} if self._timed else {}),
            "provenance": self._provenance(),
        }
        record["provenance"]["results_digest"] = results_digest(record["results"])
        validate_record(record, f"the record of {self.slug}")
        verdicts(self.info, record)  # names what is missing before anything is shown
        same = constants(self.info, record) if self.scale == "small" else []  # tests cut the others to the bone
        if same:
            raise RecordError(
                f"{self.slug}: every seed gave the same values for {', '.join(same)}: say why under `constant:` in the "
                "yml, or make the claim exact."
            )
        html, text = show.claims_html(self.info, record)
        caption = f"Claims and verdicts ({self.scale}, {len(self.seeds)} seeds). Positive effects support a claim."
        show.display(f"<p>{caption}</p>{html}", f"{caption}\n{text}")
        self._compare(record)
        if "BOOK_OUT" in os.environ:
            folder = Path(os.environ["BOOK_OUT"])
        else:
            folder = ROOT / "_build" / "records" / self.scale if ROOT else Path.cwd()
        write_json(folder / f"{self.slug}.json", record)
        self.record = record

    def _compare(self, record: dict) -> None:
        """Say where this run's verdicts differ from the accepted ones, so that a reader elsewhere knows what to think."""
        path = ROOT / "results" / self.scale / f"{self.slug}.json" if ROOT else None
        if path is None or not path.exists() or "BOOK_RESULT_HASH" in os.environ:
            return
        try:
            accepted = verdicts(self.info, read_record(path))
        except (RecordError, KeyError):  # of another edition of the claims
            return
        ours = verdicts(self.info, record)
        moved = [f"{c}: accepted *{accepted[c].verdict}*, here *{o.verdict}*" for c, o in ours.items() if o.verdict != accepted[c].verdict]  # fmt: skip
        if moved:
            self.say(
                "Verdicts that differ from the accepted run (another machine, other versions or seeds move those at "
                "their border): " + "; ".join(moved) + "."
            )

    def _provenance(self) -> dict:
        import torch

        loaded = sys.modules.get("shared.data")
        data = dict(loaded.loaded) if loaded else {}
        listed = set(self.info["data"][self.scale])
        if set(data) != listed:
            raise RecordError(
                f"{self.slug}.yml lists the data {sorted(listed)} at {self.scale}, the notebook loaded {sorted(data)}."
            )
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else provenance.cpu_name()
        commit, dirty = provenance.commit()
        return {
            "result_hash": os.environ.get("BOOK_RESULT_HASH") or None,
            "page_hash": os.environ.get("BOOK_PAGE_HASH") or None,
            "seconds": round(time.perf_counter() - self._start[0], 2),
            "cpu_seconds": round(time.process_time() - self._start[1], 2),
            "peak_memory_mib": round(provenance.peak_mib(), 1),
            "device": self.device.type,
            "device_name": name,
            "device_print": provenance.cpu_print(),
            "versions": provenance.versions(),
            "data": dict(sorted(data.items())),
            "weights": self._weights,
            "timings": self._timings,
            "commit": commit,
            "dirty": dirty,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "registration": {"claims": registration(self.info)},
        }


@contextlib.contextmanager
def _refusing():
    """What a notebook gave and cannot be stored is an error of its record."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise RecordError(str(error)) from None


def _cell() -> tuple[str, object]:
    """Which cell of a notebook is running, and its run: outside a notebook, one cell that never runs again."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
    except ImportError:
        shell = None
    if shell is None:
        return "", 0
    frame, outermost = sys._getframe(1), ""
    while frame is not None:
        file = frame.f_code.co_filename
        if "ipykernel" in file and file.endswith(".py") and "site-packages" not in file:
            outermost = file  # one name for each content of a cell
        frame = frame.f_back
    parent = getattr(shell, "parent_header", None) or {}
    known = (parent.get("metadata") or {}).get("cellId")
    return known or outermost, shell.execution_count


_PAIR = ({"ours", "baseline"}, {"ours_items", "baseline_items"})
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
