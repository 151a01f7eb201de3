"""Statistics of claims against closed forms, naive versions, and simulations of what a verdict promises."""

import math

import numpy as np
import pytest
from scipy import stats

from shared import claims
from shared.claims import FAILS, HOLDS, NOT_TESTABLE, SMALLER, UNRESOLVED, judge


def claim(kind="difference", **extra):
    return {"id": "c", "kind": kind, "direction": "higher", "delta": 1.0, "unit": "points", **extra}


def test_difference_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    ours, baseline = rng.normal(3, 1, 7), rng.normal(1, 1, 7)
    low, high = stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    outcome = judge(claim(), {"ours": list(ours), "baseline": list(baseline)})
    assert outcome.effect == pytest.approx(np.mean(ours - baseline))
    assert (outcome.low, outcome.high) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([5.0, 5.2, 4.9, 5.1, 5.0], HOLDS),
        ([0.5, 0.52, 0.49, 0.51, 0.5], SMALLER),
        ([0.1, -0.1, 0.05, -0.05, 0.0], FAILS),
        ([-5.0, -5.2, -4.9, -5.1, -5.0], FAILS),
        ([5.0, -4.0, 6.0, -3.0, 4.0], UNRESOLVED),
    ],
)
def test_the_five_cases_of_a_difference(ours, verdict):
    assert judge(claim(), {"ours": ours, "baseline": [0.0] * 5}).verdict == verdict
    # lower is better: the same numbers with their sign turned
    turned = judge(claim(direction="lower"), {"ours": [-v for v in ours], "baseline": [0.0] * 5})
    assert turned.verdict == verdict


def test_unresolved_says_what_could_have_been_detected():
    values = np.array([5.0, -4.0, 6.0, -3.0, 4.0])
    outcome = judge(claim(), {"ours": list(values), "baseline": [0.0] * 5})
    se = values.std(ddof=1) / math.sqrt(5)
    assert outcome.detectable == pytest.approx((stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)) * se)


def test_one_seed_has_no_interval():
    outcome = judge(claim(), {"ours": [9.0], "baseline": [1.0]})
    assert (outcome.verdict, outcome.low, outcome.high) == (UNRESOLVED, None, None)


def test_ratio_is_a_difference_of_logarithms():
    ours, baseline = [2.2, 2.0, 2.1, 1.9], [1.0, 1.0, 1.0, 1.0]
    outcome = judge(claim("ratio", delta=0.5), {"ours": ours, "baseline": baseline})
    assert outcome.effect == pytest.approx(stats.gmean(ours))
    assert outcome.verdict == HOLDS
    lower = judge(claim("ratio", delta=0.5, direction="lower"), {"ours": baseline, "baseline": ours})
    assert lower.effect == pytest.approx(outcome.effect)
    with pytest.raises(ValueError, match="positive"):
        judge(claim("ratio"), {"ours": [0.0, 1.0], "baseline": [1.0, 1.0]})


def test_equivalence_is_two_one_sided_tests():
    rng = np.random.default_rng(1)
    for scale in (0.2, 0.8, 1.5, 3.0):
        values = rng.normal(0.3, scale, 6)
        p_low = stats.ttest_1samp(values, -1.0, alternative="greater").pvalue
        p_high = stats.ttest_1samp(values, 1.0, alternative="less").pvalue
        outcome = judge(claim("equivalence"), {"ours": list(values), "baseline": [0.0] * 6})
        assert (outcome.verdict == HOLDS) == (max(p_low, p_high) < 0.05)
    far = judge(claim("equivalence"), {"ours": [5.0, 5.1, 4.9], "baseline": [0.0] * 3})
    assert far.verdict == FAILS


def test_not_worse_than():
    near = {"ours": [-0.1, 0.0, -0.2, -0.1], "baseline": [0.0] * 4}
    assert judge(claim("not_worse"), near).verdict == HOLDS
    assert judge(claim("not_worse", delta=0.05), near).verdict != HOLDS
    assert judge(claim("not_worse"), {"ours": [-5.0, -5.1, -4.9], "baseline": [0.0] * 3}).verdict == FAILS


