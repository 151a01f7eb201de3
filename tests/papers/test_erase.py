"""ERASE: rates, votes, layer, probe and robust loss against definitions, closed forms and kept libraries."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from shared import graph
from tests.conftest import definitions
from tests.test_full_data import planetoid

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def erase():
    ns = definitions("erase")
    for function in vars(ns).values():  # what the notebook sets in cells that are not run here
        if getattr(function, "__globals__", {}).get("__name__") == "erase":
            function.__globals__.update(DEVICE=CPU, DROPOUT=0.5)
    ns.GCNs.__init__.__globals__.update(DEVICE=CPU, DROPOUT=0.5)
    return ns


def random_graph(n=12, seed=0):
    """Symmetric, with one node that has no edge."""
    A = np.triu(np.random.default_rng(seed).random((n, n)) < 0.3, 1)
    A[:, 4] = A[4] = False
    return sp.csr_matrix((A | A.T).astype(float))


def world_of(erase, graphs, x, y, train, votes):
    splits = [(np.array(rows), np.array([0]), np.array([0])) for rows in train]
    return erase.make_world("test", graphs, x, y, splits, votes, range(len(graphs)))


# -- the loss ----------------------------------------------------------------------------------------------------


def rates_by_definition(z, labels, classes, eps):
    """With membership matrices, as the papers on coding rates write them; empty classes count nothing."""
    n, p = z.shape
    R = 0.5 * np.linalg.slogdet(np.eye(p) + p / (n * eps) * z.T @ z)[1]
    R_c = 0.0
    for k in range(classes):
        member = np.diag((labels == k).astype(float))
        size = np.trace(member) + 1e-8
        R_c += size / (2 * n) * np.linalg.slogdet(np.eye(p) + p / (size * eps) * z.T @ member @ z)[1]
    return R, R_c


def test_coding_rates_against_the_definition(erase):
    g = torch.Generator().manual_seed(1)
    Z, labels = torch.randn(2, 30, 4, generator=g).double(), torch.randint(3, (2, 30), generator=g)
    R, R_c = erase.coding_rates(Z, labels, 4, 0.1)  # class 3 is empty
    for s in range(2):
        want = rates_by_definition(Z[s].numpy(), labels[s].numpy(), 4, 0.1)
        assert R[s].item() == pytest.approx(want[0], abs=1e-6) and R_c[s].item() == pytest.approx(want[1], abs=1e-6)


def test_gradient_of_the_coding_rates_against_the_closed_form(erase):
    """dR/dZ = a Z (I + a Z'Z)^-1, and class by class alike with weight n_k / n."""
    g = torch.Generator().manual_seed(2)
    Z = torch.randn(1, 20, 3, generator=g).double().requires_grad_()
    labels, eps = torch.randint(3, (1, 20), generator=g), 0.2
    R, R_c = erase.coding_rates(Z, labels, 3, eps)
    (slope,) = torch.autograd.grad(R_c.sum() - 2 * R.sum(), Z)
    z, eye = Z[0].detach(), torch.eye(3, dtype=torch.float64)
    a = 3 / (20 * eps)
    want = -2 * a * z @ torch.linalg.inv(eye + a * z.T @ z)
    for k in range(3):
        rows = labels[0] == k
        zk, ak = z[rows], 3 / (rows.sum() * eps)
        want[rows] += rows.sum() / 20 * ak * zk @ torch.linalg.inv(eye + ak * zk.T @ zk)
    assert torch.allclose(slope[0], want)


def test_one_class_and_rows_of_zeros(erase):
    Z = torch.rand(1, 6, 3).double()
    R, R_c = erase.coding_rates(Z, torch.zeros(1, 6, dtype=torch.long), 1, 0.05)
    assert torch.allclose(R, R_c)
    R, R_c = erase.coding_rates(torch.zeros(1, 6, 3), torch.tensor([[0, 1, 2, 0, 1, 2]]), 3, 0.05)
    assert R.item() == R_c.item() == 0
    R, R_c = erase.coding_rates(torch.ones(1, 1, 3), torch.tensor([[1]]), 2, 0.05)  # one node
    assert torch.isfinite(R).all() and torch.allclose(R, R_c)


def test_robust_loss_against_its_formula(erase):
    g = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, 3, generator=g).double().requires_grad_()
    y = torch.randint(3, (2, 5), generator=g)
    p = logits.softmax(-1).gather(-1, y[..., None])[..., 0]
    assert torch.allclose(erase.robust_loss(logits, y, 0.7), (1 - p**0.7) / 0.7)
    assert torch.allclose(erase.robust_loss(logits, y, 1.0), 1 - p)
    assert torch.allclose(erase.robust_loss(logits, y, 0), F.cross_entropy(logits.mT, y, reduction="none"))
    (slope,) = torch.autograd.grad(erase.robust_loss(logits, y, 0.7).sum(), logits)
    onehot = F.one_hot(y, 3).double()
    assert torch.allclose(slope, (p**0.7)[..., None].detach() * (logits.softmax(-1) - onehot).detach())
    far = torch.tensor([[[0.0, 200.0]]]).requires_grad_()  # p = 0 to the last bit
    value = erase.robust_loss(far, torch.tensor([[0]]), 0.7)
    value.sum().backward()
    assert value.item() == pytest.approx(1 / 0.7) and torch.isfinite(far.grad).all()


