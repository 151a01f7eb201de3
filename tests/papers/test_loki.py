"""Loki: rule, locus, choice of classes and classifier against loops, networkx, sampled weights and scikit-learn."""

import networkx as nx
import numpy as np
import pytest
import torch

from shared.data import load
from shared.data.wordnet import tree_distance, without
from tests.conftest import definitions


@pytest.fixture(scope="module")
def loki():
    return definitions("loki")


def distances(graph):
    """Shortest paths between all nodes 0..n-1."""
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    n = graph.number_of_nodes()
    return np.array([[lengths[a][b] for b in range(n)] for a in range(n)], float)


def tree(n, seed):
    return nx.random_labeled_tree(n, seed=seed)


# -- the rule ----------------------------------------------------------------------------------------------------


def test_the_rule_against_loops(loki):
    rng = np.random.default_rng(0)
    d = distances(tree(12, 1))
    seen, p = [0, 3, 7, 9], rng.dirichlet(np.ones(4), 50)
    got = loki.frechet_mean(p, d[seen] ** 2)
    for row, answer in zip(p, got):
        cost = [sum(w * d[y, s] ** 2 for w, s in zip(row, seen)) for y in range(12)]
        assert cost[answer] == pytest.approx(min(cost), abs=1e-9)
    assert (loki.frechet_mean(3 * p, d[seen] ** 2) == got).all()  # weights need not add up to one


def test_the_rule_takes_tensors_and_a_single_class(loki):
    d2 = torch.tensor([[4.0, 1.0, 0.0, 1.0]])
    assert loki.frechet_mean(torch.ones(3, 1), d2).tolist() == [2, 2, 2]
    both = torch.tensor([[0.0, 1.0, 4.0], [4.0, 1.0, 0.0]])
    assert loki.frechet_mean(torch.tensor([[0.5, 0.5], [0.99, 0.01]]), both).tolist() == [1, 0]


# -- what can be reached -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph",
    [nx.path_graph(7), tree(9, 3), nx.cycle_graph(8), nx.complete_graph(6), nx.star_graph(5)],
    ids=["path", "tree", "cycle", "complete", "star"],
)
def test_loci_against_sampled_weights(loki, graph):
    """Whatever is answered for some weights has a margin from 0; whatever has one above 0 is answered, given enough."""
    d = distances(graph)
    rng = np.random.default_rng(0)
    seen = rng.permutation(len(d))[:3]
    t = loki.margins(d[seen] ** 2)
    sparse = np.vstack([rng.dirichlet(np.full(3, a), 20_000) for a in (0.1, 0.5, 1)])
    answered = np.unique(loki.frechet_mean(np.vstack([sparse, np.eye(3)]), d[seen] ** 2))
    assert (t[answered] >= 0).all() and set(np.flatnonzero(t > 0)) <= set(answered)
    assert (t[seen] > 0).all()


def test_two_corners_reach_a_grid_in_ties_only(loki):
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4))
    t = loki.margins(distances(grid)[[0, 15]] ** 2)
    assert (t >= 0).all() and np.flatnonzero(t > 0).tolist() == [0, 15]


def test_the_margin_of_a_single_class_and_of_twins(loki):
    assert loki.margins(np.zeros((1, 1))).tolist() == [1.0]
    t = loki.margins(np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))  # classes 0 and 1 are at the same place
    assert t[0] == t[1] == 0 and t[2] > 0


def test_the_locus_of_a_tree_is_its_paths_in_networkx(loki):
    for seed in range(5):
        graph = tree(15, seed)
        d, seen = distances(graph), np.random.default_rng(seed).permutation(15)[:4]
        paths = [nx.shortest_path(graph, a, b) for a in seen for b in seen]
        on_paths = sorted({node for path in paths for node in path})
        assert np.flatnonzero(loki.between(d, seen)).tolist() == on_paths
        assert np.flatnonzero(loki.margins(d[seen] ** 2) >= 0).tolist() == on_paths
    assert np.flatnonzero(loki.between(d, [6])).tolist() == [6]


