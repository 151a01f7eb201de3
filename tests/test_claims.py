"""Statistics of claims against closed forms, naive versions, and simulations of what a verdict promises."""

import math

import numpy as np
import pytest
from scipy import stats

from shared import claims
from shared.claims import (
    HOLDS,
    NOT_RUN,
    NOT_SEEN,
    NOT_TESTABLE,
    REFUTED,
    REVERSED,
    TRIVIAL,
    UNDECIDED,
    VERDICTS,
    Outcome,
    judge,
)
from shared.values import item_error, item_standard_error


def claim(kind="difference", **extra):
    return {"id": "c", "kind": kind, "direction": "higher", "delta": 1.0, "unit": "points", **extra}


def against_zero(effects, **extra):
    effects = [float(e) for e in effects]
    return {"ours": effects, "baseline": [0.0] * len(effects), **extra}


# -- one claim -------------------------------------------------------------------------------------------------


def test_difference_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    ours, baseline = rng.normal(3, 1, 7), rng.normal(1, 1, 7)
    low, high = stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    outcome = judge(claim(), {"ours": list(ours), "baseline": list(baseline)})
    assert outcome.effect == pytest.approx(np.mean(ours - baseline))
    assert (outcome.low, outcome.high, outcome.level) == pytest.approx((low, high, 0.95))
    low, high = stats.ttest_rel(ours, baseline).confidence_interval(0.99)
    assert judge(claim(), {"ours": ours, "baseline": baseline}, level=0.99).low == pytest.approx(low)


@pytest.mark.parametrize(
    ("ours", "verdict", "clearly"),
    [
        ([5.0, 5.2, 4.9, 5.1, 5.0], HOLDS, True),
        ([1.6, 0.5, 1.4, 0.6, 1.2], HOLDS, False),
        ([0.5, 0.52, 0.49, 0.51, 0.5], TRIVIAL, False),
        ([0.1, -0.1, 0.05, -0.05, 0.0], NOT_SEEN, False),
        ([-5.0, -5.2, -4.9, -5.1, -5.0], REVERSED, False),
        ([5.0, -4.0, 6.0, -3.0, 4.0], UNDECIDED, False),
    ],
)
def test_the_cases_of_a_difference(ours, verdict, clearly):
    outcome = judge(claim(), against_zero(ours))
    assert (outcome.verdict, outcome.clearly) == (verdict, clearly)
    # lower is better: the same numbers with their sign turned
    assert judge(claim(direction="lower"), against_zero(-np.array(ours))).verdict == verdict


def test_a_delta_of_ones_own_overrides_the_claims():
    assert judge(claim(), against_zero([0.5, 0.52, 0.49]), delta=0.4).verdict == HOLDS
    assert judge(claim(), against_zero([0.5, 0.52, 0.49]), delta=0.4).clearly


def test_undecided_says_what_could_have_been_detected():
    values = np.array([5.0, -4.0, 6.0, -3.0, 4.0])
    se, t = values.std(ddof=1) / math.sqrt(5), stats.t(4).ppf
    assert judge(claim(), against_zero(values)).detectable == pytest.approx((t(0.975) + t(0.8)) * se)
    assert judge(claim("not_worse"), against_zero(values)).detectable == pytest.approx((t(0.95) + t(0.8)) * se)
    assert judge(claim("equivalence"), against_zero(values)).detectable == pytest.approx((t(0.95) + t(0.9)) * se)


@pytest.mark.parametrize("kind", ["difference", "ratio", "equivalence", "not_worse"])
def test_one_seed_has_no_interval(kind):
    outcome = judge(claim(kind), {"ours": [9.0], "baseline": [1.0], "item_se": 0.1})
    assert (outcome.verdict, outcome.low, outcome.high, outcome.detectable) == (UNDECIDED, None, None, None)
    assert "one seed" in outcome.note and outcome.effect == pytest.approx(9 if kind == "ratio" else 8)


