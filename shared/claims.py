"""Statistics of claims: from recorded values to a verdict.

Everything here is a pure function of what a run recorded and what the paper's yml says, so that a verdict
is computed wherever it is shown and can never be typed. The page "How to read a page" explains the rules;
`shared.power` plans runs and says how firm a verdict is.

An effect is always counted in the direction of the claim: positive supports it, whatever the metric's own
direction. It is shown in the claim's unit, for a ratio as a factor (above 1 supports the claim). Ratios are
computed on logarithms: that is the working scale of a ratio, for every other kind it is the claim's unit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np

HOLDS = "holds"
TRIVIAL = "trivial"
REVERSED = "reversed"
NOT_SEEN = "not seen"
UNDECIDED = "undecided"
REFUTED = "refuted"
NOT_RUN = "not run"
NOT_TESTABLE = "not testable"
VERDICTS = (HOLDS, TRIVIAL, REVERSED, NOT_SEEN, UNDECIDED, REFUTED, NOT_RUN, NOT_TESTABLE)
KINDS = ("difference", "ratio", "equivalence", "not_worse", "trend", "interaction", "proportion", "exact")
SUPERIORITY = ("difference", "ratio", "trend", "interaction")

# Quantiles whose sum, times the standard error, is the effect found with 80 % power.
POWER = {"not_worse": (0.95, 0.8), "equivalence": (0.95, 0.9)}
POWER_OF_TWO_SIDED = (0.975, 0.8)


@dataclass(frozen=True)
class Outcome:
    """Verdict on one claim.

    Attributes:
        verdict: one of `VERDICTS`.
        effect: mean effect in the claim's direction and unit (a factor for ratios, the margin to the bound
            for proportions, the share of seeds that passed for exact claims).
        low, high: interval of the effect, None where one seed gives none; `level` is its coverage (0.95, or
            0.90 where one-sided tests at 5 % decide: equivalence, not worse than, proportion).
        detectable: the effect that a run of this size finds with 80 % power, same scale as `effect`; for
            equivalence the smallest delta inside which it would find two equal arms.
        arm: the arm that decided, where the claim is for every arm.
        note: one sentence where the verdict needs it.
        clearly: whether a superiority claim that holds has its whole interval at or above delta.
        cells: (arms that hold alone, arms), where the claim is for every arm.
        value, bound: mean of ours in the claim's unit and the bound, where the claim has one.
    """

    verdict: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    detectable: float | None = None
    arm: str | None = None
    note: str = ""
    clearly: bool = False
    cells: tuple[int, int] | None = None
    value: float | None = None
    bound: float | None = None

    def as_dict(self) -> dict:
        return asdict(self)


# -- estimates and intervals ---------------------------------------------------------------------------------


def item_error(per_item_effect, seeds: int = 1) -> float:
    """Standard error that a test set shared by all seeds adds to the mean effect.

    Args:
        per_item_effect: (items,) mean over seeds of every test item's score, ours minus baseline.
        seeds: where the entries are sums over that many seeds instead of means.

    Returns:
        What a paired bootstrap over test items would give as the standard deviation of the mean effect, in
        closed form: sd over items, over sqrt(items).
    """
    effect = np.asarray(per_item_effect, float) / seeds
    if effect.ndim != 1 or len(effect) < 2 or not np.isfinite(effect).all():
        raise ValueError(f"Items must be one finite number for each of at least two items, got shape {effect.shape}.")
    return float(effect.std(ddof=1) / math.sqrt(len(effect)))


def item_standard_error(ours_items, baseline_items=None) -> float:
    """`item_error` of the scores themselves: (seeds, items) each, items in one order, or no baseline."""
    scores = np.asarray(ours_items, float)
    if baseline_items is not None:
        other = np.asarray(baseline_items, float)
        if other.shape != scores.shape:
            raise ValueError(f"ours_items {scores.shape} and baseline_items {other.shape} must have one shape.")
        scores = scores - other
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError("Items must be a (seeds, items) array with at least two items.")
    return item_error(scores.mean(0))


def mean_and_error(values, item_se: float = 0.0, floor: float = 0.0) -> tuple[float, float, float]:
    """Mean over seeds, its standard error and the degrees of freedom of that.

    Args:
        values: (seeds,) one effect per seed.
        item_se: standard error from parts shared by the seeds (`item_standard_error`).
        floor: smallest standard error to believe.

    Returns:
        mean, se, df. se is infinite with one seed. df after Welch and Satterthwaite, the shared part counted
        as known; infinite where the seeds do not vary.

    Raises:
        ValueError: no seed, or a value that is not finite.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"An effect needs one value per seed and at least one seed, got shape {values.shape}.")
    if not (np.isfinite(values).all() and math.isfinite(item_se)):
        raise ValueError("An effect that is not a finite number has no verdict: look at the values of every seed.")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return mean, math.inf, 1.0
    seed_var = float(values.var(ddof=1)) / n
    variance = seed_var + item_se**2
    df = (n - 1) * (variance / seed_var) ** 2 if seed_var > 0 else math.inf
    return mean, max(math.sqrt(variance), floor), df


