"""GraphFM: losses, views, link split and metrics against formulas, naive versions and kept libraries."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch.nn import functional as F

from shared import gcn, graph
from shared import seeds as stream
from tests.conftest import definitions
from tests.test_full_data import planetoid

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def fm():
    ns = definitions("graph_fm")
    cfg = SimpleNamespace(contrasted=9, pieces=4, width=6, test_links=0.2, link_pairs=50, epochs=3, check_every=1)
    for part in vars(ns).values():  # what the notebook sets in cells that are not run here
        inner = vars(part).values() if isinstance(part, type) else ()
        for function in (part, *inner):
            names = getattr(function, "__globals__", {})
            if names.get("__name__") == "graph_fm":
                names.update(DEVICE=CPU, cfg=cfg, PENALTIES=(0.3, 3.0))
    return ns


def random_graph(n=12, seed=0, chance=0.3):
    """Symmetric, with one node that has no edge."""
    A = np.triu(np.random.default_rng(seed).random((n, n)) < chance, 1)
    A[:, 4] = A[4] = False
    return sp.csr_matrix((A | A.T).astype(float))


def pair(n=15, d=4):
    g = torch.Generator().manual_seed(1)
    return [torch.randn(2, n, d, generator=g).double() for _ in range(2)]


def by_formula(name, a, b):
    """One seed, as the methods' own code writes them, entry by entry where it matters."""
    n, d = a.shape
    if name in ("barlow", "cca"):
        C = sum(torch.outer(a[i], b[i]) for i in range(n)) / n
        if name == "barlow":
            return sum((1 - C[i, j]) ** 2 if i == j else C[i, j] ** 2 / d for i in range(d) for j in range(d))
        out = -sum(C[i, i] for i in range(d))
        for z in (a, b):
            out = out + 1e-3 * ((torch.eye(d) - z.T @ z / n) ** 2).sum()
        return out
    u, v = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    if name == "bootstrap":
        return -sum(u[i] @ v[i].detach() for i in range(n)) / n
    if name == "masked_cosine":
        return sum((1 - u[i] @ v[i]) ** 2 for i in range(n)) / n
    out = 0
    for i in range(n):
        own = torch.exp(u[i] @ v[i] / 0.4)
        rest = sum(torch.exp(u[i] @ v[j] / 0.4) for j in range(n))
        rest = rest + sum(torch.exp(u[i] @ u[j] / 0.4) for j in range(n) if j != i)
        out = out - torch.log(own / rest) / n
    return out


LOSSES = ("barlow", "cca", "bootstrap", "contrast", "masked_cosine")


@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_the_formulas_of_the_methods_code(fm, name):
    a, b = pair()
    ours = getattr(fm, name)(a, b)
    assert ours.shape == (2,)
    for s in range(2):
        assert ours[s].item() == pytest.approx(by_formula(name, a[s], b[s]).item(), abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_a_naive_version(fm, name):
    a, b = (z.requires_grad_() for z in pair())
    ours = torch.autograd.grad(getattr(fm, name)(a, b).sum(), (a, b), allow_unused=True)
    for s in range(2):
        one = [z[s].detach().clone().requires_grad_() for z in (a, b)]
        naive = torch.autograd.grad(by_formula(name, *one), one, allow_unused=True)
        for x, y in zip(ours, naive):
            assert (x is None) == (y is None)
            assert x is None or (torch.allclose(x[s], y, atol=1e-8) and y.abs().max() > 1e-6)
    if name == "bootstrap":
        assert ours[1] is None, "the slow copy learns nothing by gradient"


def test_link_loss_is_the_logistic_one(fm):
    g = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 2, 9, generator=g)
    for s in range(2):
        want = F.binary_cross_entropy_with_logits(a[s], torch.ones(9)) + F.binary_cross_entropy_with_logits(
            b[s], torch.zeros(9)
        )
        assert fm.link_loss(a, b)[s].item() == pytest.approx(want.item(), abs=1e-6)


def test_the_convolution_agrees_with_torch_geometric(fm):
    from torch_geometric.nn import GCNConv

    graphs = [random_graph(seed=s) for s in range(2)]
    A = fm.matrix(fm.table_of(graphs))
    assert torch.allclose(A.to_dense(), graph.to_torch([graph.normalise(B, "gcn") for B in graphs]).to_dense())
    x = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    net = gcn.GCNs((5, 6, 3), [1, 2])
    out = fm.encode(net, A, x @ net.weights[0])[1]
    for s, B in enumerate(graphs):
        edges = torch.from_numpy(np.stack(B.nonzero())).long()
        peers = [GCNConv(*w.shape[1:], bias=False) for w in net.weights]
        for peer, w in zip(peers, net.weights):
            peer.lin.weight.data = w[s].detach().T.contiguous()
        h = torch.nn.BatchNorm1d(6, affine=False)(peers[0](x[s], edges)).relu()
        assert torch.allclose(peers[1](h, edges), out[s], atol=1e-5)