def test_seeds_that_do_not_vary_have_an_interval_of_no_width():
    outcome = judge(claim(), against_zero([2.0] * 4))
    assert (outcome.verdict, outcome.low, outcome.high, outcome.clearly) == (HOLDS, 2.0, 2.0, True)
    assert judge(claim(), against_zero([0.0] * 4)).verdict == NOT_SEEN


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("difference", {"ours": [], "baseline": []}, "at least one seed"),
        ("difference", {"ours": [1.0, math.nan], "baseline": [0.0, 0.0]}, "Claim c: a value is not"),
        ("difference", {"ours": [1.0, 2.0], "baseline": [0.0]}, "one shape"),
        ("difference", {}, "needs `ours`"),
        ("difference", {"ours": [1.0, 2.0], "baseline": [0.0, 0.0], "item_se": math.nan}, "item_se is nan"),
        ("difference", {"arms": {}}, "needs an arm"),
        ("ratio", {"ours": [0.0, 1.0], "baseline": [1.0, 1.0]}, "positive"),
        ("interaction", {"ours": [1.0, 2.0]}, "two conditions"),
        ("trend", {"x": [1.0, 1.0], "ours": [[1.0, 2.0]]}, "two x values"),
        ("proportion", {"successes": [], "trials": []}, "lists of one length"),
        ("proportion", {"successes": [math.nan], "trials": [5]}, "lists of one length"),
        ("exact", {"passed": []}, "for every seed"),
    ],
)
def test_values_without_a_verdict_are_refused(kind, values, words):
    with pytest.raises(ValueError, match=words):
        judge(claim(kind, bound=10.0), values) if kind == "proportion" else judge(claim(kind), values)


def test_ratio_is_a_difference_of_logarithms():
    ours, baseline = [2.2, 2.0, 2.1, 1.9], [1.0, 1.0, 1.0, 1.0]
    outcome = judge(claim("ratio", delta=0.5), {"ours": ours, "baseline": baseline})
    assert outcome.effect == pytest.approx(stats.gmean(ours))
    assert outcome.verdict == HOLDS and outcome.clearly
    lower = judge(claim("ratio", delta=0.5, direction="lower"), {"ours": baseline, "baseline": ours})
    assert lower.effect == pytest.approx(outcome.effect)
    wide = judge(claim("ratio", delta=0.5), {"ours": ours, "baseline": baseline, "item_se": 0.2})
    assert math.log(wide.high / wide.effect) > 0.2 * 1.9


def test_equivalence_is_two_one_sided_tests():
    rng = np.random.default_rng(1)
    for scale in (0.2, 0.8, 1.5, 3.0):
        values = rng.normal(0.3, scale, 6)
        p_low = stats.ttest_1samp(values, -1.0, alternative="greater").pvalue
        p_high = stats.ttest_1samp(values, 1.0, alternative="less").pvalue
        outcome = judge(claim("equivalence"), against_zero(values))
        assert (outcome.verdict == HOLDS) == (max(p_low, p_high) < 0.05)
        assert outcome.level == 0.9
    assert judge(claim("equivalence"), against_zero([5.0, 5.1, 4.9])).verdict == REFUTED
    assert judge(claim("equivalence"), against_zero([5.0, -5.1, 4.9])).verdict == UNDECIDED


def test_not_worse_than():
    near = against_zero([-0.1, 0.0, -0.2, -0.1])
    assert judge(claim("not_worse"), near).verdict == HOLDS
    assert judge(claim("not_worse", delta=0.05), near).verdict == UNDECIDED
    assert judge(claim("not_worse"), against_zero([-5.0, -5.1, -4.9])).verdict == REVERSED
    assert not judge(claim("not_worse"), against_zero([5.0, 5.1, 4.9])).clearly


@pytest.mark.parametrize("kind", ["difference", "not_worse", "equivalence"])
def test_a_threshold_shows_value_and_bound(kind):
    ours = [0.80, 0.78, 0.79]
    outcome = judge(claim(kind, bound=0.7, delta=0.05, unit="AUC"), {"ours": ours})
    assert outcome.effect == pytest.approx(0.09)
    assert (outcome.value, outcome.bound) == pytest.approx((0.79, 0.7))
    assert outcome.verdict == (REFUTED if kind == "equivalence" else HOLDS)
    at_most = judge(claim(kind, bound=0.7, delta=0.05, direction="lower"), {"ours": ours})
    assert at_most.effect == pytest.approx(-0.09) and at_most.value == pytest.approx(0.79)
    assert judge(claim(kind), against_zero(ours)).value is None


def test_trend_is_the_least_squares_slope():
    rng = np.random.default_rng(2)
    x = [0.0, 20.0, 40.0, 60.0]
    y = rng.normal(0, 1, (5, 4)) + 0.3 * np.array(x)
    slopes = [np.polyfit(x, row, 1)[0] for row in y]
    assert claims.slopes(x, y) == pytest.approx(slopes)
    values = {"x": x, "ours": y.tolist(), "baseline": np.zeros((5, 4)).tolist()}
    outcome = judge(claim("trend", delta=0.1), values)
    assert (outcome.verdict, outcome.effect) == (HOLDS, pytest.approx(np.mean(slopes)))
    assert judge(claim("trend", delta=0.1), {**values, "item_se": 1.0}).verdict == UNDECIDED


