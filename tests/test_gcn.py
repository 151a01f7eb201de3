"""Graph convolutional networks side by side: layer, sparse features, dropout."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from shared import gcn, graph


def random_graph(n=12, seed=0):
    """Symmetric, with one node that has no edge."""
    A = np.triu(np.random.default_rng(seed).random((n, n)) < 0.3, 1)
    A[:, 4] = A[4] = False
    return sp.csr_matrix((A | A.T).astype(float))


def test_both_layers_agree_with_torch_geometric():
    from torch_geometric.nn import GCNConv

    A = random_graph()
    x = np.random.default_rng(0).random((2, 12, 6)).astype(np.float32)
    net, scaled = gcn.GCNs((6, 5, 3), [1, 2]), graph.to_torch([graph.normalise(A, "gcn")] * 2)
    edges = torch.from_numpy(np.stack(A.nonzero())).long()
    for s in range(2):
        peers = []
        for weight, bias in zip(net.weights, net.biases):
            peers.append(GCNConv(*weight.shape[1:]))
            peers[-1].lin.weight.data = weight[s].detach().T.contiguous()
            peers[-1].bias.data = bias[s, 0].detach() + 0.1
            bias.data[s] += 0.1  # offsets start at zero
        want = peers[1](peers[0](torch.from_numpy(x[s]), edges).relu() * 0.5, edges)
        out = net(scaled, gcn.Features(list(x), 2), hidden=0.5)
        assert torch.allclose(want, out[s], atol=1e-6)
    assert not torch.equal(net.weights[0][0], net.weights[0][1])


def test_sparse_features_agree_with_dense_ones_dropped_out_alike():
    rng = np.random.default_rng(5)
    x = rng.random((7, 9)) * (rng.random((7, 9)) < 0.3)
    x[2] = 0  # a node without a word
    words = gcn.Features(sp.csr_matrix(x), 2)
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


def test_dropout_acts_on_the_inputs_and_keeps_their_mean():
    masks = gcn.masks([0, 1], "inputs", (400, 50))
    one, two = next(masks), next(masks)
    assert one.shape == (2, 400, 50) and set(one.unique().tolist()) == {0.0, 2.0}
    assert abs(one.mean().item() - 1) < 0.02 and not torch.equal(one, two) and not torch.equal(one[0], one[1])
    (third,) = {round(v, 4) for v in next(gcn.masks([0], "inputs", (200,), rate=0.25)).unique().tolist()} - {0.0}
    assert third == round(4 / 3, 4) and (next(gcn.masks([0], "inputs", (200,), rate=0)) == 1).all()
    with pytest.raises(ValueError, match="from 0 to below 1"):
        next(gcn.masks([0], "inputs", (3,), rate=1))


def test_a_network_does_not_depend_on_its_neighbours():
    together, alone = gcn.GCNs((4, 3, 2), [7, 8]), gcn.GCNs((4, 3, 2), [8])
    assert torch.equal(together.weights[0][1], alone.weights[0][0])
    assert torch.equal(together.weights[1][1], alone.weights[1][0])
    bound = (6 / 7) ** 0.5
    assert together.weights[0].abs().max() <= bound and together.weights[0].abs().max() > 0.5 * bound