def test_dropped_edges_go_in_both_directions_and_loops_stay(fm):
    graphs = [random_graph(seed=s) for s in range(2)]
    table = fm.table_of(graphs)
    kept = fm.dropped(table, 0.5, [stream.torch(s, "test") for s in range(2)])
    A = fm.matrix(table, kept).to_dense()
    assert torch.allclose(A, A.T) and (A.diagonal() > 0).all()
    assert 24 < (A > 0).sum() < 24 + sum(B.nnz for B in graphs)
    none = fm.matrix(table, torch.zeros_like(kept)).to_dense()
    assert torch.allclose(none, torch.eye(24)), "without edges a node keeps itself"


def test_parts_have_the_edges_between_their_nodes(fm):
    graphs = [random_graph(seed=s) for s in range(2)]
    rows = torch.tensor([[0, 3, 4, 7, 9], [1, 2, 5, 10, 11]])
    A = fm.matrix(fm.induced(fm.table_of(graphs), rows)).to_dense()
    want = [graph.normalise(B[r][:, r], "gcn") for B, r in zip(graphs, rows.numpy())]
    assert torch.allclose(A, graph.to_torch(want).to_dense())


def test_hidden_edges_are_edges_and_are_gone(fm):
    graphs = [random_graph(20, seed=s) for s in range(2)]
    table = fm.table_of(graphs)
    kept, ends = fm.hide(table, 0.5, [stream.torch(s, "test") for s in range(2)])
    A = fm.matrix(table, kept).to_dense()
    for s, B in enumerate(graphs):
        for i, j in ends[s].tolist():
            assert B[i, j] == 1 and A[20 * s + i, 20 * s + j] == A[20 * s + j, 20 * s + i] == 0


def test_no_held_out_edge_passes_messages(fm):
    A = random_graph(60, chance=0.1)
    left, pairs = fm.split_links(A, 3, 7, 20)
    assert (left != left.T).nnz == 0 and left.nnz == A.nnz - 2 * 27
    seen = set()
    for part, (edges, fake) in pairs.items():
        assert len(edges) == len(fake)
        for (i, j), (k, m) in zip(edges, fake):
            assert A[i, j] == 1 and A[k, m] == A[m, k] == 0 and k < m
            assert (left[i, j] > 0) == (left[j, i] > 0) == (part == "train")
            seen |= {(i, j), (k, m)}
    assert len(seen) == A.nnz, "every pair once: edges and as many non-edges"


def test_auc_and_clusters_against_scikit_learn(fm):
    from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

    scores = np.random.default_rng(0).integers(0, 6, (3, 40)).astype(float)  # ties
    target = np.arange(40) < 15
    want = [100 * roc_auc_score(target, row) for row in scores]
    assert np.allclose(fm.auc(scores, 15), want)
    y = torch.arange(60) % 3
    Z = F.one_hot(y, 5).float() + 0.05 * torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    found = fm.cluster(Z[None], 3, [0])
    assert normalized_mutual_info_score(y, found[0]) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_a_collapsed_embedding_scores_chance_and_nothing_is_undefined(fm):
    rng = np.random.default_rng(1)
    graphs = [random_graph(60, s, 0.1) for s in range(2)]
    w = fm.make_world("test", graphs, [rng.normal(size=(60, 5)) for _ in graphs], [np.arange(60) % 3] * 2, [0, 1])
    flat = fm.standard(torch.ones(2, 60, 4))
    assert (flat == 0).all()
    assert (fm.predict_links(flat, w)["test"] == 50).all()
    assert np.allclose(fm.clusters(flat, w)["test"], 0) and np.isfinite(fm.classify(flat, w)["test"]).all()
    dead = flat.clone().requires_grad_()
    for name in LOSSES:
        value = getattr(fm, name)(dead, dead)
        slopes = torch.autograd.grad(value.sum(), dead, retain_graph=True)[0]
        assert torch.isfinite(value).all() and torch.isfinite(slopes).all(), name


@pytest.mark.parametrize("name", ["GBT", "CCA", "BGRL", "GRACE", "GraphMAE", "S2GAE"])
@pytest.mark.parametrize("sparse", [False, True])
def test_every_method_trains_on_wholes_and_parts_of_dense_and_sparse_features(fm, name, sparse):
    rng = np.random.default_rng(2)
    graphs = [random_graph(60, s, 0.1) for s in range(2)]
    x = rng.random((60, 8)) * (rng.random((60, 8)) < 0.4)
    features = sp.csr_matrix(x.astype(np.float32)) if sparse else [x, x]
    w = fm.make_world("test", graphs, features, [np.arange(60) % 3] * 2, [0, 1])
    for sample in (False, True):
        *_, Z = fm.fit(w, getattr(fm, name), (0.4, 0.01), w.left, sample)
        assert Z.shape == (2, 60, 6) and torch.isfinite(Z).all() and Z.std() > 0.01


FULL = {}  # the settings of `smoke` do for a test of the path of `full`


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    return {"cora": planetoid("cora", False, rng), "citeseer": planetoid("citeseer", True, rng)}