def test_drawn_trees_are_trees_and_all_alike_likely(loki):
    rng, found = np.random.default_rng(0), {}
    for _ in range(3200):
        d = loki.random_tree(4, rng)
        edges = tuple(map(tuple, np.argwhere(np.triu(d == 1))))
        assert len(edges) == 3 and np.isfinite(d).all() and (d == d.T).all()
        found[edges] = found.get(edges, 0) + 1
    counts = np.array(list(found.values()))  # Cayley: 16 labelled trees of four nodes
    assert len(counts) == 16 and (np.abs(counts - 200) < 5 * np.sqrt(200)).all()


def test_the_next_class_is_the_farthest_and_ties_are_drawn(loki):
    d = distances(nx.path_graph(6))
    rng = np.random.default_rng(0)
    assert loki.next_class(d, np.arange(6) < 2, rng) == 5
    middle = np.isin(np.arange(6), [2, 3])
    assert {loki.next_class(d, middle, rng) for _ in range(40)} == {0, 5}


# -- the classifier ----------------------------------------------------------------------------------------------


def test_the_classifier_agrees_with_scikit_learn(loki):
    from sklearn.linear_model import LogisticRegression

    g = torch.Generator().manual_seed(0)
    x = torch.randn(150, 6, generator=g, dtype=torch.float64)
    y = (x[:, :3] + torch.randn(150, 3, generator=g, dtype=torch.float64)).argmax(1)
    w = loki.one_vs_rest(x, y, 3, steps=3000)
    p = loki.probabilities(w, x)
    for k in range(3):
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x.numpy(), (y == k).numpy())
        assert np.allclose(w[:-1, k], peer.coef_[0], atol=1e-4) and w[-1, k] == pytest.approx(
            peer.intercept_[0], abs=1e-4
        )
        assert np.allclose(p[:, k], peer.predict_proba(x.numpy())[:, 1], atol=1e-4)


def test_an_image_turned_by_ninety_degrees_is_rot90(loki):
    loki.turned.__globals__["ANGLES"] = 36
    x = torch.rand(2, 1, 8, 8)
    got = loki.turned(x, torch.tensor([0, 9]))
    assert torch.allclose(got[0], x[0], atol=1e-5)
    assert any(torch.allclose(got[1], x[1].rot90(k, (1, 2)), atol=1e-4) for k in (1, 3))


