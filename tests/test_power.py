"""Power, robustness and prediction against closed forms, peers, and simulations of what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from shared import claims, power
from shared.claims import HOLDS, REFUTED, UNDECIDED, judge


def claim(kind="difference", **extra):
    return {"id": "c", "kind": kind, "direction": "higher", "delta": 1.0, "unit": "points", **extra}


def against_zero(effects, **extra):
    effects = [float(e) for e in effects]
    return {"ours": effects, "baseline": [0.0] * len(effects), **extra}


AT_MOST = claim("proportion", direction="lower", bound=10.0, unit="%")

# -- before the run --------------------------------------------------------------------------------------------


def test_pilot_factor():
    assert [round(power.pilot_factor(n), 2) for n in (3, 5, 10)] == [2.12, 1.56, 1.29]
    assert power.pilot_factor(7) == pytest.approx(math.sqrt(6 / stats.chi2.ppf(0.2, 6)))
    assert power.pilot_factor(1) == math.inf


@pytest.mark.parametrize("kind", ["difference", "ratio", "trend", "interaction", "not_worse", "equivalence"])
def test_detectable_effect_is_that_of_the_outcome(kind):
    values = np.array([0.3, 0.5, 0.1, 0.9, 0.4])
    ours = {
        "ratio": np.exp(values),
        "trend": values[:, None] * [0.0, 1.0, 2.0],
        "interaction": values[:, None] * [0.0, 1.0],
    }.get(kind, values)
    recorded = {"ours": ours, "x": [0.0, 1.0, 2.0], "item_se": 0.2, "baseline": np.zeros_like(ours)}
    if kind == "ratio":
        recorded["baseline"] = np.ones(5)
    found = power.detectable_effect(kind, values.std(ddof=1), 5, 0.2)
    assert judge(claim(kind), recorded).detectable == pytest.approx(math.exp(found) if kind == "ratio" else found)
    assert power.detectable_effect(kind, 1.0, 1) == math.inf


def test_detectable_effect_in_closed_form():
    t = stats.t(4).ppf
    assert power.detectable_effect("difference", 2.0, 5) == pytest.approx((t(0.975) + t(0.8)) * 2 / math.sqrt(5))
    assert power.detectable_effect("equivalence", 0.0, 5, 0.5) == pytest.approx((1.6449 + 1.2816) * 0.5, rel=1e-3)
    assert power.detectable_effect("not_worse", 0.0, 5, 0.5) == pytest.approx((1.6449 + 0.8416) * 0.5, rel=1e-3)
    with pytest.raises(ValueError, match="no effect per seed"):
        power.detectable_effect("exact", 1.0, 5)


@pytest.mark.parametrize(("kind", "truth"), [("difference", "detectable"), ("not_worse", 0.0), ("equivalence", 0.0)])
def test_the_detectable_effect_is_found_in_four_runs_of_five(kind, truth):
    rng, delta = np.random.default_rng(0), power.detectable_effect(kind, 1.0, 8)
    mean = delta if truth == "detectable" else truth
    there = [
        judge(claim(kind, delta=delta), against_zero(rng.normal(mean, 1, 8))).verdict in (HOLDS, claims.TRIVIAL)
        for _ in range(2000)
    ]
    assert np.mean(there) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_eighty_percent_power_is_true_for_four_pilots_of_five(seeds):
    """Of pilots that are run, those whose detectable effect is not below the true one; without the factor, 4 of 10."""
    rng, true = np.random.default_rng(seeds), power.detectable_effect("difference", 1.0, 10)
    pilots = [power.pilot_power(claim(), against_zero(rng.normal(0.7, 1, seeds)), 10) for _ in range(2000)]
    honest = np.mean([p["detectable"] >= true for p in pilots])
    assert honest == pytest.approx(0.8, abs=0.035)
    plain = [power.detectable_effect("difference", p["sd"], 10) >= true for p in pilots]
    assert np.mean(plain) < 0.5


def test_a_pilot_says_what_the_planned_seeds_find():
    values = np.array([2.0, 2.6, 1.7])
    pilot = power.pilot_power(claim(direction="lower"), against_zero(-values, item_se=0.1), 10)
    assert list(pilot) == ["mean", "sd", "factor", "detectable", "limit", "powered"]
    assert (pilot["mean"], pilot["sd"]) == pytest.approx((values.mean(), values.std(ddof=1)))
    wide = values.std(ddof=1) * power.pilot_factor(3)
    assert pilot["detectable"] == power.detectable_effect("difference", wide, 10, 0.1)
    assert (pilot["limit"], pilot["powered"]) == (0.75, False)
    assert power.pilot_power(claim(), against_zero([2.0, 2.06, 1.97]), 10)["powered"]
    edge = pilot["detectable"] / 0.75
    for delta, powered in ((edge * 1.001, True), (edge * 0.999, False)):
        assert power.pilot_power(claim(delta=delta), against_zero(values, item_se=0.1), 10)["powered"] == powered


@pytest.mark.parametrize(("arms", "share"), [(1, 0.75), (2, 0.75), (3, 0.8), (4, 0.8), (5, 0.7), (14, 0.7), (15, 0.65)])
def test_every_arm_needs_its_power(arms, share):
    values = {str(a): against_zero([1.0, 1.1, 0.9]) for a in range(arms)}
    values["0"] = against_zero([1.0, 3.0, -1.0])
    pilot = power.pilot_power(claim(delta=2.0), {"arms": values}, 10)
    assert (pilot["sd"], pilot["limit"]) == pytest.approx((2.0, 2 * share))


def test_a_ratio_is_planned_on_logarithms():
    ours = np.exp([0.5, 0.6, 0.7])
    pilot = power.pilot_power(claim("ratio"), {"ours": ours, "baseline": [1.0] * 3}, 10)
    assert (pilot["mean"], pilot["sd"]) == pytest.approx((math.exp(0.6), 0.1))
    wide = 0.1 * power.pilot_factor(3)
    assert pilot["detectable"] == pytest.approx(math.exp(power.detectable_effect("ratio", wide, 10)))
    assert pilot["limit"] == pytest.approx(2**0.75) and pilot["powered"]


def test_pilots_that_say_nothing():
    empty = dict.fromkeys(("mean", "sd", "factor", "detectable", "limit"))
    assert power.pilot_power(claim("exact"), {"passed": [True]}, 5) == {**empty, "powered": True}
    for question, values in ((claim(), against_zero([3.0])), (AT_MOST, {"successes": [5], "trials": [100]})):
        pilot = power.pilot_power(question, values, 5)
        assert (pilot["sd"], pilot["factor"], pilot["detectable"], pilot["powered"]) == (None, None, None, False)
        assert pilot["mean"] is not None
    assert not power.pilot_power(claim(), against_zero([3.0, 3.1]), 1)["powered"]
    assert power.pilot_power(claim(), against_zero([3.0, 3.0]), 5)["detectable"] == 0


def test_a_proportion_is_planned_from_rate_and_design_effect():
    even = power.pilot_power(AT_MOST, {"successes": [900] * 3, "trials": [10000] * 3}, 5)
    se = math.sqrt(0.09 * 0.91 / 50000)
    assert even["detectable"] == pytest.approx(100 * (1.6449 + 0.8416) * se, rel=1e-3)
    assert even["mean"] == pytest.approx(1.0) and even["powered"]
    few = power.pilot_power(AT_MOST, {"successes": [9] * 3, "trials": [100] * 3}, 5)
    assert few["detectable"] == pytest.approx(10 * even["detectable"], rel=0.02) and not few["powered"]
    uneven = power.pilot_power(AT_MOST, {"successes": [600, 900, 1200], "trials": [10000] * 3}, 5)
    wide = 3.0 * power.pilot_factor(3) / math.sqrt(5)
    t = stats.t(4).ppf
    assert uneven["detectable"] == pytest.approx((t(0.95) + t(0.8)) * wide, rel=1e-3)
    assert uneven["sd"] == pytest.approx(3.0)
    assert power.pilot_power(AT_MOST, {"successes": [0] * 3, "trials": [1000] * 3}, 5)["detectable"] > 0


@pytest.mark.parametrize("per_seed_sd", [0.0, 0.02])
def test_a_proportion_at_its_detectable_violation_is_refuted_in_four_runs_of_five(per_seed_sd):
    rng = np.random.default_rng(1)

    def counts(rate, seeds):
        return rng.binomial(1000, np.clip(rng.normal(rate, per_seed_sd, seeds), 0, 1))

    # a pilot so large that its factor is near 1
    pilot = power.pilot_power(AT_MOST, {"successes": counts(0.11, 2000), "trials": [1000] * 2000}, 10)
    broken, at_bound = 0.10 + pilot["detectable"] / 100, {**AT_MOST, "delta": pilot["detectable"]}
    trials = [1000] * 10
    refuted = [judge(AT_MOST, {"successes": counts(broken, 10), "trials": trials}).verdict for _ in range(600)]
    held = [judge(at_bound, {"successes": counts(0.10, 10), "trials": trials}).verdict for _ in range(600)]
    assert refuted.count(REFUTED) / 600 == pytest.approx(0.8, abs=0.08)
    assert held.count(HOLDS) / 600 == pytest.approx(0.8, abs=0.12)


# -- robustness ------------------------------------------------------------------------------------------------


def test_a_large_and_certain_effect_is_robust():
    assert power.robustness(claim(), against_zero([5.0, 5.1, 4.9, 5.0])) == {
        "stands": True,
        "deltas": (0.5, 2.0),
        "levels": (0.90, 0.99),
    }
    assert power.robustness(claim("exact"), {"passed": [True]}) is None


def test_between_which_deltas_and_levels_a_verdict_stands():
    # [0.59, 0.81] at 95 %: trivial at delta 1, holds from 0.71 down
    values = against_zero([0.6, 0.8, 0.7, 0.65, 0.75])
    found = power.robustness(claim(), values)
    assert judge(claim(), values).verdict == claims.TRIVIAL
    assert (found["stands"], found["deltas"], found["levels"]) == (False, (1.0, 2.0), (0.90, 0.99))
    # t = 3.1 with 4 degrees of freedom: holds at 95 %, not at 99 %
    values = against_zero([2.0, 0.2, 1.0, 0.5, 1.3])
    assert 0.01 < stats.ttest_1samp(values["ours"], 0).pvalue < 0.05
    found = power.robustness(claim(), values)
    assert (found["stands"], found["deltas"], found["levels"]) == (False, (0.5, 1.41), (0.90, 0.95))
    # holds only at 90 %
    values = against_zero([2.0, -0.2, 1.0, 0.2, 1.3])
    assert 0.05 < stats.ttest_1samp(values["ours"], 0).pvalue < 0.1
    assert power.robustness(claim(), values)["levels"] == (0.95, 0.99)


def test_robustness_of_other_kinds():
    equal = power.robustness(claim("equivalence"), against_zero([0.6, 0.65, 0.62]))
    assert (equal["stands"], equal["deltas"]) == (False, (0.71, 2.0))
    ratio = {"ours": np.exp([0.6, 0.61, 0.59, 0.6]), "baseline": [1.0] * 4}  # log 2 is 0.69, 0.71 of it 0.49
    assert judge(claim("ratio"), ratio).verdict == claims.TRIVIAL
    assert power.robustness(claim("ratio"), ratio)["deltas"] == (1.0, 2.0)
    rates = {k: {"successes": [k] * 4, "trials": [10000] * 4} for k in (1020, 1040)}
    assert power.robustness(AT_MOST, rates[1040]) == {"stands": True, "deltas": (0.5, 2.0), "levels": (0.90, 0.99)}
    near = power.robustness(AT_MOST, rates[1020])  # within delta of the bound; at 90 % the bound is violated
    assert near == {"stands": False, "deltas": (0.5, 2.0), "levels": (0.95, 0.99)}
    arms = {"a": against_zero([5.0, 5.1, 4.9]), "b": against_zero([0.8, 0.81, 0.79])}
    assert power.robustness(claim(), {"arms": arms})["deltas"] == (1.0, 2.0)


# -- p values --------------------------------------------------------------------------------------------------


def test_p_values_are_those_of_t_tests():
    rng = np.random.default_rng(2)
    for mean in (0.2, 1.0, 3.0):
        x = np.abs(rng.normal(mean, 1, 6)) + rng.normal(0, 0.2, 6)
        x += max(0.0, 0.05 - x.mean())
        assert power.p_value(claim(), against_zero(x)) == pytest.approx(stats.ttest_1samp(x, 0).pvalue)
        assert power.p_value(claim(direction="lower"), against_zero(x)) == 1.0
        below = stats.ttest_1samp(x, -1, alternative="greater").pvalue
        assert power.p_value(claim("not_worse"), against_zero(x)) == pytest.approx(below)
        above = stats.ttest_1samp(x, 1, alternative="less").pvalue
        assert power.p_value(claim("equivalence"), against_zero(x)) == pytest.approx(max(below, above))
        ratio = {"ours": np.exp(x), "baseline": np.ones(6)}
        assert power.p_value(claim("ratio"), ratio) == pytest.approx(stats.ttest_1samp(x, 0).pvalue)
        slope = {"ours": x[:, None] * [0.0, 1.0, 2.0], "x": [0.0, 1.0, 2.0]}
        assert power.p_value(claim("trend"), slope) == pytest.approx(stats.ttest_1samp(x, 0).pvalue)


def test_p_is_the_level_at_which_a_claim_stops_to_hold():
    rates = {"successes": [90, 95, 88, 101], "trials": [1000] * 4}
    uneven = {"successes": [50, 130, 70, 99], "trials": [1000] * 4}
    shared = against_zero([1.0, 1.2, 0.7, 1.1], item_se=0.3)
    cases = [
        (claim(), shared),
        (claim("not_worse"), against_zero([0.2, -0.9, 0.1])),
        (AT_MOST, rates),
        (AT_MOST, uneven),
    ]
    cases.append((claim("equivalence"), against_zero([0.2, -0.3, 0.1, 0.5])))
    cases.append((claim("proportion", bound=90.0, unit="%"), {"successes": [92, 97, 89], "trials": [100] * 3}))
    for question, values in cases:
        p = power.p_value(question, values)
        assert 1e-6 < p < 0.5
        for shift, there in ((0.999, False), (1.001, True)):
            verdict = judge(question, values, level=1 - p * shift).verdict
            assert (verdict in (HOLDS, claims.TRIVIAL)) == there, (question["kind"], p)


def test_p_of_a_proportion_without_clusters_is_the_binomial_test():
    p = power.p_value(AT_MOST, {"successes": [90], "trials": [1000]})
    assert p == pytest.approx(stats.binomtest(90, 1000, 0.11, alternative="less").pvalue, rel=1e-6)
    assert power.p_value(AT_MOST, {"successes": [900], "trials": [1000]}) == 1.0
    assert power.p_value(AT_MOST, {"successes": [0], "trials": [100000]}) == 0.0


def test_p_at_the_edges():
    assert power.p_value(claim("exact"), {"passed": [True]}) is None
    assert power.p_value(claim(), against_zero([3.0])) == 1.0
    assert power.p_value(claim(), against_zero([2.0, 2.0])) == 0.0
    assert power.p_value(claim(), against_zero([0.0, 0.0])) == 1.0
    arms = {"a": against_zero([5.0, 5.1, 4.9]), "b": against_zero([1.0, 2.0, 0.3])}
    assert power.p_value(claim(), {"arms": arms}) == power.p_value(claim(), arms["b"])
    arms["against"] = against_zero([-5.0, -5.1, -4.9])  # significant, but not for the claim
    assert power.p_value(claim(), {"arms": arms}) == 1.0


def test_holm_is_that_of_statsmodels():
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    rng = np.random.default_rng(3)
    for size in (1, 2, 5, 12):
        for _ in range(20):
            p = dict(enumerate(rng.random(size) ** 4))
            reject = multipletests(list(p.values()), alpha=0.05, method="holm")[0]
            assert power.holm(p) == {i for i, r in enumerate(reject) if r}
    assert power.holm({"a": 0.03, "b": None}) == {"a"} and power.holm({}) == set()
    assert power.holm({"a": 0.03, "b": 0.04}) == set() and power.holm({"a": 0.025, "b": 0.05}) == {"a", "b"}


# -- prediction ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "again"), [(3, None), (5, None), (5, 20), (10, 3)])
def test_a_second_run_lies_in_the_prediction_interval(seeds, again):
    rng, inside = np.random.default_rng(4), 0
    for _ in range(2000):
        low, high = power.prediction_interval(rng.normal(1, 2, seeds), seeds_b=again)
        inside += low <= rng.normal(1, 2, again or seeds).mean() <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_prediction_interval_in_closed_form():
    values = np.array([1.0, 2.5, 1.7, 3.0])
    half = stats.t.ppf(0.95, 3) * values.std(ddof=1) * math.sqrt(1 / 4 + 1 / 9)
    assert power.prediction_interval(values, 0.9, 9) == pytest.approx((values.mean() - half, values.mean() + half))
    assert power.prediction_interval([1.0]) == (-math.inf, math.inf)
    wide, narrow = power.prediction_interval(values, item_se=2.0), power.prediction_interval(values)
    assert wide[0] < narrow[0] and wide[1] > narrow[1]
    assert power.prediction_interval([2.0, 2.0]) == (2.0, 2.0)
    with pytest.raises(ValueError, match="at least one seed"):
        power.prediction_interval([])
    with pytest.raises(ValueError, match="not a finite number"):
        power.prediction_interval([1.0, math.nan])


def test_predictions_are_shown_in_the_claims_scale():
    x = np.array([0.5, 0.7, 0.4])
    low, high = power.prediction_interval(x)
    assert power.prediction(claim(direction="lower"), against_zero(-x)) == pytest.approx((low, high))
    ratio = power.prediction(claim("ratio"), {"ours": np.exp(x), "baseline": np.ones(3)})
    assert ratio == pytest.approx((math.exp(low), math.exp(high)))
    assert power.prediction(claim("ratio"), {"ours": [2.0], "baseline": [1.0]}) == (0.0, math.inf)
    arms = {"a": against_zero(x), "b": against_zero(x + 1)}
    assert power.prediction(claim(), {"arms": arms})["b"] == pytest.approx((low + 1, high + 1))
    assert power.prediction(claim("exact"), {"passed": [True]}) is None


def test_prediction_of_a_proportion():
    low, high = power.prediction(AT_MOST, {"successes": [80] * 5, "trials": [1000] * 5})
    exact = stats.binomtest(400, 5000).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx(
        (2 - math.sqrt(2) * (100 * exact.high - 8), 2 + math.sqrt(2) * (8 - 100 * exact.low))
    )
    rng, inside = np.random.default_rng(5), 0
    for _ in range(500):
        first, second = rng.binomial(500, 0.08, (2, 5))
        low, high = power.prediction(AT_MOST, {"successes": first, "trials": [500] * 5})
        inside += low <= 10 - 100 * second.mean() / 500 <= high
    assert inside / 500 >= 0.93


def test_an_undecided_claim_stays_so_with_one_seed():
    values = against_zero([3.0])
    assert judge(claim(), values).verdict == UNDECIDED and power.robustness(claim(), values)["stands"]