def t_quantile(p: float, df: float) -> float:
    """Quantile of the t distribution; of the normal one where `df` is infinite."""
    from scipy import special  # the quantiles of scipy.stats, without its import

    return float(special.stdtrit(df, p) if math.isfinite(df) else special.ndtri(p))


def mean_interval(values, level: float = 0.95, item_se: float = 0.0, floor: float = 0.0, power=POWER_OF_TWO_SIDED):
    """Mean over seeds with its t interval, widened by a variance that all seeds share.

    Args:
        values, item_se, floor: as of `mean_and_error`.
        level: coverage of the interval.
        power: quantiles of the test whose power is told.

    Returns:
        mean, low, high, detectable (effect found with 80 % power). With one seed the interval is infinite.
    """
    mean, se, df = mean_and_error(values, item_se, floor)
    if not math.isfinite(se):
        return mean, -math.inf, math.inf, math.inf
    half = t_quantile(0.5 + level / 2, df) * se
    return mean, mean - half, mean + half, sum(t_quantile(p, df) for p in power) * se


def design_effect(successes, trials, inflate: float = 1.0) -> tuple[float, float, float]:
    """How much more rates vary between seeds than those of independent trials.

    Args:
        successes, trials: (seeds,) counts.
        inflate: factor on the standard deviation between seeds (`shared.power.pilot_factor`).

    Returns:
        rate, sum of trials, design effect (1 or above; 1 with one seed).
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    if k.shape != n.shape or k.ndim != 1 or not len(k) or not ((n > 0) & (k >= 0) & (k <= n)).all():
        raise ValueError("successes and trials must be lists of one length with 0 <= successes <= trials.")
    total, rate, seeds = float(n.sum()), float(k.sum() / n.sum()), len(k)
    if seeds < 2 or not 0 < rate < 1:
        return rate, total, 1.0
    between = seeds / (seeds - 1) * float(((k - rate * n) ** 2).sum()) / total**2
    return rate, total, max(1.0, inflate**2 * between / (rate * (1 - rate) / total))


def proportion_interval(successes, trials, level: float = 0.90):
    """Exact binomial interval of a rate, honest about trials that are clustered by seed.

    Args:
        successes, trials: (seeds,) counts.
        level: coverage.

    Returns:
        rate, low, high. Clopper and Pearson's interval, with the number of trials divided by the design
        effect where rates vary more between seeds than independent trials would, after Korn and Graubard
        (1998): test items that are judged against one calibration set are not independent.
    """
    from scipy import special

    rate, total, design = design_effect(successes, trials)
    effective = total / design
    if design > 1:  # few seeds estimate the design effect badly: the t quantile of seeds - 1 says how badly
        p = 0.5 + level / 2
        effective *= (t_quantile(p, math.inf) / t_quantile(p, len(successes) - 1)) ** 2
    x, alpha = rate * effective, 1 - level
    low = float(special.betaincinv(x, effective - x + 1, alpha / 2)) if x > 0 else 0.0
    high = float(special.betaincinv(x + 1, effective - x, 1 - alpha / 2)) if rate < 1 else 1.0
    return rate, low, high


def slopes(x, y) -> np.ndarray:
    """Least-squares slope of every row of `y` (seeds, k) over `x` (k,): (seeds,)."""
    x, y = np.asarray(x, float), np.atleast_2d(np.asarray(y, float))
    if y.ndim != 2 or y.shape[1] != len(x) or len(set(x.tolist())) < 2:
        raise ValueError(f"A trend needs at least two x values and one y per x and seed, got x {len(x)}, y {y.shape}.")
    x = x - x.mean()
    return (y - y.mean(1, keepdims=True)) @ x / (x @ x)


# -- from values to a verdict ----------------------------------------------------------------------------------


def sign(claim: dict) -> float:
    return -1.0 if claim.get("direction", "higher") == "lower" else 1.0


def rate_unit(claim: dict) -> float:
    """What a rate in 0..1 is multiplied by to stand in the unit of a proportion's bound."""
    return 100.0 if claim.get("unit", "").startswith(("%", "point")) else 1.0