# -- the votes ---------------------------------------------------------------------------------------------------


def test_semantic_labels_against_loops(erase):
    g = torch.Generator().manual_seed(2)
    A = graph.normalise(random_graph(), "column")
    Z, rows = torch.rand(1, 12, 4, generator=g), torch.tensor([[0, 3, 5, 7, 9, 11]])
    Y0 = erase.one_hot_rows(torch.tensor([[0, 1, 2, 0, 1, 2]]), rows, 12, 3)
    got = erase.semantic_labels(Z, Y0, rows, graph.to_torch([A]), beta=0.6, alpha=0.3, steps=2)
    z, y0 = Z[0].double().numpy(), Y0[0].double().numpy()
    means = [z[[r for r in rows[0].tolist() if y0[r, k] == 1]].mean(0) for k in range(3)]
    cosine = np.array([[abs(a @ c) / np.linalg.norm(a) / np.linalg.norm(c) for c in means] for a in z])
    y = np.exp(0.6 * y0 + 0.4 * cosine)
    y /= y.sum(1, keepdims=True)
    for _ in range(2):
        y = 0.7 * A.toarray() @ y + 0.3 * y
    assert got[0].tolist() == y.argmax(1).tolist()


def test_a_class_without_members_has_no_prototype_and_no_votes_are_invented(erase):
    rows = torch.tensor([[0, 1]])
    Y0 = erase.one_hot_rows(torch.tensor([[0, 0]]), rows, 3, 2)
    A = graph.to_torch([sp.csr_matrix((3, 3))])  # no edges at all
    got = erase.semantic_labels(torch.rand(1, 3, 4), Y0, rows, A, beta=0.5, alpha=0.6, steps=3)
    assert got.tolist() == [[0, 0, 0]]


def test_votes_among_training_nodes_against_dense_matrices(erase):
    A, train = random_graph(seed=1), [0, 2, 3, 4, 6, 9]
    votes = dict(beta=0.6, alpha=0.6, steps=3)
    x, y = np.random.default_rng(0).random((12, 5)), np.arange(12) % 3
    world = world_of(erase, [A], [x], [y], [train], votes)
    given = torch.tensor([[2, 1, 0, 1, 2, 0]])
    got = erase.denoised(world, given)[0].numpy()
    keep = np.zeros((12, 12))
    keep[np.ix_(train, train)] = A.toarray()[np.ix_(train, train)]
    sums = keep.sum(0)
    keep /= np.where(sums > 0, sums, 1)  # columns; node 4 has no edge
    want = np.zeros((12, 3))
    want[train, given[0]] = 1
    for _ in range(3):
        want = 0.4 * keep @ want + 0.6 * want
    assert np.allclose(got, want, atol=1e-6)


def test_a_training_step_lowers_the_loss_and_moves_no_label_by_gradient(erase):
    A, rng = random_graph(n=40, seed=3), np.random.default_rng(1)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 6)) + 2 * y[:, None]
    votes = dict(beta=0.6, alpha=0.6, steps=2)
    world = world_of(erase, [A], [x], [y], [np.arange(10)], votes)
    Y0 = erase.denoised(world, world.y[:, :10])
    net = erase.GCNs((6, 8, 8), [0])
    adam = erase.adam_of(net, 0.01, 0.0)
    values = []
    for _ in range(30):
        R, R_c = erase.coding_rates(net.encode(world.gcn, world.x), world.y, 2, 0.05)
        values.append((R_c - 2 * R).item())
        labels, loss = erase.training_step(net, adam, world, Y0, 1.0, 0.05, votes)
    assert values[-1] < values[0] and labels.shape == (1, 40) and not loss.requires_grad


# -- network and probe -------------------------------------------------------------------------------------------


def test_the_layer_agrees_with_torch_geometric(erase):
    from torch_geometric.nn import GCNConv

    A = random_graph()
    x = np.random.default_rng(0).random((2, 12, 6)).astype(np.float32)
    net, scaled = erase.GCNs((6, 5, 3), [1, 2]), graph.to_torch([graph.normalise(A, "gcn")] * 2)
    out = net.first(scaled, erase.Features(list(x), 2))
    edges = torch.from_numpy(np.stack(A.nonzero())).long()
    for s in range(2):
        peer = GCNConv(6, 5)
        peer.lin.weight.data = net.weights[0][s].detach().T.contiguous()
        peer.bias.data = net.biases[0][s, 0].detach()
        assert torch.allclose(peer(torch.from_numpy(x[s]), edges), out[s], atol=1e-6)
    assert not torch.equal(net.weights[0][0], net.weights[0][1])


