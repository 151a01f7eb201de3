"""The nutrition label's numbers against naive versions and peers."""

import itertools

import networkx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mutual_info_score

from tests.conftest import definitions

nb = definitions("nutrition_label")
KINDS = {"size": "continuous", "count": "discrete", "kind": "nominal", "grade": "ordinal", "y": "nominal"}


def frame(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    data = pd.DataFrame(
        {
            "size": rng.lognormal(y, 1.0),
            "count": rng.poisson(1 + y),
            "kind": np.array(["a", "b", "c", "d"], object)[(y + rng.integers(0, 2, n)) % 4],
            "grade": np.array(["low", "high"], object)[rng.integers(0, 2, n)],
            "y": np.array(["u", "v", "w"], object)[y],
        }
    )
    data.loc[rng.random(n) < 0.1, "size"] = np.nan
    data.loc[rng.random(n) < 0.1, "kind"] = None
    data.iloc[5] = data.iloc[4]
    return data


@pytest.fixture(scope="module")
def toy():
    x, levels = nb.encode(frame(), KINDS)
    hot, starts = nb.one_hot(x, KINDS)
    counts = hot.T @ hot
    return x, hot, starts, counts, nb.mutual_information(counts, starts)


def test_mutual_information_is_scikit_learns(toy):
    _, hot, starts, _, mi = toy
    codes = [hot[:, a:b].argmax(1) for a, b in zip(starts[:-1], starts[1:])]
    want = [[mutual_info_score(u, v) for v in codes] for u in codes]
    np.testing.assert_allclose(mi, want, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_tree_is_networkx_maximum_spanning_tree(seed):
    weights = np.random.default_rng(seed).random((9, 9))
    weights = weights + weights.T
    graph = networkx.from_numpy_array(weights)
    want = {frozenset(e) for e in networkx.maximum_spanning_tree(graph).edges if len(set(e)) == 2}
    found = nb.chow_liu(weights)
    assert {frozenset(e) for e in found if e[1] is not None} == want
    placed = set()
    for column, parent in found:  # every parent comes before its children
        assert parent is None or parent in placed
        placed.add(column)


def test_answers_of_the_tree_are_those_of_its_whole_joint_table(toy):
    _, hot, starts, counts, mi = toy
    order = nb.chow_liu(mi)
    pairs = nb.tree_model(counts, starts, order)
    sizes = np.diff(starts)
    whole = np.zeros(sizes)
    for cell in itertools.product(*map(range, sizes)):
        p = 1.0
        for column, parent in order:
            own = starts[column] + np.arange(sizes[column])
            n = (
                counts[own, own] + 0.5
                if parent is None
                else counts[starts[parent] + cell[parent], own] + 0.5 / len(own)
            )
            p *= n[cell[column]] / n.sum()
        whole[cell] = p
    assert whole.sum() == pytest.approx(1)
    for a, b in itertools.combinations(range(len(sizes)), 2):
        others = tuple(k for k in range(len(sizes)) if k not in (a, b))
        got = pairs[starts[a] : starts[a + 1], starts[b] : starts[b + 1]]
        np.testing.assert_allclose(got, whole.sum(others), atol=1e-12)
    target = 4  # the class given all the rest, by brute force
    best = []
    for row in hot:
        cell = [row[u:v].argmax() for u, v in zip(starts[:-1], starts[1:])]
        cell[target] = slice(None)
        best.append(whole[tuple(cell)].argmax())
    np.testing.assert_array_equal(nb.guess(hot, pairs, starts, order, target), best)


def test_statistics_and_duplicates_are_those_of_pandas(toy):
    data = frame()
    fields = nb.compute_fields(toy[0], KINDS, 4)
    assert fields["metadata", "", "duplicates"] == pytest.approx(data.duplicated().mean())
    assert fields["metadata", "", "missing"] == pytest.approx(data.isna().to_numpy().mean())
    for name in ("size", "count"):
        want = data[name].describe()
        got = {k: v for (_, column, k), v in fields.items() if column == name}
        for ours, theirs in (
            ("min", "min"),
            ("median", "50%"),
            ("max", "max"),
            ("mean", "mean"),
            ("upper quartile", "75%"),
        ):
            assert got[ours] == pytest.approx(want[theirs])
        assert got["zeros"] == pytest.approx((data[name].dropna() == 0).mean())
        assert got["sd"] == pytest.approx(data[name].std(ddof=0))
    assert fields["statistics", "kind", "unique"] == data.kind.nunique()
    assert fields["statistics", "kind", "most frequent"] == data.kind.value_counts().max() / len(data)


def test_the_page_hides_small_counts_and_shows_the_strongest_pair():
    data = frame()
    data.loc[0, "kind"] = "rare"
    x, _ = nb.encode(data, KINDS)
    fields = nb.compute_fields(x, KINDS, 4)
    page = {row["field"]: row["label"] for row in nb.label_page(fields, len(x))}
    assert "least frequent under 5 rows" in page["kind"] and "under" not in page["y"]
    assert max((v, k[1]) for k, v in fields.items() if k[0] == "pairs")[1] in page


def test_fields_do_not_depend_on_the_order_of_the_rows(toy):
    x = toy[0]
    first, second = (nb.compute_fields(t, KINDS, 4) for t in (x, x[np.random.default_rng(3).permutation(len(x))]))
    assert list(first) == list(second)
    np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-9, atol=1e-12)


def test_leave_one_out_is_leaving_one_out(toy):
    _, hot, starts, *_ = toy
    x, y = hot[:40, : starts[4]], hot[:40, starts[4] :].argmax(1)
    with_one, goal = np.column_stack([np.ones(40), x]), np.eye(3)[y]
    hits = []
    for i in range(40):
        rest = np.arange(40) != i
        fit = Ridge(alpha=1.0, fit_intercept=False).fit(with_one[rest], goal[rest])
        hits.append(fit.predict(with_one[[i]]).argmax() == y[i])
    assert nb.ridge_loo(x, y) == pytest.approx(np.mean(hits))


def test_a_calibrated_reader_keeps_its_rate_of_false_alarms():
    rng, alarms = np.random.default_rng(0), []
    for _ in range(300):
        draws = rng.standard_t(4, (59 + 10, 12))
        alarms.append(nb.Reader(draws[:59], 100).alarm(draws[59:]).mean())
    assert 0.035 < np.mean(alarms) < 0.065


def test_a_defect_can_be_planted_where_few_rows_are_left():
    x = np.nan_to_num(nb.encode(frame(390), KINDS)[0])
    planted = nb.plant("thinned class", x, 200, 0.45, np.random.default_rng(1), KINDS, 4)
    assert planted.shape == (200, 5)


@pytest.mark.parametrize(
    "defect",
    [
        "missing",
        "missing by value",
        "duplicates",
        "stuck",
        "leak",
        "thinned class",
        "flipped labels",
        "unit",
        "selected rows",
        "shuffled",
    ],
)
def test_every_defect_keeps_the_size_and_changes_at_most_one_column(defect):
    x = np.nan_to_num(nb.encode(frame(400), KINDS)[0])
    planted = nb.plant(defect, x, 200, 0.45, np.random.default_rng(1), KINDS, 4)
    changed = [not np.array_equal(a, b, equal_nan=True) for a, b in zip(planted.T, x[:200].T)]
    assert planted.shape == (200, 5) and any(changed)
    if defect not in ("duplicates", "thinned class", "selected rows"):
        assert sum(changed) == 1


def test_a_planted_defect_is_the_furthest_field_on_other_data():
    rng = np.random.default_rng(0)
    height, sex = rng.normal(170, 10, 600), rng.integers(0, 2, 600)
    people = np.column_stack([height, 0.5 * height + rng.normal(0, 5, 600), sex])
    kinds = {"height": "continuous", "weight": "continuous", "sex": "nominal"}
    bad = people[:150].copy()
    bad[:50, 0] /= 2.54
    found = nb.odd_fields(bad, people[150:], kinds)
    assert any("height" in field[1] for field in found[:3])
    assert not nb.odd_fields(people[:150], people[150:], kinds, limit=20.0)


def test_own_data_takes_lists_and_refuses_bad_tables():
    rng = np.random.default_rng(0)
    people = np.column_stack([rng.normal(170, 10, 300), rng.normal(80, 9, 300), rng.integers(0, 2, 300)])
    kinds = {"height": "continuous", "weight": "continuous", "sex": "nominal"}
    new, old, infinite = people[:100].copy(), people[100:], people[:100].copy()
    new[:40, 0] = np.nan  # gaps are data here
    infinite[3, 1] = np.inf
    found = nb.odd_fields(new, old, kinds)
    assert found and found == nb.odd_fields(new.tolist(), old.tolist(), kinds)
    one_class = np.column_stack([new[:, :2], np.zeros(100)])
    assert any("sex" in field[1] for field in nb.odd_fields(one_class, old, kinds))
    for bad_new, bad_old, bad_kinds, match in (
        (new, old[:150], kinds, "twice as many"),
        (new[:0], old, kinds, "some rows"),
        (new[:, :2], old, kinds, "a column for each"),
        (new, old[:, :2], kinds, "a column for each"),
        (new[0], old, kinds, "a column for each"),
        ([], old, kinds, "a column for each"),
        (new[:, :1], old[:, :1], {"sex": "nominal"}, "two or more"),
        (new, old, {**kinds, "sex": "categorical"}, "nominal, ordinal"),
        (new, old, list(kinds), "nominal, ordinal"),
        (infinite, old, kinds, "infinite"),
        (new, np.concatenate([old, infinite]), kinds, "infinite"),
        (new.astype(str), np.full((200, 3), "tall"), kinds, "convert string"),
    ):
        with pytest.raises(ValueError, match=match):
            nb.odd_fields(bad_new, bad_old, bad_kinds)


def test_edges_of_the_fields():
    x = np.column_stack([np.full(30, 2.0), np.full(30, np.nan), np.zeros(30)])
    kinds = {"constant": "discrete", "missing": "continuous", "class": "nominal"}
    fields = nb.compute_fields(x, kinds, 2)
    assert np.isfinite(list(fields.values())).all()
    assert fields["statistics", "missing", "missing"] == 1
    assert fields["statistics", "constant", "sd"] == 0
    assert fields["metadata", "", "missing"] == pytest.approx(1 / 3)
    assert nb.correlation(np.ones(5), np.arange(5.0)) == 0.0