def to_working(claim: dict, effect: float) -> float:
    """An effect as shown, on the working scale."""
    return math.log(effect) if claim["kind"] == "ratio" else effect


def to_shown(claim: dict, effect: float) -> float:
    """An effect on the working scale, as shown."""
    if claim["kind"] != "ratio":
        return effect
    return math.exp(effect) if effect < 700 else math.inf


def working_delta(claim: dict, delta: float | None = None) -> float:
    """The claim's delta, or the one given instead, on the working scale."""
    delta = claim["delta"] if delta is None else delta
    return math.log1p(delta) if claim["kind"] == "ratio" else delta


def _has_bound(claim: dict) -> bool:
    return claim.get("bound") is not None and claim["kind"] in ("difference", "not_worse", "equivalence")


def effects(claim: dict, values: dict) -> np.ndarray:
    """Effect of every seed (seeds,), in the claim's direction, on the working scale.

    Args:
        claim: entry of the yml.
        values: `ours` and `baseline` (seeds,); for trend (seeds, k) with `x` (k,); for interaction (seeds, 2).
            Without a baseline it is 0, or the claim's `bound`.

    Raises:
        ValueError: nothing recorded, shapes that differ, a ratio of values that are not positive.
    """
    kind, name = claim["kind"], f"Claim {claim.get('id')}"
    if "ours" not in values:
        raise ValueError(f"{name}: a claim of kind {kind} needs `ours`, one value per seed.")
    ours = np.asarray(values["ours"], float)
    if _has_bound(claim):
        baseline = np.full_like(ours, claim["bound"])
    else:
        baseline = np.asarray(values["baseline"], float) if "baseline" in values else np.zeros_like(ours)
    if ours.shape != baseline.shape:
        raise ValueError(f"{name}: ours {ours.shape} and baseline {baseline.shape} must have one shape.")
    if not (np.isfinite(ours).all() and np.isfinite(baseline).all()):
        raise ValueError(f"{name}: a value is not a finite number.")
    if kind == "ratio":
        if (ours <= 0).any() or (baseline <= 0).any():
            raise ValueError(f"{name}: a ratio needs positive values.")
        return sign(claim) * np.log(ours / baseline)
    if kind == "trend":
        return sign(claim) * slopes(values["x"], ours - baseline)
    if kind == "interaction":
        gap = ours - baseline
        if gap.ndim != 2 or gap.shape[1] != 2:
            raise ValueError(f"{name}: an interaction needs two conditions per seed, got shape {gap.shape}.")
        return sign(claim) * (gap[:, 1] - gap[:, 0])
    return sign(claim) * (ours - baseline)