def test_sparse_features_agree_with_dense_ones_dropped_out_alike(erase):
    rng = np.random.default_rng(5)
    x = rng.random((7, 9)) * (rng.random((7, 9)) < 0.3)
    x[2] = 0  # a node without a word
    words = erase.Features(sp.csr_matrix(x), 2)
    assert words.shape == (2, 7, 9) and words.kept == (np.count_nonzero(x),)
    W = torch.rand(2, 9, 4, requires_grad=True)
    mask = torch.rand(2, *words.kept)
    full_mask = torch.zeros(2, 7, 9)
    full_mask[:, torch.from_numpy(x > 0)] = mask
    dense = (torch.from_numpy(x).float() * full_mask) @ W
    out = words.times(W, mask)
    assert torch.allclose(out, dense, atol=1e-6)
    weight = torch.rand_like(dense)
    ours, theirs = (torch.autograd.grad((v * weight).sum(), W, retain_graph=True)[0] for v in (out, dense))
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.allclose(words.times(W, 1.0), torch.from_numpy(x).float() @ W, atol=1e-6)


def test_dropout_acts_on_the_inputs_and_keeps_their_mean(erase):
    masks = erase.dropout([0, 1], "inputs", (400, 50))
    one, two = next(masks), next(masks)
    assert one.shape == (2, 400, 50) and set(one.unique().tolist()) == {0.0, 2.0}
    assert abs(one.mean().item() - 1) < 0.02 and not torch.equal(one, two) and not torch.equal(one[0], one[1])


def test_the_probe_agrees_with_scikit_learn(erase):
    g = torch.Generator().manual_seed(0)
    Z = F.normalize(torch.randn(2, 200, 8, generator=g), dim=-1)
    rows = torch.arange(80).expand(2, -1)
    labels = (Z[:, :80, :3] + 0.2 * torch.randn(2, 80, 3, generator=g)).argmax(-1)
    got = erase.probe(Z, rows, labels, 3)
    for s in range(2):
        peer = LogisticRegression(C=1.0, max_iter=1000).fit(Z[s, :80].numpy(), labels[s].numpy())
        assert (peer.predict(Z[s].numpy()) == got[s].numpy()).mean() >= 0.99


def test_the_probe_with_one_class_names_it(erase):
    got = erase.probe(torch.rand(1, 9, 2), torch.tensor([[0, 1, 2]]), torch.tensor([[1, 1, 1]]), 3)
    assert got.tolist() == [[1] * 9]


def test_cosines_between_classes_against_loops(erase):
    g = torch.Generator().manual_seed(4)
    Z, y = F.normalize(torch.rand(1, 8, 3, generator=g).double(), dim=-1), torch.tensor([[0, 0, 1, 1, 1, 2, 0, 2]])
    test = torch.tensor([[0, 1, 2, 3, 5, 7]])
    z, own = Z[0][test[0]].numpy(), y[0][test[0]].numpy()
    other = [abs(z[i] @ z[j]) for i in range(6) for j in range(6) if own[i] != own[j]]
    assert erase.between_classes(Z, y, test).item() == pytest.approx(np.mean(other))


def test_noise_has_its_rate_and_pairs_name_one_partner(erase):
    y = torch.arange(70) % 7
    world = SimpleNamespace(K=7, seeds=[3], y=y[None], train=torch.arange(70)[None], val=torch.arange(70)[None])
    for noise, wrong in (("symmetric 0", 0), ("symmetric 0.3", 21), ("asymmetric 0.5", 35)):
        labels, validation = erase.noisy(world, noise)
        assert (labels != y).sum() == wrong == (validation != y).sum()
    partners = {(int(a), int(b)) for a, b in zip(y, labels[0]) if a != b}
    assert len(partners) == 7  # one partner for each class, drawn: not the next one everywhere
    assert len({(b - a) % 7 for a, b in partners}) > 1


def test_own_data_takes_words_and_refuses_what_it_cannot_read(erase):
    rng = np.random.default_rng(0)
    A = np.kron(np.eye(2), 1 - np.eye(8))
    x, known, words = (
        np.repeat([[1.0, 0], [0, 1]], 8, 0) + 0.1 * rng.random((16, 2)),
        [0, 1, 8, 9],
        ["a", "a", "b", "b"],
    )
    erase.correct_on_graph.__globals__["CORA_VOTES"] = {"beta": 0.6, "alpha": 0.6, "steps": 5}
    found, doubted = erase.correct_on_graph(A, x, words, known, epochs=20)
    assert found.tolist() == ["a"] * 8 + ["b"] * 8 and not doubted.any()
    one_way = A.copy()
    one_way[0, 9] = 1
    for bad, features, y, why in (
        (one_way, x, words, "symmetric"),
        (A[:9, :9], x, words, "row of x for each node"),
        (A, x, words[:2], "one label a row"),
        (A, x, ["a"] * 4, "two classes"),
        (A, x * np.nan, words, "missing or infinite"),
    ):
        with pytest.raises(ValueError, match=why):
            erase.correct_on_graph(bad, features, y, known)


FULL = {}  # the settings of `smoke` do for a test of the path of `full`


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cora": planetoid("cora", False, rng), "citeseer": planetoid("citeseer", True, rng)}