def test_columns_without_spread_stay_finite(loki):
    x = torch.cat([torch.rand(9, 2), torch.ones(9, 1)], 1)
    fit, new = loki.scaled(x, x + 1)
    assert torch.isfinite(fit).all() and torch.isfinite(new).all()
    assert torch.allclose(fit[:, :2].mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(fit[:, :2].std(0), torch.ones(2), atol=1e-5)


def test_scores_of_one_draw_against_loops(loki):
    rng = np.random.default_rng(2)
    d2 = torch.tensor(distances(tree(6, 2)) ** 2).float()
    seen, wrong = torch.tensor([1, 4, 5]), torch.tensor(rng.permutation(6))
    p, y = torch.tensor(rng.dirichlet(np.ones(3), 40)).float(), torch.tensor(rng.integers(6, size=40))
    got = loki.score(p, y, d2, seen, wrong)
    permuted = np.array([[d2[wrong[a], wrong[b]] for b in range(6)] for a in range(6)])
    wanted = {("argmax", "d2"): [], ("Loki", "d2"): [], ("Loki, permuted", "d2"): [], ("Loki, wrong", "d2"): []}
    new = []
    for row, truth in zip(p.double().numpy(), y.tolist()):
        answer = int(np.argmin([sum(w * float(d2[c, s]) for w, s in zip(row, seen)) for c in range(6)]))
        dealt = int(np.argmin([sum(w * permuted[c, s] for w, s in zip(row, seen)) for c in range(6)]))
        wanted["argmax", "d2"].append(float(d2[truth, seen[row.argmax()]]))
        wanted["Loki", "d2"].append(float(d2[truth, answer]))
        wanted["Loki, permuted", "d2"].append(permuted[truth, dealt])
        wanted["Loki, wrong", "d2"].append(float(d2[truth, dealt]))
        if truth not in seen.tolist():
            new.append(100.0 * (answer == truth))
    for key, values in wanted.items():
        assert got[key] == pytest.approx(np.mean(values), rel=1e-5), key
    assert got["Loki", "new right"] == pytest.approx(np.mean(new)) and got["argmax", "new right"] == 0


# -- data and own data -------------------------------------------------------------------------------------------


def test_wordnet_tree_and_texts():
    words = load("wordnet")
    assert words.x.shape == (len(words.label), 384) and np.bincount(words.label).tolist() == [54] * len(words.x_names)
    graph = nx.Graph([(i, p) for i, p in enumerate(words.parent) if p >= 0])
    lengths = nx.single_source_shortest_path_length(graph, 7)
    assert words.distance[7].tolist() == [lengths[b] for b in range(len(words.distance))]
    for i in range(0, len(words.id), 97):  # the class is not named in what the classifier reads
        assert not any(f" {word.lower()} " in f" {words.text[i].lower()} " for word in words.node_words[words.label[i]])
    assert torch.allclose(words.x.norm(dim=1), torch.ones(len(words.x)))


def test_words_of_the_class_are_struck_out():
    gloss = 'Any berry; a Berry or berries, not a strawberry; "two berries"'
    assert without(gloss, ["berry"]) == "Any ; a or , not a strawberry"
    assert without("a fish of fishes", ["fish"]) == "a of"
    assert tree_distance([-1, 0, 0, 1]).tolist() == [[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 3], [2, 1, 3, 0]]
    with pytest.raises(ValueError, match="circle"):
        tree_distance([1, 0])
    with pytest.raises(ValueError, match="more than one root"):
        tree_distance([-1, -1])


LINE = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))


def test_own_data_breaks_ties_by_weight_and_takes_lists(loki):
    own = loki.predict_between
    assert own([[0.5, 0.5], [1, 0], [0, 2]], LINE.tolist(), [0, 4]).tolist() == [2, 0, 4]
    one = 1 - np.eye(3)
    assert own([[0.5, 0.5, 0], [0.2, 0.2, 0.6]], one, [2, 1, 0]).tolist() == [1, 0]  # 1 and 2 tie: the lower row


@pytest.mark.parametrize(
    ("probs", "distance", "observed", "words"),
    [
        ([[0.5, np.nan]], LINE, [0, 4], "missing or infinite"),
        ([[0.5, -0.1]], LINE, [0, 4], "from 0"),
        ([[0.0, 0.0]], LINE, [0, 4], "no weight at all"),
        ([[0.5, 0.5]], LINE[:4], [0, 4], "N rows, N columns"),
        ([[0.5, 0.5]], LINE + np.triu(LINE), [0, 4], "same in both directions"),
        ([[0.5, 0.5]], LINE, [0, 5], "one row of distance for each column"),
        ([[0.5, 0.5]], LINE, [0, 1, 2], "one row of distance for each column"),
        ([[0.5, 0.5]], LINE, [0.0, 4.0], "one row of distance for each column"),
        ([[0.5, 0.5]], LINE, [4, 4], "names a class twice"),
    ],
)
def test_own_data_refuses_bad_input(loki, probs, distance, observed, words):
    with pytest.raises(ValueError, match=words):
        loki.predict_between(probs, distance, observed)


FULL = {"images": 400, "draws": 1, "trees": 4}  # `full` with the sizes of `smoke`: no file is downloaded