def verdict_of(kind: str, low: float, high: float, delta: float) -> str:
    """The table of verdicts: [low, high] the interval of the effect (of the margin, for a proportion)."""
    if kind in SUPERIORITY:
        if low > 0:
            return HOLDS if high >= delta else TRIVIAL
        if high < 0:
            return REVERSED
        return NOT_SEEN if high < delta else UNDECIDED
    if kind == "equivalence":
        if low > -delta and high < delta:
            return HOLDS
        return REFUTED if low > delta or high < -delta else UNDECIDED
    if kind == "not_worse":
        return HOLDS if low > -delta else REVERSED if high < -delta else UNDECIDED
    if kind == "proportion":  # tested first: an interval that violates the bound by less than delta is no "holds"
        return REFUTED if high < 0 else HOLDS if low > -delta else UNDECIDED
    raise ValueError(f"Kind {kind!r} has no interval: the kinds are {', '.join(KINDS)}.")


def one_sided(level: float) -> float:
    """Coverage of the interval whose one-sided tests have the error 1 - level: 0.90 for 0.95."""
    return 1 - 2 * (1 - level)


def judge(claim: dict, values: dict, scale: str | None = None, *, level: float = 0.95, delta=None) -> Outcome:
    """Verdict on one claim.

    Args:
        claim: the claim's entry of the paper's yml (kind, direction, delta, bound, untestable).
        values: what a run recorded for it: as of `effects`, with `item_se` on the working scale where seeds
            share test items; `successes` and `trials` (seeds,) of a proportion, `passed` (seeds,) of an exact
            claim; or `{"arms": {label: values}}` for a claim about every arm.
        scale: scale of the run, for claims that a scale cannot test.
        level: confidence of the two-sided rules; the one-sided ones have the error 1 - level.
        delta: instead of the claim's.

    Returns:
        The outcome; for values by arm every arm must hold, and one that does not is judged at (1 - level) / k.
    """
    untestable = claim.get("untestable") or {}
    if untestable.get(scale):
        return Outcome(NOT_TESTABLE if {"small", "full"} <= set(untestable) else NOT_RUN, note=untestable[scale])
    return _every(claim, values["arms"], level, delta) if "arms" in values else _single(claim, values, level, delta)


def _single(claim, values, level, delta) -> Outcome:
    kind = claim["kind"]
    if kind == "exact":
        passed = [bool(p) for p in values.get("passed", ())]
        if not passed:
            raise ValueError(f"Claim {claim.get('id')}: an exact claim needs `passed`, true or false for every seed.")
        return Outcome(HOLDS if all(passed) else REFUTED, sum(passed) / len(passed))
    delta, level = working_delta(claim, delta), level if kind in SUPERIORITY else one_sided(level)
    if kind == "proportion":
        unit, bound = rate_unit(claim), float(claim["bound"])
        rate, low, high = (unit * v for v in proportion_interval(values["successes"], values["trials"], level))
        margin = [v - bound for v in (rate, low, high)]
        if sign(claim) < 0:  # at most the bound: the margin is what is left below it
            margin = [bound - v for v in (rate, high, low)]
        return Outcome(verdict_of(kind, *margin[1:], delta), *margin, level, value=rate, bound=bound)
    power = POWER.get(kind, POWER_OF_TWO_SIDED)
    found = mean_interval(effects(claim, values), level, values.get("item_se", 0.0), power=power)
    verdict = verdict_of(kind, *found[1:3], delta)
    mean, low, high, detectable = (to_shown(claim, v) if abs(v) < math.inf else None for v in found)
    value, bound = (float(np.mean(values["ours"])), float(claim["bound"])) if _has_bound(claim) else (None, None)
    return Outcome(
        verdict,
        *(mean, low, high, level, detectable),
        note="one seed gives no interval" if low is None else "",
        clearly=verdict == HOLDS and kind in SUPERIORITY and found[1] >= delta,
        value=value,
        bound=bound,
    )


