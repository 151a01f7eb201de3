"""Statistics of claims: from recorded values to a verdict.

Everything here is a pure function of what a run recorded and what the paper's yml says, so that a verdict
is computed wherever it is shown and can never be typed. The page "How to read a page" explains the rules.

An effect is always counted in the direction of the claim: positive supports it, whatever the metric's own
direction. For ratios the effect is a factor, and above 1 supports the claim.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

HOLDS = "holds"
SMALLER = "holds, smaller than claimed"
FAILS = "does not hold"
UNRESOLVED = "unresolved"
NOT_TESTABLE = "not testable at this scale"
VERDICTS = (HOLDS, SMALLER, FAILS, UNRESOLVED, NOT_TESTABLE)
KINDS = ("difference", "ratio", "equivalence", "not_worse", "trend", "interaction", "proportion", "exact")

_WORST_FIRST = (FAILS, UNRESOLVED, SMALLER, HOLDS)


@dataclass(frozen=True)
class Outcome:
    """Verdict on one claim.

    Attributes:
        verdict: one of `VERDICTS`.
        effect: mean effect in the claim's direction and the metric's unit (a factor for ratios, the margin
            to the bound for proportions, the share of seeds that passed for exact claims).
        low, high: interval of the effect; `level` is its coverage (0.95, or 0.90 where one-sided tests at
            5 % decide: equivalence, not worse than, proportion).
        detectable: the effect that a run of this size finds with 80 % power, same scale as `effect`.
        arm: the arm that decided, where the claim is for every arm.
        note: one sentence where the verdict needs it.
    """

    verdict: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    detectable: float | None = None
    arm: str | None = None
    note: str = ""

    def as_dict(self) -> dict:
        return asdict(self)


def item_standard_error(ours_items, baseline_items=None) -> float:
    """Standard error that a test set shared by all seeds adds to the mean effect.

    Args:
        ours_items: (seeds, items) score of every test item, whose mean is the metric.
        baseline_items: the same for the baseline, items in the same order, or None.

    Returns:
        What a paired bootstrap over test items would give as the standard deviation of the mean effect, in
        closed form: sd over items of the seed-averaged paired difference, over sqrt(items).
    """
    scores = np.asarray(ours_items, float)
    if baseline_items is not None:
        other = np.asarray(baseline_items, float)
        if other.shape != scores.shape:
            raise ValueError(f"ours_items {scores.shape} and baseline_items {other.shape} must have one shape.")
        scores = scores - other
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError("Items must be a (seeds, items) array with at least two items.")
    per_item = scores.mean(0)
    return float(per_item.std(ddof=1) / math.sqrt(len(per_item)))


def mean_interval(values, level: float = 0.95, item_se: float = 0.0, floor: float = 0.0):
    """Mean over seeds with its t interval, widened by a variance that all seeds share.

    Args:
        values: (seeds,) one effect per seed.
        level: coverage of the interval.
        item_se: standard error from parts shared by the seeds (`item_standard_error`).
        floor: smallest standard error to believe.

    Returns:
        mean, low, high, detectable (effect found with 80 % power). Without a second seed and without items
        the interval is infinite. Degrees of freedom after Welch and Satterthwaite, the shared part counted
        as known.
    """
    from scipy import special  # the quantiles of scipy.stats, without its import

    values = np.asarray(values, float)
    n, mean = len(values), float(np.mean(values))
    seed_var = float(values.var(ddof=1)) / n if n > 1 else math.inf
    variance = seed_var + item_se**2
    if not math.isfinite(variance):
        return mean, -math.inf, math.inf, math.inf
    se = max(math.sqrt(variance), floor)
    df = (n - 1) * (variance / seed_var) ** 2 if seed_var > 0 else math.inf
    q = (lambda p: special.stdtrit(df, p)) if math.isfinite(df) else special.ndtri
    half = float(q(0.5 + level / 2)) * se
    return mean, mean - half, mean + half, float(q(0.975) + q(0.8)) * se


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

    k, n = np.asarray(successes, float), np.asarray(trials, float)
    if k.shape != n.shape or k.ndim != 1 or (n <= 0).any() or (k < 0).any() or (k > n).any():
        raise ValueError("successes and trials must be lists of one length with 0 <= successes <= trials.")
    total, rate, seeds = n.sum(), k.sum() / n.sum(), len(k)
    effective = total
    if seeds > 1 and 0 < rate < 1:
        binomial = rate * (1 - rate) / total
        between = seeds / (seeds - 1) * float(((k - rate * n) ** 2).sum()) / total**2
        effective = total / max(1.0, between / binomial)
        if effective < total:  # few seeds estimate the design effect badly: the t quantile of seeds - 1 says how badly
            p = 0.5 + level / 2
            effective *= float(special.ndtri(p) / special.stdtrit(seeds - 1, p)) ** 2
    x, alpha = rate * effective, 1 - level
    low = float(special.betaincinv(x, effective - x + 1, alpha / 2)) if x > 0 else 0.0
    high = float(special.betaincinv(x + 1, effective - x, 1 - alpha / 2)) if rate < 1 else 1.0
    return float(rate), low, high


def slopes(x, y) -> np.ndarray:
    """Least-squares slope of every row of `y` (seeds, k) over `x` (k,): (seeds,)."""
    x, y = np.asarray(x, float), np.atleast_2d(np.asarray(y, float))
    if y.shape[1] != len(x) or len(x) < 2:
        raise ValueError(f"A trend needs at least two x values and one y per x and seed, got x {len(x)}, y {y.shape}.")
    x = x - x.mean()
    return (y - y.mean(1, keepdims=True)) @ x / (x @ x)


def judge(claim: dict, values: dict, scale: str | None = None) -> Outcome:
    """Verdict on one claim.

    Args:
        claim: the claim's entry of the paper's yml (kind, direction, delta, bound, untestable).
        values: what `Paper.claim` recorded for it.
        scale: scale of the run, for claims that a scale cannot test.

    Returns:
        The outcome; for values by arm, that of the worst arm.
    """
    reason = (claim.get("untestable") or {}).get(scale)
    if reason:
        return Outcome(NOT_TESTABLE, note=reason)
    if "arms" in values:
        outcomes = [(arm, judge(claim, v)) for arm, v in values["arms"].items()]
        arm, worst = min(outcomes, key=lambda o: (_WORST_FIRST.index(o[1].verdict), _support(o[1])))
        return Outcome(**{**worst.as_dict(), "arm": arm})
    return _JUDGES[claim["kind"]](claim, values)


def _support(o: Outcome) -> float:
    return o.low if o.low is not None else (o.effect or 0.0)


def _sign(claim: dict) -> float:
    return -1.0 if claim.get("direction", "higher") == "lower" else 1.0


def _superiority(claim, per_seed, item_se=0.0, delta=None, back=float) -> Outcome:
    """Difference rule; `back` maps effects to the scale that is shown (exp for ratios)."""
    delta = claim["delta"] if delta is None else delta
    mean, low, high, detectable = mean_interval(per_seed, 0.95, item_se)
    if low > 0:
        verdict = HOLDS if mean >= delta else SMALLER
    else:
        verdict = FAILS if high < delta else UNRESOLVED
    note = "one seed gives no interval" if not math.isfinite(high) else ""
    return Outcome(
        verdict, back(mean), _finite(back, low), _finite(back, high), 0.95, _finite(back, detectable), note=note
    )


def _finite(back, value):
    return back(value) if math.isfinite(value) else None


def _pair(values):
    ours = np.asarray(values["ours"], float)
    return ours, np.asarray(values.get("baseline", np.zeros_like(ours)), float)


def _difference(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    return _superiority(claim, _sign(claim) * (ours - baseline), values.get("item_se", 0.0))


def _ratio(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    if (ours <= 0).any() or (baseline <= 0).any():
        raise ValueError(f"Claim {claim.get('id')}: a ratio needs positive values.")
    return _superiority(claim, _sign(claim) * np.log(ours / baseline), 0.0, math.log1p(claim["delta"]), math.exp)


def _trend(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    return _superiority(claim, _sign(claim) * slopes(values["x"], ours - baseline))


def _interaction(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    gap = ours - baseline
    return _superiority(claim, _sign(claim) * (gap[:, 1] - gap[:, 0]))


def _equivalence(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    delta = claim["delta"]
    mean, low, high, detectable = mean_interval(_sign(claim) * (ours - baseline), 0.90, values.get("item_se", 0.0))
    if low > -delta and high < delta:
        verdict = HOLDS
    else:
        verdict = FAILS if low > delta or high < -delta else UNRESOLVED
    return Outcome(verdict, mean, _finite(float, low), _finite(float, high), 0.90, _finite(float, detectable))


def _not_worse(claim, values) -> Outcome:
    ours, baseline = _pair(values)
    delta = claim["delta"]
    mean, low, high, detectable = mean_interval(_sign(claim) * (ours - baseline), 0.90, values.get("item_se", 0.0))
    verdict = HOLDS if low > -delta else FAILS if high < -delta else UNRESOLVED
    return Outcome(verdict, mean, _finite(float, low), _finite(float, high), 0.90, _finite(float, detectable))


def _proportion(claim, values) -> Outcome:
    rate, low, high = proportion_interval(values["successes"], values["trials"], 0.90)
    unit = 100.0 if claim.get("unit", "").startswith(("%", "point")) else 1.0
    bound, delta = claim["bound"], claim["delta"]
    if _sign(claim) < 0:  # at most the bound: the margin is what is left below it
        margin, low, high = bound - unit * rate, bound - unit * high, bound - unit * low
    else:
        margin, low, high = unit * rate - bound, unit * low - bound, unit * high - bound
    verdict = HOLDS if low > -delta else FAILS if high < 0 else UNRESOLVED
    return Outcome(verdict, margin, low, high, 0.90, note=f"rate {unit * rate:.4g}, bound {bound:g}")


def _exact(claim, values) -> Outcome:
    passed = [bool(p) for p in values["passed"]]
    return Outcome(HOLDS if all(passed) else FAILS, sum(passed) / len(passed))


_JUDGES = {
    "difference": _difference,
    "ratio": _ratio,
    "trend": _trend,
    "interaction": _interaction,
    "equivalence": _equivalence,
    "not_worse": _not_worse,
    "proportion": _proportion,
    "exact": _exact,
}


def in_deltas(claim: dict, value: float | None) -> float | None:
    """Effect in units of the claim's delta, the one scale on which all claims can be drawn side by side."""
    if value is None:
        return None
    if claim["kind"] == "ratio":
        return math.log(value) / math.log1p(claim["delta"])
    return value / claim["delta"]


def paper_effect(claim: dict) -> float | None:
    """Effect that the paper printed: ours against baseline of the first setting that has both, else None."""
    by_setting: dict[str, dict[str, float]] = {}
    for entry in claim.get("paper") or []:
        if entry.get("role") and entry.get("value") is not None:
            by_setting.setdefault(entry["setting"], {})[entry["role"]] = float(entry["value"])
    for pair in by_setting.values():
        if {"ours", "baseline"} <= set(pair):
            if claim["kind"] == "ratio":
                factor = pair["ours"] / pair["baseline"]
                return factor if _sign(claim) > 0 else 1 / factor
            return _sign(claim) * (pair["ours"] - pair["baseline"])
    return None
