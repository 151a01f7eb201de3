"""Seeds in groups and their merged record."""

import copy
import random

import pytest

from book.tools.papers import keys
from book.tools.runs import merge
from shared import claims
from shared.record import RecordError, results_digest
from shared.values import item_standard_error


def record(seeds, **changes):
    values = [random.Random(seed).random() for seed in seeds]
    results = {
        "scale": "small",
        "seeds": list(seeds),
        "settings": {"n": 10},
        "arms": [{"arm": "A", "metric": "accuracy", "unit": "%", "values": values}],
        "claims": {
            "better": {"ours": [v + 1 for v in values], "baseline": values, "item_se": 0.1},
            "trend": {"ours": [[v, v + 1] for v in values], "x": [0, 1]},
            "exact": {"arms": {"A": {"passed": [seed != 3 for seed in seeds]}}},
            "rate": {"successes": [seed + 1 for seed in seeds], "trials": [100 for _ in seeds]},
        },
        "choices": {"A": {"grid": {"lr": [1, 2]}, "chosen": min(seeds)}},
        "resampled": ["order"],
        "shared_parts": {"test images": "one split"},
    } | changes
    provenance = {
        "result_hash": f"h{seeds[0]}", "results_digest": results_digest(results), "seconds": 2.0, "cpu_seconds": 1.0,
        "peak_memory_mib": float(seeds[0]), "device": "cpu", "device_name": f"cpu {seeds[0]}", "versions": {"torch": "2"},
        "data": {"d": "1"}, "weights": {}, "timings": {"fit": 1.0}, "commit": "c", "dirty": seeds[0] > 0,
        "date": f"2030-01-0{1 + seeds[0]}T00:00:00Z",
    }  # fmt: skip
    return {"schema": 1, "slug": "toy", "results": results, "provenance": provenance}


def test_a_merged_record_has_what_one_run_of_all_seeds_would_have():
    whole, merged = record([0, 1, 2, 3, 4]), merge.merge([record([2, 4]), record([0, 1, 3])])
    for part in ("seeds", "settings", "arms", "resampled", "shared_parts", "scale"):
        assert merged["results"][part] == whole["results"][part], part
    for claim in ("trend", "exact", "rate"):
        assert merged["results"]["claims"][claim] == whole["results"]["claims"][claim], claim
    ours, theirs = merged["results"]["claims"]["better"], whole["results"]["claims"]["better"]
    assert (ours["ours"], ours["baseline"]) == (theirs["ours"], theirs["baseline"])
    assert ours["item_se"] == pytest.approx(0.1)
    claim = {"kind": "difference", "delta": 0.5, "unit": "points"}
    assert claims.judge(claim, ours).effect == claims.judge(claim, theirs).effect


def test_choices_and_provenance_say_which_seeds_went_together():
    merged = merge.merge([record([2, 4]), record([0, 1])])
    assert merged["results"]["choices"] == {
        "A": {"grid": {"lr": [1, 2]}, "chosen": {"seeds 0 to 1": 0, "seeds 2, 4": 2}}
    }
    source = merged["provenance"]
    assert [group["seeds"] for group in source["groups"]] == [[0, 1], [2, 4]]
    assert [group["result_hash"] for group in source["groups"]] == ["h0", "h2"] and source["result_hash"] is None
    assert (source["seconds"], source["peak_memory_mib"], source["timings"]) == (4.0, 2.0, {"fit": 2.0})
    assert source["device_name"] == "cpu 0, cpu 2" and source["dirty"] is True and source["commit"] == "c"
    assert source["results_digest"] == results_digest(merged["results"])


def test_the_share_of_common_items_is_never_taken_too_small():
    """Of the items' own scores a record keeps the standard error only."""
    g = random.Random(0)
    rows = [[g.random() for _ in range(50)] for _ in range(4)]
    parts = [record([0, 1]), record([2, 3])]
    for part, items in zip(parts, (rows[:2], rows[2:])):
        part["results"]["claims"]["better"]["item_se"] = item_standard_error(items)
    merged = merge.merge(parts)["results"]["claims"]["better"]["item_se"]
    assert merged >= item_standard_error(rows) > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["results"].update(seeds=[1, 5]), "a seed in common"),
        (lambda r: r["results"]["settings"].update(n=11), "differ in settings"),
        (lambda r: r["results"]["claims"].pop("rate"), "differ in the claims recorded"),
        (lambda r: r["results"]["claims"]["trend"].update(x=[0, 2]), "differ in x of claim 'trend'"),
        (lambda r: r["results"]["choices"]["A"]["grid"].update(lr=[3]), "differ in the grid of 'A'"),
        (lambda r: r["provenance"]["data"].update(d="2"), "differ in data"),
        (lambda r: r.update(slug="other"), "differ in paper"),
        (lambda r: r["results"]["claims"]["rate"]["trials"].__setitem__(0, "many"), "the merged record of toy, at"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(change, says):
    other = copy.deepcopy(record([2, 3]))
    change(other)
    with pytest.raises(RecordError, match=says):
        merge.merge([record([0, 1]), other])


def test_at_full_on_a_cluster_the_seeds_of_the_paper_are_jobs(monkeypatch):
    assert merge.by_seed("full", "slurm")
    assert not merge.by_seed("full", "local") and not merge.by_seed("small", "slurm")
    monkeypatch.setattr(merge, "describe", lambda slug: {"seeds": {"full": 3}})
    runs = merge.group_runs("toy", "full")
    assert [(run.name, run.seeds) for run in runs] == [("toy+0-0", (0,)), ("toy+1-1", (1,)), ("toy+2-2", (2,))]
    assert [run.name for run in merge.group_runs("toy", "full", [7, 4])] == ["toy+4-4", "toy+7-7"]


def test_a_merged_record_is_of_todays_source_where_all_its_runs_are(monkeypatch):
    merged = merge.merge([record([2, 4]), record([0, 1])])
    assert keys.hashes(merged) == [([0, 1], "h0"), ([2, 4], "h2")]
    assert keys.hashes(record([0, 1])) == [([0, 1], "h0")]
    monkeypatch.setattr(keys, "result_hash", lambda slug, scale, seeds: f"h{seeds[0]}")
    assert keys.is_todays(merged) and keys.is_todays(record([0, 1]))
    monkeypatch.setattr(keys, "result_hash", lambda slug, scale, seeds: f"h{min(seeds[0], 1)}")
    assert not keys.is_todays(merged) and keys.is_todays(record([0, 1]))


def test_groups_are_no_smaller_than_the_papers_own_run():
    assert [len(g) for g in merge.groups(list(range(20)), "small", 5)] == [5, 5, 5, 5]
    assert [len(g) for g in merge.groups(list(range(9)), "small", 5)] == [9]
    assert [len(g) for g in merge.groups(list(range(3)), "small", 5)] == [3]
    assert merge.groups([7, 3, 5], "full", 5) == [[3], [5], [7]]
    for n in range(1, 40):
        parts = merge.groups(list(range(n)), "small", 4)
        assert [s for part in parts for s in part] == list(range(n)) and min(map(len, parts)) >= min(n, 4)