def test_trend_is_the_least_squares_slope():
    rng = np.random.default_rng(2)
    x = [0.0, 20.0, 40.0, 60.0]
    y = rng.normal(0, 1, (5, 4)) + 0.3 * np.array(x)
    assert claims.slopes(x, y) == pytest.approx([np.polyfit(x, row, 1)[0] for row in y])
    outcome = judge(claim("trend", delta=0.1), {"x": x, "ours": y.tolist(), "baseline": np.zeros((5, 4)).tolist()})
    assert outcome.verdict == HOLDS


def test_interaction_is_a_difference_of_differences():
    ours, baseline = [[1.0, 5.0], [2.0, 6.5]], [[1.0, 2.0], [1.0, 2.0]]
    outcome = judge(claim("interaction"), {"ours": ours, "baseline": baseline})
    assert outcome.effect == pytest.approx(((5 - 2) - (1 - 1) + (6.5 - 2) - (2 - 1)) / 2)


def test_proportion_without_clusters_is_clopper_and_pearson():
    rate, low, high = claims.proportion_interval([7], [50], 0.9)
    exact = stats.binomtest(7, 50).proportion_ci(0.9, method="exact")
    assert (rate, low, high) == pytest.approx((0.14, exact.low, exact.high))
    even = claims.proportion_interval([10, 10, 10], [100, 100, 100], 0.9)
    exact = stats.binomtest(30, 300).proportion_ci(0.9, method="exact")
    assert even[1:] == pytest.approx((exact.low, exact.high))
    assert claims.proportion_interval([0], [20])[1] == 0.0
    assert claims.proportion_interval([20], [20])[2] == 1.0


def test_proportion_verdicts():
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%")
    assert judge(at_most, {"successes": [1, 3], "trials": [20, 20]}).verdict == UNRESOLVED
    assert judge(at_most, {"successes": [80] * 5, "trials": [1000] * 5}).verdict == HOLDS
    assert judge(at_most, {"successes": [200] * 5, "trials": [1000] * 5}).verdict == FAILS
    at_least = claim("proportion", direction="higher", bound=90.0, unit="%")
    assert judge(at_least, {"successes": [920] * 5, "trials": [1000] * 5}).verdict == HOLDS
    assert judge(at_least, {"successes": [700] * 5, "trials": [1000] * 5}).verdict == FAILS


def test_exact_fails_with_one_failure():
    assert judge(claim("exact"), {"passed": [True, True, True]}).verdict == HOLDS
    outcome = judge(claim("exact"), {"passed": [True, False, True]})
    assert (outcome.verdict, outcome.effect) == (FAILS, pytest.approx(2 / 3))


def test_for_every_arm_is_the_worst_arm():
    good, bad = [5.0, 5.1, 4.9], [-5.0, -5.1, -4.9]
    values = {"arms": {a: {"ours": v, "baseline": [0.0] * 3} for a, v in {"a": good, "b": bad, "c": good}.items()}}
    outcome = judge(claim(), values)
    assert (outcome.verdict, outcome.arm) == (FAILS, "b")
    # a refuted arm is worse than an unclear one, however wide the interval of the latter
    values["arms"]["wide"] = {"ours": [-90.0, 80.0, 30.0], "baseline": [0.0] * 3}
    assert judge(claim(), values).arm == "b"


def test_not_testable_at_a_scale():
    outcome = judge(claim(untestable={"small": "needs photographs"}), {}, "small")
    assert (outcome.verdict, outcome.note) == (NOT_TESTABLE, "needs photographs")


def test_paper_effect_needs_both_numbers_of_one_setting():
    entry = {"arm": "a", "unit": "%", "source": "Table 1"}
    ours = {**entry, "setting": "40 %", "role": "ours", "value": 89.0}
    baseline = {**entry, "setting": "40 %", "role": "baseline", "value": 81.0}
    assert claims.paper_effect(claim(paper=[ours, baseline])) == pytest.approx(8.0)
    assert claims.paper_effect(claim(direction="lower", paper=[ours, baseline])) == pytest.approx(-8.0)
    assert claims.paper_effect(claim(paper=[ours, {**baseline, "setting": "80 %"}])) is None
    assert claims.paper_effect(claim("ratio", paper=[ours, baseline])) == pytest.approx(89 / 81)