def test_interaction_is_a_difference_of_differences():
    values = {"ours": [[1.0, 5.0], [2.0, 6.5]], "baseline": [[1.0, 2.0], [1.0, 2.0]]}
    outcome = judge(claim("interaction"), values)
    assert outcome.effect == pytest.approx(((5 - 2) - (1 - 1) + (6.5 - 2) - (2 - 1)) / 2)
    assert judge(claim("interaction"), {**values, "item_se": 2.0}).low < outcome.low


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
    assert judge(at_most, {"successes": [1, 3], "trials": [20, 20]}).verdict == UNDECIDED
    held = judge(at_most, {"successes": [80] * 5, "trials": [1000] * 5})
    assert (held.verdict, held.value, held.bound, held.effect) == (HOLDS, *map(pytest.approx, (8.0, 10.0, 2.0)))
    assert held.level == 0.9
    assert judge(at_most, {"successes": [200] * 5, "trials": [1000] * 5}).verdict == REFUTED
    at_least = claim("proportion", direction="higher", bound=90.0, unit="%")
    assert judge(at_least, {"successes": [920] * 5, "trials": [1000] * 5}).verdict == HOLDS
    assert judge(at_least, {"successes": [700] * 5, "trials": [1000] * 5}).verdict == REFUTED


def test_a_small_violation_of_a_bound_that_is_certain_is_refuted():
    """[10.2, 10.8] against a bound of 10 lies within delta, and does not hold."""
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%", delta=1.0)
    outcome = judge(at_most, {"successes": [1050] * 3, "trials": [10000] * 3})
    assert 10 - outcome.high > 10.19 and 10 - outcome.low < 10.81
    assert outcome.verdict == REFUTED


def test_exact_is_refuted_by_one_failure():
    assert judge(claim("exact"), {"passed": [True, True, True]}).verdict == HOLDS
    outcome = judge(claim("exact"), {"passed": np.array([True, False, True])})
    assert (outcome.verdict, outcome.effect) == (REFUTED, pytest.approx(2 / 3))


def test_what_a_scale_cannot_test():
    needs = claim(untestable={"small": "needs photographs"})
    outcome = judge(needs, {}, "small")
    assert (outcome.verdict, outcome.note) == (NOT_RUN, "needs photographs")
    assert judge(needs, against_zero([5.0, 5.1]), "full").verdict != NOT_RUN
    never = claim(untestable={"small": "needs photographs", "full": "nobody has them"})
    assert (judge(never, {}, "small").verdict, judge(never, {}, "full").note) == (NOT_TESTABLE, "nobody has them")


# -- the table of verdicts -------------------------------------------------------------------------------------

