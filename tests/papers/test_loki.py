"""Loki against loops, sampled weights, networkx and scikit-learn."""

import networkx as nx
import numpy as np
import pytest
import torch

from tests.conftest import definitions

lk = definitions("loki")


def graph_distance(graph):
    return np.asarray(nx.floyd_warshall_numpy(graph, nodelist=sorted(graph)))


def test_the_rule_against_loops():
    rng = np.random.default_rng(0)
    d2 = rng.random((4, 9))
    p = rng.dirichlet(np.ones(4), 50)
    naive = [min(range(9), key=lambda y: sum(row[k] * d2[k, y] for k in range(4))) for row in p]
    assert lk.frechet_mean(p, d2).tolist() == naive
    given = torch.tensor(p), torch.tensor(d2)
    assert lk.frechet_mean(*given).tolist() == naive
    assert lk.frechet_mean(given[0] * torch.rand(50, 1), given[1]).tolist() == naive, "scaling a row moves nothing"
    assert (lk.frechet_mean(p, 1 - np.eye(4)) == p.argmax(1)).all()
    assert lk.frechet_mean(np.ones((3, 1)), d2[:1]).tolist() == [d2[0].argmin()] * 3, "one observed class"


GRAPHS = {
    "path": nx.path_graph(7),
    "star": nx.star_graph(5),
    "cycle": nx.cycle_graph(9),
    "even cycle": nx.cycle_graph(8),
    "complete": nx.complete_graph(6),
    "grid": nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4), ordering="sorted"),
    "random": nx.gnp_random_graph(10, 0.4, seed=3),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_loci_against_sampled_weights(name):
    """What sampled weights reach alone has a positive margin; a margin that is clearly positive is met by sampling."""
    rng, d = np.random.default_rng(1), graph_distance(GRAPHS[name])
    assert np.isfinite(d).all()
    for k in (1, 2, 3):
        seen = rng.permutation(len(d))[:k]
        d2 = d[seen] ** 2
        t = lk.margins(d2)
        w = np.concatenate([rng.dirichlet(np.ones(k), 20_000), rng.dirichlet(np.full(k, 0.2), 20_000), np.eye(k)])
        cost = w @ d2
        low = cost.min(1, keepdims=True)
        near = cost <= low + 1e-9
        met = near[near.sum(1) == 1].any(0)
        assert not (met & (t <= 0)).any(), "reached alone"
        assert not (near.any(0) & (t < 0)).any(), "reached at all"
        assert met[t > 0.02].all()
        assert (t[seen] > 0).all(), "an observed class is reached by certainty"


def test_margins_of_known_cases():
    assert (lk.margins(1.0 - np.eye(5)[:3]) > 0).tolist() == [True] * 3 + [False] * 2
    d = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    assert (lk.margins(d[[1, 4]] ** 2.0) > 0).tolist() == [False, True, True, True, True, False]
    city = graph_distance(GRAPHS["grid"])
    t = lk.margins(city[[0, 11]] ** 2)
    assert (t >= 0).all() and ((t > 0) == np.isin(np.arange(12), [0, 11])).all(), "a grid is reached in ties"
    assert lk.margins(np.zeros((1, 1))).tolist() == [1.0], "one class in all"


@pytest.mark.parametrize("seed", range(8))
def test_the_locus_of_a_tree_is_its_paths_in_networkx(seed):
    rng = np.random.default_rng(seed)
    d = lk.random_tree(12, rng)
    tree = nx.from_numpy_array((d == 1).astype(int))
    assert nx.is_tree(tree) and np.array_equal(graph_distance(tree), d)
    seen = rng.permutation(12)[:4]
    paths = {v for a in seen for b in seen for v in nx.shortest_path(tree, a, b)}
    mine = np.isin(np.arange(12), list(paths))
    assert np.array_equal(lk.between(d, seen), mine)
    t = lk.margins(d[seen] ** 2)
    assert np.array_equal(t > 0, mine) and np.array_equal(t >= 0, mine), "no ties in a tree"
    leaves = [v for v in tree if tree.degree(v) == 1]
    assert lk.between(d, leaves).all(), "all leaves reach everything"


def test_random_trees_are_uniform():
    """Of four labelled nodes there are 16 trees, equally likely."""
    rng, counts = np.random.default_rng(2), {}
    for _ in range(8000):
        key = tuple(map(tuple, np.argwhere(np.triu(lk.random_tree(4, rng) == 1))))
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 16 and max(abs(c - 500) for c in counts.values()) < 110


def test_the_next_class_is_the_farthest():
    d = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    locus = np.isin(np.arange(9), [2, 3, 4])
    assert lk.next_class(d, locus, np.random.default_rng(0)) == 8
    tied = {int(lk.next_class(d, np.arange(9) == 4, np.random.default_rng(s))) for s in range(30)}
    assert tied == {0, 8}
    sizes = lk.grown(d, 2, 7, np.random.default_rng(0), "active")
    assert sizes == sorted(sizes) and sizes[-1] == 9, "the locus only grows, and all classes are found"
    for rule, least in (("random", 1), ("blind", 0)):
        sizes = lk.grown(d, 2, 7, np.random.default_rng(1), rule)
        steps = np.diff([size for size in sizes if size < 9])
        assert (steps >= least).all() and sizes[-1] == 9, "what is out of reach makes the locus larger"