def test_item_standard_error_is_what_a_bootstrap_over_items_gives():
    rng = np.random.default_rng(3)
    ours, baseline = rng.random((3, 400)) < 0.8, rng.random((3, 400)) < 0.7
    picks = rng.integers(400, size=(4000, 400))
    means = (ours.astype(float) - baseline).mean(0)[picks].mean(1)
    assert claims.item_standard_error(ours, baseline) == pytest.approx(means.std(), rel=0.06)


# -- what verdicts promise, by simulation ----------------------------------------------------------------------

REPEATS = 2000


def holds(outcome):
    return outcome.verdict in (HOLDS, SMALLER)


def rate_limit(nominal):
    """Largest share that REPEATS trials of a true rate `nominal` show, but for one in 10,000."""
    return stats.binom.ppf(0.9999, REPEATS, nominal) / REPEATS


def test_no_effect_with_independent_seeds_holds_at_the_nominal_rate():
    rng = np.random.default_rng(4)
    wrong = sum(
        holds(judge(claim(delta=0.01), {"ours": list(rng.normal(0, 1, 5)), "baseline": list(rng.normal(0, 1, 5))}))
        for _ in range(REPEATS)
    )
    assert wrong / REPEATS <= rate_limit(0.025)
    assert wrong / REPEATS >= 0.01  # and the rule is not empty


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_no_effect_with_a_shared_test_split_holds_in_at_most_five_percent(seeds):
    """Two models equally good on the population, judged by every seed on the same 300 test items."""
    rng = np.random.default_rng(5)
    wrong = without = 0
    for _ in range(REPEATS // 2):
        tendency = rng.normal(0, 0.5, 300)  # how much an item favours one model: drawn with the split, for all seeds
        noise = rng.normal(0, 0.3, (seeds, 300))
        items = tendency + noise
        values = {"ours": list(items.mean(1)), "baseline": [0.0] * seeds}
        without += holds(judge(claim(delta=1e-6), values))
        values["item_se"] = claims.item_standard_error(items)
        wrong += holds(judge(claim(delta=1e-6), values))
    assert wrong / (REPEATS // 2) <= 0.05
    assert without / (REPEATS // 2) > 0.1  # without the shared part the same seeds do call noise an effect


def test_an_effect_of_two_seed_sd_is_found_in_most_runs():
    rng = np.random.default_rng(6)
    found = sum(
        judge(claim(delta=1.0), {"ours": list(rng.normal(2, 1, 5)), "baseline": [0.0] * 5}).verdict == HOLDS
        for _ in range(REPEATS)
    )
    assert found / REPEATS > 0.8


def test_a_reversed_effect_does_not_hold():
    rng = np.random.default_rng(7)
    failed = sum(
        judge(claim(delta=1.0), {"ours": list(rng.normal(-2, 1, 5)), "baseline": [0.0] * 5}).verdict == FAILS
        for _ in range(REPEATS)
    )
    assert failed / REPEATS > 0.99


def test_a_broken_bound_is_rarely_called_holding_even_with_clustered_trials():
    """Error rates that vary between seeds as a conformal predictor's do, and lie delta above the bound."""
    rng = np.random.default_rng(8)
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%", delta=1.0)
    wrong = naive = 0
    for _ in range(REPEATS // 2):
        rates = rng.beta(0.11 * 300, 0.89 * 300, 8)
        errors = rng.binomial(1000, rates)
        wrong += judge(at_most, {"successes": errors.tolist(), "trials": [1000] * 8}).verdict == HOLDS
        naive += stats.binomtest(int(errors.sum()), 8000).proportion_ci(0.9).high < 0.11
    assert wrong / (REPEATS // 2) <= 0.07
    assert naive / (REPEATS // 2) > 0.12  # treating the trials as independent would be wrong this often
