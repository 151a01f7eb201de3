"""How firm a verdict is, and what a run could find: power from pilot seeds, p values, prediction.

Pure functions beside `shared.claims`, and of its words: effects count in the claim's direction, ratios are computed
on logarithms (the working scale) and shown as factors.
"""

from __future__ import annotations

import math

import numpy as np

from shared.claims import (
    HOLDS,
    POWER,
    POWER_OF_TWO_SIDED,
    SUPERIORITY,
    design_effect,
    effects,
    judge,
    mean_and_error,
    rate_unit,
    sign,
    t_quantile,
    to_shown,
    working_delta,
)

DELTA_FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
LEVELS = (0.90, 0.95, 0.99)


# -- before the run --------------------------------------------------------------------------------------------


def pilot_factor(n: int) -> float:
    """What the sd of `n` pilot seeds is multiplied by, so that the true sd is below it in 80 % of pilots.

    2.12, 1.56, 1.29 for 3, 5, 10 seeds: the root of (n - 1) over the 20 % quantile of chi squared. Infinite for one.
    """
    from scipy import special

    return math.sqrt((n - 1) / float(special.chdtri(n - 1, 0.8))) if n > 1 else math.inf


def detectable_effect(kind: str, sd: float, seeds: int, item_se: float = 0.0) -> float:
    """Effect that `seeds` seeds find with 80 % power.

    Args:
        kind: kind of the claim; for equivalence the answer is the smallest delta inside which two equal arms are
            found, for not_worse the smallest delta for which an equal arm is found.
        sd: standard deviation of the effect of one seed, on the working scale.
        seeds: planned number.
        item_se: standard error from a test set that the seeds share.

    Returns:
        On the working scale; infinite for fewer than two seeds.

    Raises:
        ValueError: a kind without an effect per seed.
    """
    if kind not in SUPERIORITY and kind not in POWER:
        raise ValueError(f"Kind {kind!r} has no effect per seed to detect.")
    if seeds < 2 or not math.isfinite(sd):
        return math.inf
    seed_var = sd**2 / seeds
    variance = seed_var + item_se**2
    df = (seeds - 1) * (variance / seed_var) ** 2 if seed_var > 0 else math.inf
    return sum(t_quantile(p, df) for p in POWER.get(kind, POWER_OF_TWO_SIDED)) * math.sqrt(variance)


def pilot_power(claim: dict, values: dict, seeds: int) -> dict:
    """Whether the planned seeds can decide a claim, from pilot seeds.

    Args:
        claim: entry of the yml.
        values: what the pilot recorded for it, as of `shared.claims.judge`.
        seeds: planned number of seeds.

    Returns:
        mean (as shown), sd (of the effect of one seed, on the working scale), factor (`pilot_factor`), detectable
        (effect found with 80 % power at sd times factor, as shown), limit (the largest that is admitted, as shown),
        powered. For a claim about every arm: of the arm with the largest detectable effect. For a proportion mean
        is the margin and detectable the violation of the bound that would be refuted, or excluded, with 80 %
        power, by the normal approximation. Numbers that cannot be told (exact claims, one pilot seed) are None.
    """
    if claim["kind"] == "exact":
        return {**dict.fromkeys(("mean", "sd", "factor", "detectable", "limit")), "powered": True}
    arms = list(values["arms"].values()) if "arms" in values else [values]
    find = _pilot_proportion if claim["kind"] == "proportion" else _pilot_mean
    mean, sd, factor, detectable = max((find(claim, arm, seeds) for arm in arms), key=lambda found: found[3])
    limit = _share_of_delta(len(arms)) * working_delta(claim)
    shown = {
        "mean": to_shown(claim, mean),
        "sd": sd,
        "factor": factor,
        "detectable": to_shown(claim, detectable) if math.isfinite(detectable) else None,
        "limit": to_shown(claim, limit),
    }
    return {k: v if v is not None and math.isfinite(v) else None for k, v in shown.items()} | {
        "powered": detectable <= limit
    }


def _share_of_delta(arms: int) -> float:
    """A claim needs a detectable effect of at most this share of delta; for every arm, per arm."""
    return 0.65 if arms >= 15 else 0.7 if arms >= 5 else 0.8 if arms >= 3 else 0.75


def _pilot_mean(claim, values, seeds):
    per_seed = effects(claim, values)
    factor = pilot_factor(len(per_seed))
    sd = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else math.inf
    detectable = detectable_effect(claim["kind"], sd * factor, seeds, values.get("item_se", 0.0))
    return float(per_seed.mean()), sd, factor, detectable


def _pilot_proportion(claim, values, seeds):
    """Normal approximation; the sd between seeds is multiplied by the pilot's factor, as that of a mean is."""
    k, n = np.asarray(values["successes"], float), np.asarray(values["trials"], float)
    factor, unit = pilot_factor(len(k)), rate_unit(claim)
    rate, total, design = design_effect(k, n, factor if len(k) > 1 else 1.0)
    margin = sign(claim) * (unit * rate - claim["bound"])
    if len(k) < 2 or seeds < 2:  # how much trials are clustered cannot be told
        return margin, math.inf, factor, math.inf
    near = (float(k.sum()) + 0.5) / (total + 1)  # a rate of 0 or 1 in the pilot does not mean that nothing varies
    se = math.sqrt(near * (1 - near) * design / (float(n.mean()) * seeds))
    df = seeds - 1 if design > 1 else math.inf  # as in `proportion_interval`
    detectable = sum(t_quantile(p, df) for p in (0.95, 0.8)) * se
    return margin, unit * float((k / n).std(ddof=1)), factor, unit * detectable


# -- after the run ---------------------------------------------------------------------------------------------