@pytest.mark.parametrize("classes", [2, 5])
def test_the_classifier_agrees_with_scikit_learn(classes):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    rng = np.random.default_rng(3)
    y = np.arange(120) % classes
    x = rng.normal(size=(120, 30)) + 2 * rng.normal(size=(classes, 30))[y] * (rng.random((120, 1)) < 0.5)
    w = lk.one_vs_rest(torch.tensor(x), torch.tensor(y), classes, steps=800)
    ours = lk.probabilities(w, torch.tensor(x)).numpy()
    for k in range(classes):
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, y == k)
        assert np.abs(peer.predict_proba(x)[:, 1] - ours[:, k]).max() < 1e-4
    rough = lk.probabilities(lk.one_vs_rest(torch.tensor(x), torch.tensor(y), classes), torch.tensor(x)).numpy()
    assert np.abs(rough - ours).max() < 0.02 and (rough.argmax(1) == ours.argmax(1)).mean() > 0.98
    many = OneVsRestClassifier(LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)).fit(x, y)
    if classes > 2:
        assert (many.predict(x) == ours.argmax(1)).all()


def test_turned_pictures():
    x = torch.rand(3, 1, 14, 14)
    assert torch.allclose(lk.turned(x, torch.zeros(3)), x, atol=1e-5)
    quarter = lk.turned(x, torch.full((3,), 9.0))
    assert torch.allclose(quarter, torch.rot90(x, 1, (2, 3)), atol=1e-4) or torch.allclose(
        quarter, torch.rot90(x, -1, (2, 3)), atol=1e-4
    )


def test_scores_of_a_built_case():
    """Four classes on a path, the ends observed: Loki meets the middle, which the argmax cannot."""
    d2 = torch.tensor([[abs(a - b) ** 2 for a in range(4)] for b in range(4)]).float()
    p = torch.tensor([[2 / 3, 1 / 3], [1 / 3, 2 / 3], [1.0, 0.0]])
    y, seen = torch.tensor([1, 2, 0]), torch.tensor([0, 3])
    found = lk.score(p, y, d2, seen, [torch.arange(4)])
    assert found["Loki", "d2"] == 0 and found["argmax", "d2"] == pytest.approx(2 / 3)
    assert found["Loki, permuted", "d2"] == found["Loki, wrong", "d2"] == 0, "the identity deals nothing out"
    assert found["Loki", "new right"] == 100 and found["argmax", "new right"] == 0
    assert found["nearest observed", "d2"] == pytest.approx(2 / 3)
    flipped = lk.score(p, y, d2, seen, [torch.tensor([3, 1, 2, 0])])
    places = [3, 1, 2, 0]  # where each class goes
    other = [[d2[a, b] for b in places] for a in places]
    guess = [min(range(4), key=lambda c: sum(row[k] * other[seen[k]][c] for k in range(2))) for row in p]
    assert flipped["Loki, permuted", "d2"] == pytest.approx(np.mean([float(other[a][b]) for a, b in zip(y, guess)]))
    assert flipped["Loki, wrong", "d2"] == pytest.approx(np.mean([float(d2[a, b]) for a, b in zip(y, guess)]))
    top = seen[p.argmax(1)]
    assert flipped["argmax, permuted", "d2"] == pytest.approx(np.mean([float(other[a][b]) for a, b in zip(y, top)]))


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e6])
def test_own_data_does_not_depend_on_the_unit_of_the_distance(unit):
    grades = np.abs(np.subtract.outer(np.arange(6), np.arange(6))) * unit
    said = [[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.0, 0.4, 0.6], [0.2, 0.2, 0.6]]
    assert lk.predict_between(said, grades, [0, 2, 5]).tolist() == [0, 1, 4, 3]
    places = np.array([0, 15, 30, 45, 60, 20_000.0]) * unit  # one of them far away
    far = np.abs(np.subtract.outer(places, places))
    assert lk.predict_between([[0.5, 0.5]], far, [0, 4]).tolist() == [2]
    assert lk.predict_between([[0.5, 0.5, 0.0]], far, [0, 4, 5]).tolist() == [2]
    assert lk.predict_between([[0.3]], [[0.0]], [0]).tolist() == [0]  # a single class


def test_own_data():
    d = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    assert lk.predict_between([[0.5, 0.5], [1, 0], [0, 3]], d, [0, 4]).tolist() == [2, 0, 4]
    tie = 1 - np.eye(3)
    assert lk.predict_between([[0.5, 0.5]], tie, [1, 2]).tolist() == [1]
    assert lk.predict_between([[0.4, 0.4, 0.2]], tie, [2, 1, 0]).tolist() == [1]
    assert lk.predict_between([[0.25, 0.75]], d[:3, :3], [0, 2]).tolist() == [2], (
        "a tie of 1 and 2 goes to the likelier"
    )
    assert lk.predict_between([[1.0]], d, [3]).tolist() == [3], "one observed class"


@pytest.mark.parametrize(
    "probs, distance, observed, words",
    [
        ([[0.5, np.nan]], None, [0, 1], "missing"),
        ([[0.5, -0.5]], None, [0, 1], "numbers from 0"),
        ([[0.0, 0.0]], None, [0, 1], "no weight"),
        ([[0.5, 0.5]], None, [0, 9], "one row of distance"),
        ([[0.5, 0.5]], None, [0, 0], "twice"),
        ([[0.5, 0.5]], None, [0], "one row of distance"),
        ([[0.5, 0.5]], np.ones((3, 3)), [0, 1], "zeros on its diagonal"),
        ([[0.5, 0.5]], np.triu(np.ones((3, 3)), 1), [0, 1], "both directions"),
    ],
)
def test_own_data_refuses_bad_input(probs, distance, observed, words):
    distance = 1 - np.eye(3) if distance is None else distance
    with pytest.raises(ValueError, match=words):
        lk.predict_between(probs, distance, observed)