def _every(claim, arms, level, delta) -> Outcome:
    """All arms must hold at `level`; whether one that does not turns the claim is judged at (1 - level) / k."""
    if not arms:
        raise ValueError(f"Claim {claim.get('id')}: a claim for every arm needs an arm.")
    k = len(arms)
    alone = {arm: _single(claim, values, level, delta) for arm, values in arms.items()}
    strict = {arm: _single(claim, values, 1 - (1 - level) / k, delta).verdict for arm, values in arms.items()}
    failing = [arm for arm in arms if alone[arm].verdict not in (HOLDS, TRIVIAL)]
    if failing:
        found = [strict[arm] for arm in failing]
        verdict = next((v for v in (REVERSED, REFUTED, NOT_SEEN) if v in found), UNDECIDED)
        candidates = [arm for arm in failing if strict[arm] == verdict] or failing
    else:
        trivial = [arm for arm in arms if strict[arm] in (TRIVIAL, NOT_SEEN)]  # their whole interval is below delta
        verdict, candidates = (TRIVIAL, trivial) if trivial else (HOLDS, list(arms))
    worst = min(candidates, key=lambda arm: _support(claim, alone[arm]))
    note = alone[worst].note
    if alone[worst].verdict != verdict:
        note = (
            f"this arm alone would be {alone[worst].verdict}; as the worst of {k} it is judged at {1 - level:.2g}/{k}"
        )
    clearly = verdict == HOLDS and all(o.clearly for o in alone.values())
    cells = (sum(o.verdict == HOLDS for o in alone.values()), k)
    return replace(alone[worst], verdict=verdict, arm=worst, note=note, clearly=clearly, cells=cells)


def _support(claim, outcome) -> float:
    """The worst arm has the lowest lower limit (for equivalence the limit farthest from 0)."""
    if claim["kind"] == "exact":
        return outcome.effect
    if outcome.low is None:
        return -math.inf
    return -max(-outcome.low, outcome.high) if claim["kind"] == "equivalence" else outcome.low


def decide(claim: dict, small: Outcome | None, full: Outcome | None) -> tuple[Outcome, str | None]:
    """The one verdict of a claim.

    Args:
        claim: entry of the yml.
        small, full: outcomes of the accepted runs, None where there is none.

    Returns:
        The outcome of `full` where that can decide (exact, a proportion that is not undecided, or a detectable
        effect of at most delta), else that of `small`, else what there is; and its scale, None where no
        scale tested the claim (*not run* or *not testable*, with the reasons).
    """
    small, full = (o if o is not None and o.verdict not in (NOT_RUN, NOT_TESTABLE) else None for o in (small, full))
    if full is not None and (small is None or _can_decide(claim, full)):
        return full, "full"
    if small is not None:
        return small, "small"
    untestable = claim.get("untestable") or {}
    reasons = dict.fromkeys(str(untestable[s]) for s in ("small", "full") if untestable.get(s))
    verdict = NOT_TESTABLE if {"small", "full"} <= set(untestable) else NOT_RUN
    return Outcome(verdict, note="; ".join(reasons)), None


def _can_decide(claim, outcome) -> bool:
    if claim["kind"] == "exact":
        return True
    if claim["kind"] == "proportion":
        return outcome.verdict != UNDECIDED
    return outcome.detectable is not None and to_working(claim, outcome.detectable) <= working_delta(claim)


def in_deltas(claim: dict, value: float | None) -> float | None:
    """Effect in units of the claim's delta, the one scale on which all claims can be drawn side by side."""
    return None if value is None else to_working(claim, value) / working_delta(claim)


# -- against the paper -----------------------------------------------------------------------------------------