# The rules of the page, row by row; every interval must fit exactly one.
SUPERIORITY_TABLE = {
    HOLDS: lambda low, high, d: low > 0 and high >= d,
    TRIVIAL: lambda low, high, d: low > 0 and high < d,
    REVERSED: lambda low, high, d: high < 0,
    NOT_SEEN: lambda low, high, d: low <= 0 <= high < d,
    UNDECIDED: lambda low, high, d: low <= 0 and high >= d,
}
TABLES = {
    **dict.fromkeys(("difference", "ratio", "trend", "interaction"), SUPERIORITY_TABLE),
    "equivalence": {
        HOLDS: lambda low, high, d: -d < low and high < d,
        REFUTED: lambda low, high, d: high < -d or d < low,
        UNDECIDED: lambda low, high, d: low <= -d <= high or low <= d <= high,
    },
    "not_worse": {
        HOLDS: lambda low, high, d: low > -d,
        REVERSED: lambda low, high, d: high < -d,
        UNDECIDED: lambda low, high, d: low <= -d <= high,
    },
    "proportion": {
        REFUTED: lambda low, high, d: high < 0,
        HOLDS: lambda low, high, d: high >= 0 and low > -d,
        UNDECIDED: lambda low, high, d: low <= -d and high >= 0,
    },
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_interval_fits_one_row_of_the_table(kind):
    rng = np.random.default_rng(3)
    delta, seen = 1.0, set()
    edges = np.array([-math.inf, -2, -1, -0.5, 0, 0.5, 1, 2, math.inf])  # borders, and one seed
    intervals = [(a, b) for a in edges for b in edges if a <= b and not (math.isinf(a) and a == b)]
    for low, high in [*np.sort(rng.normal(0, 1.5, (3000, 2)), 1), *intervals]:
        rows = [verdict for verdict, fits in TABLES[kind].items() if fits(low, high, delta)]
        assert len(rows) == 1, (low, high, rows)
        assert claims.verdict_of(kind, low, high, delta) == rows[0], (low, high)
        seen |= set(rows)
    assert seen == set(TABLES[kind]) <= set(VERDICTS)


def test_a_kind_without_an_interval_is_no_row():
    with pytest.raises(ValueError, match="no interval"):
        claims.verdict_of("exact", 0.0, 1.0, 1.0)


# -- claims about every arm ------------------------------------------------------------------------------------

GOOD, BAD, NONE, SMALL = [5.0, 5.1, 4.9], [-5.0, -5.1, -4.9], [0.01, -0.01, 0.0], [0.5, 0.51, 0.49]
WIDE, ABOVE = [-90.0, 80.0, 30.0], [1.0, 0.9, 1.1]


def every(kind="difference", level=0.95, **arms):
    return judge(claim(kind), {"arms": {label: against_zero(v) for label, v in arms.items()}}, level=level)


def test_for_every_arm_is_the_worst_arm():
    outcome = every(a=GOOD, b=ABOVE, c=GOOD)
    assert (outcome.verdict, outcome.arm, outcome.cells, outcome.clearly) == (HOLDS, "b", (3, 3), False)
    assert every(a=GOOD, c=GOOD).clearly
    outcome = every(a=GOOD, b=BAD, c=GOOD, n=NONE)
    assert (outcome.verdict, outcome.arm, outcome.cells) == (REVERSED, "b", (2, 4))
    assert outcome.effect == pytest.approx(-5) and outcome.high == judge(claim(), against_zero(BAD)).high
    # a reversed arm is worse than an unclear one, however wide the interval of the latter
    assert every(a=GOOD, b=BAD, wide=WIDE).arm == "b"
    assert (every(a=GOOD, b=NONE, wide=WIDE).verdict, every(a=GOOD, wide=WIDE).verdict) == (NOT_SEEN, UNDECIDED)
    assert (every(a=GOOD, b=SMALL).verdict, every(a=GOOD, b=SMALL).arm) == (TRIVIAL, "b")
    assert every(a=SMALL, one=[3.0]).verdict == UNDECIDED


def test_an_arm_that_does_not_hold_is_judged_at_the_corrected_level():
    close = [-0.5, -0.4, -0.9, -0.3, -0.2]  # reversed alone; one of fifteen may be so by chance
    alone, rest = judge(claim(), against_zero(close)), {f"a{i}": [5.0, 5.1, 4.9, 5.0, 5.2] for i in range(14)}
    assert alone.verdict == REVERSED
    outcome = every(x=close, **rest)
    assert (outcome.verdict, outcome.arm, outcome.cells) == (NOT_SEEN, "x", (14, 15))
    assert (outcome.low, outcome.high, outcome.level) == (alone.low, alone.high, alone.level)
    assert "alone would be reversed" in outcome.note and "0.05/15" in outcome.note
    strict = judge(claim(), against_zero(close), level=1 - 0.05 / 15)
    assert strict.verdict == outcome.verdict
    # an arm that is trivial at 95 % but reaches delta at the corrected level does not turn the claim either
    nearly = [0.6, 0.8, 0.5, 0.7, 0.9]
    assert judge(claim(), against_zero(nearly)).verdict == TRIVIAL
    outcome = every(x=nearly, **rest)
    assert (outcome.verdict, outcome.cells, outcome.clearly) == (HOLDS, (14, 15), False)


@pytest.mark.parametrize("values", [GOOD, BAD, NONE, SMALL, WIDE, ABOVE, [3.0]])
@pytest.mark.parametrize("kind", ["difference", "equivalence", "not_worse"])
def test_one_arm_is_judged_as_a_claim_without_arms(kind, values):
    alone, one = judge(claim(kind), against_zero(values)), every(kind, a=values)
    assert (one.verdict, one.low, one.high, one.clearly) == (alone.verdict, alone.low, alone.high, alone.clearly)
    assert (one.arm, one.cells) == ("a", (int(alone.verdict == HOLDS), 1))


def test_other_kinds_for_every_arm():
    assert every("equivalence", a=NONE, b=SMALL).verdict == HOLDS
    outcome = every("equivalence", a=NONE, b=GOOD, c=WIDE)
    assert (outcome.verdict, outcome.arm, outcome.cells) == (REFUTED, "b", (1, 3))
    outcome = every("not_worse", a=GOOD, b=WIDE)
    assert (outcome.verdict, outcome.arm) == (UNDECIDED, "b")
    assert every("not_worse", a=GOOD, b=BAD, c=WIDE).verdict == REVERSED
    close = [1.5, 2.2, 1.2, 2.5, 1.1]  # outside +-delta alone, not as one of many
    assert judge(claim("equivalence"), against_zero(close)).verdict == REFUTED
    assert (
        every("equivalence", x=close, **{f"a{i}": [0.0, 0.01, 0.02, 0.0, 0.0] for i in range(14)}).verdict == UNDECIDED
    )
    rates = {a: {"successes": [k] * 3, "trials": [1000] * 3} for a, k in {"a": 50, "b": 200, "c": 100}.items()}
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%")
    outcome = judge(at_most, {"arms": rates})
    assert (outcome.verdict, outcome.arm, outcome.value) == (REFUTED, "b", pytest.approx(20))
    outcome = judge(claim("exact"), {"arms": {"a": {"passed": [True] * 3}, "b": {"passed": [True, False, True]}}})
    assert (outcome.verdict, outcome.arm, outcome.cells) == (REFUTED, "b", (1, 2))


# -- one verdict from two scales -------------------------------------------------------------------------------


def test_full_decides_where_it_can():
    small = judge(claim(), against_zero([5.0, 5.1, 4.9]))
    sharp, blunt = judge(claim(), against_zero([0.0, 0.1, -0.1])), judge(claim(), against_zero([0.0, 5.0, -3.0]))
    assert claims.decide(claim(), small, sharp) == (sharp, "full")
    assert claims.decide(claim(), small, blunt) == (small, "small")  # its detectable effect is above delta
    assert claims.decide(claim(), None, blunt) == (blunt, "full")
    assert claims.decide(claim(), small, None) == (small, "small")
    one_seed = judge(claim(), against_zero([3.0]))
    assert claims.decide(claim(), small, one_seed) == (small, "small")
    not_run = Outcome(NOT_RUN, note="a GPU")
    assert claims.decide(claim(), small, not_run) == (small, "small")
    assert claims.decide(claim(), not_run, blunt) == (blunt, "full")


def test_full_decides_exact_claims_and_proportions():
    passed, failed = (judge(claim("exact"), {"passed": [p]}) for p in (True, False))
    assert claims.decide(claim("exact"), passed, failed) == (failed, "full")
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%")
    small = judge(at_most, {"successes": [80] * 5, "trials": [1000] * 5})
    refuted = judge(at_most, {"successes": [200] * 5, "trials": [1000] * 5})
    undecided = judge(at_most, {"successes": [1, 3], "trials": [20, 20]})
    assert claims.decide(at_most, small, refuted) == (refuted, "full")
    assert claims.decide(at_most, small, undecided) == (small, "small")


def test_a_ratio_can_decide_on_logarithms():
    small, spread = judge(claim("ratio"), {"ours": [3.0, 3.1], "baseline": [1.0, 1.0]}), [1.0, 1.25, 0.8, 1.1, 0.9]
    full = judge(claim("ratio"), {"ours": spread, "baseline": [1.0] * 5})
    assert 1 < full.detectable < 2  # a factor of two is delta = 1
    assert claims.decide(claim("ratio"), small, full) == (full, "full")
    assert claims.decide(claim("ratio", delta=0.2), small, full) == (small, "small")


def test_what_no_scale_tested():
    outcome, scale = claims.decide(claim(), None, None)
    assert (outcome.verdict, scale) == (NOT_RUN, None)
    outcome, scale = claims.decide(claim(untestable={"small": "needs CIFAR-10"}), None, None)
    assert (outcome.verdict, outcome.note, scale) == (NOT_RUN, "needs CIFAR-10", None)
    assert claims.decide(claim(untestable={"full": "one setting"}), None, None)[0] == Outcome(NOT_RUN)
    never = claim(untestable={"small": "needs X-rays", "full": "they may not be had"})
    outcome, scale = claims.decide(never, judge(never, {}, "small"), None)
    assert (outcome.verdict, outcome.note) == (NOT_TESTABLE, "needs X-rays; they may not be had")


# -- against the paper -----------------------------------------------------------------------------------------


def printed(ours, baseline, setting="40 %", **extra):
    entry = {"arm": "a", "unit": "%", "source": "Table 1", "setting": setting, **extra}
    sides = {"ours": ours, "baseline": baseline}
    return [{**entry, "role": role, "value": value} for role, value in sides.items() if value is not None]


def test_paper_effect_needs_both_numbers_of_one_setting():
    both = printed(89.0, 81.0)
    assert claims.paper_effect(claim(paper=both)) == pytest.approx(8.0)
    assert claims.paper_effect(claim(direction="lower", paper=both)) == pytest.approx(-8.0)
    assert claims.paper_effect(claim(paper=printed(89.0, None) + printed(None, 81.0, "80 %"))) is None
    assert claims.paper_effect(claim(paper=printed(89.0, None) + printed(70.0, 60.0, "80 %"))) == pytest.approx(10)
    assert claims.paper_effect(claim()) is None
    assert claims.paper_effect(claim("ratio", paper=both)) == pytest.approx(89 / 81)
    assert claims.paper_effect(claim("ratio", direction="lower", paper=both)) == pytest.approx(81 / 89)


def test_printed_slopes_and_interactions():
    x, ours, baseline = [0.0, 40.0, 60.0], [93.0, 89.0, 86.0], [94.0, 82.0, 70.0]
    for settings in (["CIFAR-10"] * 3, ["0 %", "40 %", "60 %"]):  # of one setting, or every x in its own
        paper = [e for s, o, b, v in zip(settings, ours, baseline, x) for e in printed(o, b, s, x=v, se=0.3)]
        slope = np.polyfit(x, np.subtract(ours, baseline), 1)[0]
        assert claims.paper_effect(claim("trend", paper=paper)) == pytest.approx(slope)
        se = math.sqrt(2 * 0.3**2 / np.sum((x - np.mean(x)) ** 2))
        assert claims.paper_se(claim("trend", paper=paper)) == pytest.approx(se)
        assert claims.delta_limit(claim("trend", paper=paper)) == pytest.approx(slope / 2)
        ends = claim("interaction", x=[0.0, 60.0], paper=paper)
        assert claims.paper_effect(ends) == pytest.approx((86 - 70) - (93 - 94))
        assert claims.paper_se(ends) == pytest.approx(0.6)
        only_ours = [e for e in paper if e["role"] == "ours"]
        assert claims.paper_effect(claim("trend", paper=only_ours)) == pytest.approx(np.polyfit(x, ours, 1)[0])
        assert claims.paper_effect(claim("trend", baseline={"arm": "b"}, paper=only_ours)) is None
        assert claims.paper_effect(claim("interaction", paper=only_ours)) is None
    assert claims.paper_effect(claim("trend", paper=printed(93.0, 94.0, x=0.0))) is None
    words = printed(3.0, 1.0, "clean", x="clean") + printed(9.0, 2.0, "noisy", x="noisy")
    assert claims.paper_effect(claim("interaction", x=["clean", "noisy"], paper=words)) == pytest.approx(5)
    assert claims.paper_effect(claim("interaction", x=["noisy", "clean"], paper=words)) == pytest.approx(-5)


def test_delta_is_at_most_half_of_what_is_printed():
    both = printed(89.0, 81.0, se=3.0)
    assert claims.paper_se(claim(paper=both)) == pytest.approx(3 * math.sqrt(2))
    assert claims.delta_limit(claim(paper=both)) == claims.delta_limit(claim(direction="lower", paper=both)) == 4.0
    assert claims.delta_limit(claim("ratio", paper=printed(4.0, 1.0))) == pytest.approx(1.0)  # a root of 4 is 1 + delta
    assert claims.delta_limit(claim("ratio", direction="lower", paper=printed(4.0, 1.0))) == pytest.approx(1.0)
    assert claims.delta_limit(claim()) is None
    for kind in ("equivalence", "not_worse", "proportion", "exact"):
        assert claims.delta_limit(claim(kind, paper=both)) is None


@pytest.mark.parametrize(
    ("effects", "paper", "word"),
    [
        ([5.0, 5.2, 4.8, 5.1], printed(85.0, 80.0), "consistent"),
        ([4.0, 4.1, 3.9, 4.05], printed(85.0, 80.0), "smaller than printed"),
        ([5.0, 5.2, 4.8, 5.1], printed(82.0, 80.0), "larger than printed"),
        ([2.0, 2.1, 1.9, 2.05], printed(85.0, 80.0), "smaller than printed"),
        ([0.0, 0.1, -0.1, 0.05], printed(85.0, 80.0), "smaller than printed"),
        ([4.0, 4.1, 3.9, 4.05], printed(85.0, 80.0, se=0.5), "consistent"),
        ([-2.0, -2.1, -1.9, -2.05], printed(85.0, 80.0), "opposite"),
        ([-2.0, -2.1, -1.9, -2.05], printed(80.0, 85.0), "larger than printed"),
        ([-2.0, -2.1, -1.9, -2.05], printed(85.0, 80.0, se=4.0), "cannot tell"),
        ([8.0, -5.0, 3.0, -1.0], printed(85.0, 80.0), "cannot tell"),
    ],
)
def test_against_the_paper(effects, paper, word):
    question = claim(paper=paper)
    assert claims.against_paper(question, judge(question, against_zero(effects)), "method") == word
    as_ratio = claim("ratio", paper=[{**e, "value": math.exp(e["value"] / 40), "se": 0.0} for e in paper])
    if "se" not in paper[0]:
        values = {"ours": np.exp(np.array(effects) / 40), "baseline": [1.0] * len(effects)}
        assert claims.against_paper(as_ratio, judge(as_ratio, values), "method") == word


def test_no_word_where_there_is_nothing_to_compare():
    question, values = claim(paper=printed(85.0, 80.0)), against_zero([5.0, 5.2, 4.8])
    assert claims.against_paper(question, judge(question, values), "stand-in") is None
    assert claims.against_paper(claim(), judge(question, values), "method") is None
    assert claims.against_paper(question, judge(question, against_zero([5.0])), "method") is None
    assert claims.against_paper(question, Outcome(NOT_RUN), "method") is None


def test_printed_error_of_a_ratio_is_relative():
    assert claims.paper_se(claim("ratio", paper=printed(20.0, 10.0, se=0.5))) == pytest.approx(math.hypot(0.025, 0.05))


def test_in_deltas():
    assert claims.in_deltas(claim(delta=2.0), 3.0) == 1.5
    assert claims.in_deltas(claim("ratio", delta=1.0), 4.0) == pytest.approx(2.0)
    assert claims.in_deltas(claim(), None) is None


# -- test items that seeds share -------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_shared_part_never_narrows_an_interval(seeds):
    sd = 1.0
    alone = claims.reach(claims.standard_errors(sd, seeds), 0.975)
    assert alone == pytest.approx(stats.t.ppf(0.975, seeds - 1) * sd / math.sqrt(seeds))
    half = [claims.reach(claims.standard_errors(sd, seeds, item_se), 0.975) for item_se in (0.0, 0.2, 0.5, 1.0, 5.0)]
    assert half[0] == alone and half == sorted(half)
    assert half[-1] == pytest.approx(math.hypot(1.96 * 5, 1.96 * sd / math.sqrt(seeds)), rel=0.02)


def test_item_standard_error_is_what_a_bootstrap_over_items_gives():
    rng = np.random.default_rng(3)
    ours, baseline = rng.random((3, 400)) < 0.8, rng.random((3, 400)) < 0.7
    per_item = (ours.astype(float) - baseline).mean(0)
    means = per_item[rng.integers(400, size=(4000, 400))].mean(1)
    assert item_standard_error(ours, baseline) == pytest.approx(means.std(), rel=0.06)
    assert item_error(per_item) == item_standard_error(ours, baseline)
    assert item_error(3 * per_item, seeds=3) == pytest.approx(item_error(per_item))
    with pytest.raises(ValueError, match="at least two items"):
        item_error([1.0])
    with pytest.raises(ValueError, match="one shape"):
        item_standard_error(ours, baseline[:2])


# -- what verdicts promise, by simulation ----------------------------------------------------------------------

REPEATS = 2000


def rate_limit(nominal, repeats=REPEATS):
    """Largest share that `repeats` trials of a true rate `nominal` show, but for one in 10,000."""
    return stats.binom.ppf(0.9999, repeats, nominal) / repeats


def verdicts(rng, mean, sd, seeds, repeats=REPEATS, **extra):
    """Shares of the verdicts on a difference whose seeds are normal around `mean`: {verdict: share}."""
    found = [judge(claim(**extra), against_zero(rng.normal(mean, sd, seeds))).verdict for _ in range(repeats)]
    return {verdict: found.count(verdict) / repeats for verdict in VERDICTS}


def powered_sd(seeds, share=0.75):
    """Seed sd with which the detectable effect is that share of a delta of 1."""
    t = stats.t(seeds - 1).ppf
    return share * math.sqrt(seeds) / (t(0.975) + t(0.8))


@pytest.mark.parametrize("sd", [0.05, 1.0, 10.0])
def test_no_effect_is_called_one_at_the_nominal_rate(sd):
    share = verdicts(np.random.default_rng(4), 0.0, sd, 5)
    there = share[HOLDS] + share[TRIVIAL]
    assert there <= rate_limit(0.025) and share[REVERSED] <= rate_limit(0.025)
    assert there >= 0.01 and share[REVERSED] >= 0.01  # and the rule is not empty


@pytest.mark.parametrize(
    ("seeds", "not_seen", "found", "reversed_"), [(5, 0.90, 0.93, 0.95), (10, 0.92, 0.94, 0.96), (20, 0.93, 0.95, 0.96)]
)
def test_a_powered_claim_is_decided(seeds, not_seen, found, reversed_):
    rng, sd = np.random.default_rng(seeds), powered_sd(seeds)
    none = verdicts(rng, 0.0, sd, seeds)
    assert none[NOT_SEEN] == pytest.approx(not_seen, abs=0.025) and none[HOLDS] <= rate_limit(0.025)
    delta = verdicts(rng, 1.0, sd, seeds)
    assert delta[HOLDS] == pytest.approx(found, abs=0.025)
    assert delta[NOT_SEEN] + delta[REVERSED] <= rate_limit(0.025)
    two = verdicts(rng, 2.0, sd, seeds)
    assert two[HOLDS] > 0.998 and two[NOT_SEEN] + two[REVERSED] + two[TRIVIAL] == 0
    against = verdicts(rng, -1.0, sd, seeds)
    assert against[REVERSED] == pytest.approx(reversed_, abs=0.025) and against[HOLDS] == against[TRIVIAL] == 0


def test_the_detectable_effect_is_found_in_four_runs_of_five():
    share = verdicts(np.random.default_rng(6), 0.75, powered_sd(5), 5)
    assert share[HOLDS] + share[TRIVIAL] == pytest.approx(0.8, abs=0.035)


def test_an_effect_of_delta_in_every_one_of_fifteen_arms_is_rarely_turned():
    rng, sd, repeats, holds = np.random.default_rng(9), powered_sd(5, 0.65), 500, 0
    turned = 0
    for _ in range(repeats):
        arms = {str(a): against_zero(rng.normal(1.0, sd, 5)) for a in range(15)}
        outcome = judge(claim(), {"arms": arms})
        turned += outcome.verdict in (TRIVIAL, NOT_SEEN, REVERSED)
        holds += outcome.verdict == HOLDS
    assert turned / repeats <= rate_limit(0.05, repeats)
    assert holds / repeats > 0.6


def test_one_arm_of_fifteen_without_an_effect_is_seldom_missed():
    rng, sd, repeats = np.random.default_rng(10), powered_sd(5, 0.65), 500
    held = 0
    for _ in range(repeats):
        arms = {str(a): against_zero(rng.normal(1.0 if a else 0.0, sd, 5)) for a in range(15)}
        held += judge(claim(), {"arms": arms}).verdict == HOLDS
    assert held / repeats <= rate_limit(0.025, repeats)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_no_effect_with_a_shared_test_split_holds_in_at_most_five_percent(seeds):
    """Two models equally good on the population, judged by every seed on the same 300 test items."""
    rng = np.random.default_rng(5)
    wrong = without = 0
    for _ in range(REPEATS // 2):
        tendency = rng.normal(0, 0.5, 300)  # how much an item favours one model: drawn with the split, for all seeds
        noise = rng.normal(0, 0.3, (seeds, 300))
        items = tendency + noise
        values = against_zero(items.mean(1))
        without += judge(claim(delta=1e-6), values).verdict == HOLDS
        values["item_se"] = item_standard_error(items)
        wrong += judge(claim(delta=1e-6), values).verdict == HOLDS
    assert wrong / (REPEATS // 2) <= 0.05
    assert without / (REPEATS // 2) > 0.1  # without the shared part the same seeds do call noise an effect


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


def test_a_bound_that_is_kept_is_rarely_refuted():
    rng = np.random.default_rng(11)
    at_most = claim("proportion", direction="lower", bound=10.0, unit="%", delta=1.0)
    errors = [rng.binomial(1000, rng.beta(30, 270, 8)) for _ in range(REPEATS // 2)]
    refuted = sum(judge(at_most, {"successes": e, "trials": [1000] * 8}).verdict == REFUTED for e in errors)
    assert refuted / (REPEATS // 2) <= 0.07


def test_the_delta_of_a_ratio_is_told_in_times():
    from shared.show import delta_text

    assert delta_text({"kind": "ratio", "delta": 1, "unit": "labels"}) == "2.00 times"
    assert delta_text({"kind": "difference", "delta": 5, "unit": "%"}) == "5.00 %"
