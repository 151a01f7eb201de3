"""What a claim reads from a record: queries on arms, their units, their shared items; and what a yml may not say."""

import copy

import numpy as np
import pytest

from shared import record as records
from shared import values
from shared.claims import HOLDS, NOT_RUN, NOT_TESTABLE, judge
from shared.record import RecordError, claim_values, constants, verdicts, warnings

CLAIM = {"id": "c", "kind": "difference", "metric": "accuracy", "unit": "points", "direction": "higher", "delta": 1.0,
         "sentence": "A claim that is tested.", "paper": []}  # fmt: skip


def arm(name, metric, given, unit="%", **extra):
    return {"arm": name, "metric": metric, "unit": unit, "values": [float(v) for v in given], **extra}


def record(*arms, seeds=3, **extra):
    results = {"scale": "small", "seeds": list(range(seeds)), "arms": list(arms), "claims": {}, "choices": {}}
    return {"slug": "toy", "results": {**results, **extra}}


def claim(**changes):
    return {**CLAIM, **changes}


A, B = arm("A", "accuracy", [5, 6, 7]), arm("B", "accuracy", [1, 2, 4])


def test_a_difference_reads_two_arms():
    got = claim_values(claim(ours={"arm": "A"}, baseline={"arm": "B"}), record(A, B))
    assert got == {"ours": [5.0, 6.0, 7.0], "baseline": [1.0, 2.0, 4.0]}
    other = arm("B", "loss", [0, 0, 1])
    got = claim_values(claim(ours={"arm": "A"}, baseline={"arm": "B", "metric": "loss"}), record(A, other))
    assert got["baseline"] == [0.0, 0.0, 1.0]


def test_a_threshold_reads_one_arm():
    bounded = claim(ours={"arm": "A"}, bound=2.0)
    got = claim_values(bounded, record(A))
    assert got == {"ours": [5.0, 6.0, 7.0]}
    outcome = judge(bounded, got)
    assert (outcome.effect, outcome.value, outcome.bound, outcome.verdict) == (4.0, 6.0, 2.0, HOLDS)


def test_for_each_fills_every_side():
    arms = [arm(f"A, rate {r}", "accuracy", [r, r + 1, r + 2]) for r in (20, 40)]
    arms += [arm("B", f"accuracy at {r}", [1, 2, 3]) for r in (20, 40)]
    spread = claim(ours={"arm": "A, rate {}"}, baseline={"arm": "B", "metric": "accuracy at {}"}, for_each=[20, 40])
    got = claim_values(spread, record(*arms))["arms"]
    assert list(got) == ["20", "40"] and got["40"] == {"ours": [40.0, 41.0, 42.0], "baseline": [1.0, 2.0, 3.0]}
    named = claim(
        ours={"arm": "A, rate {rate}"}, baseline={"arm": "{rival}", "metric": "accuracy at {rate}"},
        for_each=[{"rate": 20, "rival": "B"}, {"rate": 40, "rival": "B"}],
    )  # fmt: skip
    assert list(claim_values(named, record(*arms))["arms"]) == ["20, B", "40, B"]
    assert records.arms_of(named) == [
        ("A, rate 20", "accuracy"), ("A, rate 40", "accuracy"), ("B", "accuracy at 20"), ("B", "accuracy at 40"),
    ]  # fmt: skip


def test_a_trend_and_an_interaction_read_an_arm_at_every_place():
    arms = [arm(n, f"accuracy at {x}", [k + x, k + 2 * x]) for k, n in enumerate("AB") for x in (0, 2, 4)]
    trend = claim(kind="trend", unit="points per step", ours={"arm": "A", "metric": "accuracy at {x}"}, x=[0, 2, 4])
    got = claim_values(trend, record(*arms, seeds=2))
    assert got == {"ours": [[0.0, 2.0, 4.0], [0.0, 4.0, 8.0]], "x": [0, 2, 4]}
    assert judge(trend, got).effect == pytest.approx(1.5)
    cross = claim(
        kind="interaction", ours={"arm": "A", "metric": "accuracy at {x}"},
        baseline={"arm": "B", "metric": "accuracy at {x}"}, x=[0, 4],
    )  # fmt: skip
    assert claim_values(cross, record(*arms, seeds=2))["baseline"] == [[1.0, 5.0], [1.0, 9.0]]