def _printed(claim: dict) -> list[tuple[float, float, float]]:
    """The printed effect as a weighted sum on the working scale: (weight, value, standard error) of every term."""
    kind, by_x = claim["kind"], claim["kind"] in ("trend", "interaction")
    entries = [e for e in claim.get("paper") or [] if e.get("role") and e.get("value") is not None]
    entries = [e for e in entries if e.get("x") is not None] if by_x else entries
    groups: dict[str, list[dict]] = {}
    for entry in entries:
        groups.setdefault(entry["setting"], []).append(entry)
    # the x of a trend or an interaction may stand in one setting, or each in a setting of its own
    for group in [*groups.values(), entries] if by_x else groups.values():
        sides: dict[str, dict] = {"ours": {}, "baseline": {}}
        for entry in group:
            sides.get(entry["role"], {}).setdefault(entry["x"] if by_x else None, entry)
        ours, baseline = sides.values()
        alone = kind == "trend" and not baseline and not claim.get("baseline")
        weights = _weights(claim, [x for x in ours if alone or x in baseline])
        terms = [(w, ours[x]) for x, w in weights.items()]
        terms += [(-w, baseline[x]) for x, w in weights.items() if not alone]
        if terms:
            break
    else:
        return []
    printed = [(sign(claim) * w, float(e["value"]), float(e.get("se") or 0.0)) for w, e in terms]
    if kind != "ratio":
        return printed
    if any(value <= 0 for _, value, _ in printed):
        raise ValueError(f"Claim {claim.get('id')}: a printed ratio needs positive values.")
    return [(w, math.log(value), se / value) for w, value, se in printed]


def _weights(claim, xs) -> dict:
    """What each x adds to the effect: {x: weight}, empty where the entries do not suffice."""
    if claim["kind"] == "trend":
        x = np.array(xs, float)
        return dict(zip(xs, (x - x.mean()) / ((x - x.mean()) ** 2).sum())) if len(set(x.tolist())) > 1 else {}
    if claim["kind"] == "interaction":
        conditions = list(claim.get("x") or xs)[:2]
        return dict(zip(conditions, (-1.0, 1.0))) if len(conditions) == 2 and set(conditions) <= set(xs) else {}
    return {x: 1.0 for x in xs[:1]}


def paper_effect(claim: dict) -> float | None:
    """Effect that the paper printed, as shown, or None.

    Ours against baseline of the first setting that has both; the slope over the entries' `x` for a trend (of
    ours alone where neither the paper's entries nor the claim have a baseline), the difference of the two
    differences for an interaction.
    """
    terms = _printed(claim)
    return to_shown(claim, sum(w * v for w, v, _ in terms)) if terms else None


def paper_se(claim: dict) -> float:
    """Standard error of the printed effect from the entries' `se`, 0 where none is printed.

    On the working scale: that of the logarithm for a ratio. Entries count as independent.
    """
    return math.sqrt(sum((w * se) ** 2 for w, _, se in _printed(claim)))


def delta_limit(claim: dict) -> float | None:
    """Largest delta that the printed effect admits: half of it (on logarithms for a ratio); None where there is none."""
    printed = paper_effect(claim)
    if printed is None or claim["kind"] not in SUPERIORITY:
        return None
    half = abs(to_working(claim, printed)) / 2
    return math.expm1(half) if claim["kind"] == "ratio" else half


def against_paper(claim: dict, outcome: Outcome, fidelity: str) -> str | None:
    """How the effect compares with the printed one, a word beside the verdict.

    Args:
        claim: entry of the yml, with the paper's numbers.
        outcome: verdict on it; its interval is widened by the printed standard error.
        fidelity: that of the paper's page; only `method` is compared.

    Returns:
        "consistent", "larger than printed", "smaller than printed", "opposite", "cannot tell", or None where
        there is nothing to compare.
    """
    printed = paper_effect(claim)
    if fidelity != "method" or printed is None or outcome.low is None or claim["kind"] in ("proportion", "exact"):
        return None
    printed, mean, low = (to_working(claim, v) for v in (printed, outcome.effect, outcome.low))
    half = math.hypot(mean - low, 1.96 * paper_se(claim))
    if abs(printed - mean) <= half:
        return "cannot tell" if abs(mean) <= half else "consistent"
    if outcome.verdict == REVERSED and printed > 0:
        return "opposite"
    return "larger than printed" if mean > printed else "smaller than printed"