def robustness(claim: dict, values: dict) -> dict | None:
    """Between which deltas and levels a verdict stands.

    Args:
        claim, values: as of `shared.claims.judge`.

    Returns:
        stands (the same verdict at every delta of `DELTA_FACTORS` and every level of `LEVELS`), deltas (lowest and
        highest factor around 1 with the same verdict at level 0.95, on logarithms for a ratio), levels (lowest and
        highest level around 0.95 with the same verdict at the claim's delta). None for exact.
    """
    if claim["kind"] == "exact":
        return None
    deltas = {f: _times(claim, f) for f in DELTA_FACTORS}
    verdicts = {
        (f, lv): judge(claim, values, level=lv, delta=deltas[f]).verdict for f in DELTA_FACTORS for lv in LEVELS
    }
    same = {cell: verdict == verdicts[1.0, 0.95] for cell, verdict in verdicts.items()}
    return {
        "stands": all(same.values()),
        "deltas": _around(1.0, DELTA_FACTORS, [same[f, 0.95] for f in DELTA_FACTORS]),
        "levels": _around(0.95, LEVELS, [same[1.0, level] for level in LEVELS]),
    }


def _times(claim, factor):
    delta = factor * working_delta(claim)
    return math.expm1(delta) if claim["kind"] == "ratio" else delta


def _around(centre, grid, same):
    """(lowest, highest) of the run of equal verdicts that contains the centre."""
    low = high = grid.index(centre)
    while low > 0 and same[low - 1]:
        low -= 1
    while high < len(grid) - 1 and same[high + 1]:
        high += 1
    return grid[low], grid[high]


def p_value(claim: dict, values: dict) -> float | None:
    """Significance at which the claim's lower limit would just stop to hold, whatever its size.

    Args:
        claim, values: as of `shared.claims.judge`.

    Returns:
        Two-sided p of difference, ratio, trend and interaction, 1 where the effect is not in the claim's
        direction; one-sided p of equivalence (the larger of two tests), not worse than and proportion; for a claim
        about every arm the largest of its arms. 1 with one seed; None for exact.
    """
    kind = claim["kind"]
    if kind == "exact":
        return None
    if "arms" in values:
        return max(p_value(claim, arm) for arm in values["arms"].values())
    if kind == "proportion":
        return _proportion_p(claim, values)
    mean, se, df = mean_and_error(effects(claim, values), values.get("item_se", 0.0))
    delta = working_delta(claim)
    if kind in SUPERIORITY:
        return min(1.0, 2 * _tail(mean, se, df))
    above = _tail(mean + delta, se, df)
    return max(above, _tail(delta - mean, se, df)) if kind == "equivalence" else above


def _tail(distance, se, df):
    """One-sided p of a mean that lies `distance` above its null."""
    from scipy import special

    if math.isinf(se):
        return 1.0
    if se == 0:
        return 0.0 if distance > 0 else 1.0
    return float(special.stdtr(df, -distance / se) if math.isfinite(df) else special.ndtr(-distance / se))


def _proportion_p(claim, values):
    """By bisection over the level; 1 where not even the estimate excludes a violation of delta."""

    def holds(p):
        return judge(claim, values, level=1 - p).verdict == HOLDS

    low, high = 1e-12, 0.499999
    if not holds(high):
        return 1.0
    if holds(low):
        return 0.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def holm(p_values: dict) -> set:
    """Ids that survive Holm's correction at 5 %.

    Args:
        p_values: {id: p}; an entry of None (an exact claim) is left out of the family.
    """
    family = sorted((p, i) for i, p in p_values.items() if p is not None)
    survive = set()
    for rank, (p, claim_id) in enumerate(family):
        if p > 0.05 / (len(family) - rank):
            break
        survive.add(claim_id)
    return survive


def prediction_interval(values_a, level: float = 0.95, seeds_b: int | None = None, item_se: float = 0.0):
    """Interval in which the mean effect of a second, independent run lies.

    Args:
        values_a: (seeds,) effects of the first run.
        level: coverage.
        seeds_b: seeds of the second run, as many as the first where not given.
        item_se: standard error from a test set that the seeds share; each run counts as having drawn its own.

    Returns:
        low, high; infinite with one seed.
    """
    values = np.asarray(values_a, float)
    # Spread so that the error of their mean is that of the difference of the two runs: sd * sqrt(1 / n + 1 / m).
    spread = math.sqrt(1 + len(values) / (seeds_b or max(1, len(values))))
    centre = values.mean() if values.size else 0.0
    mean, se, df = mean_and_error(centre + spread * (values - centre), math.sqrt(2) * item_se)
    if math.isinf(se):
        return -math.inf, math.inf
    half = t_quantile(0.5 + level / 2, df) * se
    return mean - half, mean + half


def prediction(claim: dict, values: dict, level: float = 0.95):
    """`prediction_interval` of a claim's effect in a second run, as shown.

    Args:
        claim, values: as of `shared.claims.judge`.

    Returns:
        (low, high); {arm: (low, high)} for a claim about every arm; for a proportion its interval (of the
        margin) widened by the root of two; None for exact.
    """
    if claim["kind"] == "exact":
        return None
    if "arms" in values:
        return {arm: prediction(claim, arm_values, level) for arm, arm_values in values["arms"].items()}
    if claim["kind"] == "proportion":
        found = judge(claim, values, level=0.5 + level / 2)  # one-sided, so that the interval has this level
        return tuple(found.effect + math.sqrt(2) * (limit - found.effect) for limit in (found.low, found.high))
    low, high = prediction_interval(effects(claim, values), level, item_se=values.get("item_se", 0.0))
    return to_shown(claim, low), to_shown(claim, high)