def test_proportions_read_counts_and_exact_claims_truths():
    counts = arm("A", "errors", [1, 2, 3], "count", trials=[10, 10, 20])
    rate = claim(kind="proportion", metric="errors", unit="%", bound=10.0, ours={"arm": "A"})
    assert claim_values(rate, record(counts)) == {"successes": [1.0, 2.0, 3.0], "trials": [10, 10, 20]}
    with pytest.raises(RecordError, match="record the arm with `trials`"):
        claim_values(rate, record(arm("A", "errors", [1, 2, 3])))
    exact = claim(kind="exact", ours={"arm": "A", "metric": "identity"})
    assert claim_values(exact, record(arm("A", "identity", [1, 0, 1], "true"))) == {"passed": [True, False, True]}


@pytest.mark.parametrize(
    ("query", "arms", "says"),
    [
        ({"ours": {"arm": "A"}, "baseline": {"arm": "C"}}, [A, arm("CE", "accuracy", [1, 2, 3])],
         r"reads the arm 'C \| accuracy', which the run never recorded; did you mean 'CE \| accuracy'"),
        ({"ours": {"arm": "A"}, "baseline": {"arm": "B"}}, [A, arm("B", "accuracy", [1, 2], seeds=[0, 1])],
         "fewer seeds than the run"),
        ({"ours": {"arm": "A"}, "baseline": {"arm": "B"}}, [A, arm("B", "accuracy", [1, 2, 3], "s")],
         "compares % with s"),
        ({"ours": {"arm": "A"}, "baseline": {"arm": "B"}, "unit": "s"}, [A, B], "counts in 's', but its arms in '%'"),
    ],
)  # fmt: skip
def test_what_a_query_refuses(query, arms, says):
    with pytest.raises(RecordError, match=says):
        claim_values(claim(**query), record(*arms))


def test_a_claim_without_a_query_must_be_recorded():
    with pytest.raises(RecordError, match="the run never recorded it"):
        claim_values(claim(), record(A))
    assert claim_values(claim(), record(A, claims={"c": {"ours": [1.0]}})) == {"ours": [1.0]}


def test_timed_claims_read_timed_arms_only():
    timed = claim(kind="ratio", unit="ms", timed=True, ours={"arm": "A"}, baseline={"arm": "B"})
    run = record() | {"timed": [arm("A", "accuracy", [2, 2, 3], "ms"), arm("B", "accuracy", [1, 1, 2], "ms")]}
    assert claim_values(timed, run)["ours"] == [2.0, 2.0, 3.0]
    with pytest.raises(RecordError, match="never recorded"):
        claim_values(timed, record(A, B))


def test_shared_items_give_the_standard_error_of_the_paired_difference():
    rng = np.random.default_rng(0)
    ours, base = (rng.random((3, 500)) < 0.8).astype(float), (rng.random((3, 500)) < 0.7).astype(float)
    arms = []
    for name, hits in (("A", ours), ("B", base)):
        means, sums = values.from_items(hits, "%", name)
        assert means == pytest.approx(100 * hits.mean(1)) and sums == hits.sum(0).tolist()
        arms.append(arm(name, "accuracy", means, items=sums))
    got = claim_values(claim(ours={"arm": "A"}, baseline={"arm": "B"}), record(*arms))
    assert got["item_se"] == pytest.approx(100 * values.item_standard_error(ours, base))
    # a slope over two places is half of their difference; an interaction of one side is the difference
    slope = claim(kind="trend", unit="points per step", ours={"arm": "{x}"}, x=["A", "B"])
    with pytest.raises((RecordError, TypeError, ValueError)):
        claim_values(slope, record(*arms))
    two = [copy.deepcopy(a) | {"arm": "A", "metric": f"at {x}"} for a, x in zip(arms, (0, 2))]
    slope = claim(kind="trend", unit="points per step", ours={"arm": "A", "metric": "at {x}"}, x=[0, 2])
    assert claim_values(slope, record(*two))["item_se"] == pytest.approx(got["item_se"] / 2)


@pytest.mark.parametrize("items", [np.ones((3, 1)), np.ones(4), [[1.0, np.nan]] * 3, [[1.0, np.inf]] * 3])
def test_items_that_are_none_are_refused(items):
    with pytest.raises(ValueError, match="items must be|not a finite number"):
        values.from_items(items, "%", "A")


def test_values_that_never_vary_are_told_unless_the_yml_says_why():
    flat = record(arm("A", "accuracy", [5, 5, 5]), arm("B", "accuracy", [1, 1, 1]))
    same = claim(ours={"arm": "A"}, baseline={"arm": "B"})
    assert constants({"claims": [same]}, flat) == ["c"]
    assert constants({"claims": [claim(**same, constant="both arms are at their limit")]}, flat) == []
    assert constants({"claims": [same]}, record(A, arm("B", "accuracy", [1, 1, 1]))) == []
    assert constants({"claims": [claim(**same, untestable={"small": "no"})]}, flat) == []


def test_a_choice_at_the_edge_of_its_grid_and_a_rate_of_few_cases_are_told():
    run = record(
        A, B, choices={"A": {"grid": {"lr": [1, 2, 3], "kind": ["a", "b", "c"]}, "chosen": {"lr": 3, "kind": "a"}}}
    )
    query = {"ours": {"arm": "A"}, "baseline": {"arm": "B"}}
    assert warnings(claim(**query), run) == ["A: lr was chosen at the edge of its grid"]
    run["results"]["choices"]["A"]["chosen"]["lr"] = 2
    assert warnings(claim(**query), run) == []
    counts = arm("A", "errors", [1, 2, 3], "count", trials=[10, 10, 20])
    rate = claim(kind="proportion", metric="errors", unit="%", bound=10.0, ours={"arm": "A"})
    assert warnings(rate, record(counts)) == ["A: a rate over 10 cases a seed"]


def test_a_curve_that_still_moves_at_the_end_is_told():
    query = {"ours": {"arm": "A"}, "baseline": {"arm": "B"}, "delta": 2.0}
    values = [80.0, 82.0]
    plain = arm("B", "accuracy", [70.0, 72.0])
    for late, told in (([79.0, 81.0], ["A: its curve still moved by +1 points in the last fifth of training"]),
                       ([82.0, 84.0], ["A: its curve still moved by -2 points in the last fifth of training"]),
                       ([79.6, 81.6], []), (values, [])):  # fmt: skip
        moving = arm("A", "accuracy", values, late=late)
        assert warnings(claim(**query), record(moving, plain)) == told
    ratio = claim(**{**query, "kind": "ratio", "delta": 0.5})
    assert warnings(ratio, record(arm("A", "accuracy", values, late=[80.0, 81.0]), plain)) == []
    assert len(warnings(ratio, record(arm("A", "accuracy", values, late=[78.0, 80.0]), plain))) == 1


def test_what_no_scale_tests_and_what_only_full_tests():
    there = {"claims": [claim(untestable={"small": "needs photographs"})]}
    assert verdicts(there, record())["c"].verdict == NOT_RUN
    nowhere = {"claims": [claim(untestable={"small": "needs people", "full": "needs people"})]}
    assert verdicts(nowhere, record())["c"].verdict == NOT_TESTABLE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"primary": True, "origin": "book"}, "never primary"),
        ({"ours": {"arm": "A"}, "baseline": {"arm": "B"}, "bound": 1.0}, "not both"),
        ({"ours": {"arm": "A"}}, "needs a baseline or a bound"),
        ({"kind": "ratio", "ours": {"arm": "A"}}, "kind ratio needs a baseline"),
        ({"kind": "trend", "ours": {"arm": "A"}}, "needs the places x"),
        ({"delta": 3.0, "delta_why": "Because of that.", "paper": [
            {"setting": "s", "arm": "A", "role": "ours", "value": 9.0, "unit": "%", "source": "Table 1"},
            {"setting": "s", "arm": "B", "role": "baseline", "value": 5.0, "unit": "%", "source": "Table 1"}]},
         "delta 3 is over 2, half of what the paper printed"),
    ],
)  # fmt: skip
def test_claims_that_contradict_themselves_are_refused(changes, says):
    with pytest.raises(RecordError, match=says):
        records._check_claims({"slug": "toy", "claims": [claim(**changes)]})


def test_a_digest_sees_what_was_promised_and_not_its_words():
    first = claim(ours={"arm": "A"}, baseline={"arm": "B"})
    digest = records.claim_digest(first)
    assert digest == records.claim_digest({**first, "sentence": "Other words for the same.", "note": "n"})
    for change in ({"delta": 2.0}, {"direction": "lower"}, {"baseline": {"arm": "C"}}, {"primary": True}):
        assert records.claim_digest({**first, **change}) != digest, change
