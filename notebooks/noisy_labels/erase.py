# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown] tags=["card"]
# # ERASE: Error-Resilient Representation Learning on Graphs for Label Noise Tolerance
#
# Ling-Hao Chen, Yuanshuo Zhang, Taohua Huang, Liangcai Su, Zeyi Lin, and others. *CIKM 2024*. [arXiv 2312.08852](https://arxiv.org/abs/2312.08852) · [the authors' code](https://github.com/eraseai/erase) (custom, non-commercial research only) · {cite}`erase`
#
# **In one line.** Node labels are corrected by votes of neighbours and of class prototypes, and a coding-rate loss sets the classes at right angles; against cross entropy, label propagation and both combined.
#
# **Part.** Noisy labels and label errors. **Fidelity**: method. Votes, loss, probe and noise are the paper's; graphs are other and smaller below the scale `full`, the encoder is convolutional, and its tables could not be read.
#
# **The published run**: 400 epochs of graph attention networks on five citation graphs, 10 runs each; hardware and time not stated in what could be read. **This notebook**: at `small` about two minutes of one core. At `full` the paper's graphs Cora and CiteSeer with the authors' width and 400 epochs, for one GPU; never run. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/noisy_labels/erase.ipynb).

# %% tags=["setup", "hide-cell"]
# Set-up: the book's own package `shared` and what this paper needs.
# Where all is there, it does nothing.
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = "git+https://github.com/imperfect-labels/book@main"
SOURCE = os.environ.get("BOOK_SOURCE", SOURCE)


def is_the_book():
    try:
        module = importlib.import_module("shared")
    except Exception:
        return False  # no package of that name, or one that cannot be imported
    return getattr(module, "__book__", None) == "imperfect-labels"


def use(folder):
    """Import `shared` from this folder, whatever else has that name."""
    for name in [m for m in sys.modules if m.split(".")[0] == "shared"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def checkout():
    """The clone of the book that this notebook lies in, if any."""
    here = pathlib.Path.cwd().resolve()
    for folder in (here, *here.parents):
        init = folder / "shared" / "__init__.py"
        if (folder / "_toc.yml").is_file() and init.is_file():
            return folder if "imperfect-labels" in init.read_text() else None


def why(said):
    """What to do about a failed installation, from what pip said."""
    if "No module named pip" in said:
        return "this Python has no pip; run `python -m ensurepip`."
    if "Cannot find command 'git'" in said:
        return "git is missing; install it."
    network = ("resolve host", "onnection", "timed out", "unreachable", "proxy")
    if any(word in said for word in network):
        return "the network did not answer; check it."
    return "pip says: " + (said.strip().splitlines() or ["nothing"])[-1]


def install():
    """Put the package into a folder of this user's own, whole or not at all."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME")
    name = f"imperfect-labels-main-{user}"
    home = pathlib.Path(tempfile.gettempdir(), name)
    part = tempfile.mkdtemp(prefix=name, dir=home.parent)
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
    env = {k: v for k, v in os.environ.items() if k not in elsewhere}
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    pip += ["--target", part, SOURCE]
    done = subprocess.run(pip, capture_output=True, text=True, env=env)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        cause = why(done.stderr + done.stdout)
        then = "Then run this cell again."
        sys.exit(f"Could not install {SOURCE}: {cause} {then}")
    try:  # another kernel may be at it too: either copy will do
        if home.exists():
            os.rename(home, tempfile.mkdtemp(dir=home.parent) + "/old")
        os.rename(part, home)
        return home
    except OSError:
        return part


clone = checkout()
found = importlib.util.find_spec("shared") if clone else None
origin = pathlib.Path(found and found.origin or "nowhere")
if clone and clone not in origin.parents:
    use(clone)
if not is_the_book():
    use(install())

import shared

shared.ensure("erase")

# %% tags=["parameters"]
scale = None  # "smoke", "small" or "full"; None: $BOOK_SCALE, else "small"
seeds = None  # a count or a list; None: $BOOK_SEEDS, else what the scale says
# %% [markdown]
# ## The idea
#
# A graph, a text or a picture at every node, and a label at very few of them: this is the everyday problem of **node
# classification**. Citation networks are the textbook case (which field is this article from?), and here it will be the packages
# of an operating system. A graph neural network averages each node's features with those of its neighbours
# {cite}`kipf2017gcn`. It needs few labels, because every label speaks for a neighbourhood.
#
# That is also its weakness. With twenty labels per class, six wrong ones are a third of all that is known about the class, and each of them
# speaks for a neighbourhood too. The network spreads the error along the edges.
#
# But a graph can also *find* errors. Neighbours tend to be of one class, so they can vote on each other's labels. And
# a node that looks like the members of another class gives itself away by its features. ERASE {cite}`erase` uses
# both votes, again and again during training, and combines them with a second idea: **do not ask the network for class
# probabilities at all.** Ask it for a representation in which every class fills a subspace of its own, at right
# angles to the others. How well that is achieved is measured by a volume, the *coding rate*
# {cite}`ma2007coding,yu2020mcr2`. A subspace is set by the many. A few strangers in the class bend it little,
# whereas under cross entropy each wrong label is a demand that can be met to the letter.
#
# A classifier comes only at the end: a linear probe on the finished representation, and its labels are not the given
# ones but those that the two votes have arrived at.

# %% tags=["hide-input"]
import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
import torch
from shared import plots
from shared.corrupt import symmetric
from shared.data import load
from shared.graph import (
    dependency_graph,
    largest_part,
    normalise,
    propagate,
    spread,
    to_torch,
)
from shared.paper import Paper
from torch import nn
from torch.nn import functional as F

paper = Paper("erase", scale=scale, seeds=seeds)
plots.style()
cfg = paper.settings(
    nodes=(150, 500, None),
    classes=(5, 5, None),
    mean_degree=(5, 5, None),
    homophily=(0.8, 0.8, None),
    labels_per_class=(10, 20, None),
    n_val=(30, 100, None),
    width=(16, 32, 256),
    outputs=(16, 32, 512),
    epochs=(3, 80, 400),
    lr=(0.01, 0.01, 1e-3),
    rates=((0.1, 0.5), (0.1, 0.3, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5)),
    erase_eps=((0.05,), (0.01, 0.05, 0.25), (0.01, 0.05, 0.4)),
    decays=((5e-4,), (5e-4, 5e-3, 5e-2), (5e-4, 5e-3, 5e-2)),
    lp_alphas=((0.8,), (0.5, 0.8, 0.95), (0.5, 0.8, 0.95)),
)
SECTIONS = ("admin", "net", "science", "sound", "x11")
VOTES = dict(beta=0.6, alpha=0.6, steps=5)  # the authors' values for Cora
CITESEER_VOTES = dict(beta=0.7, alpha=0.6, steps=4)
GAM1, GAM2 = 1.0, 2.0
DROPOUT, DECAY = 0.5, 5e-4
MIDDLE = cfg.rates[len(cfg.rates) // 2]  # noise rate for tuning and ablations
KINDS = ("symmetric", "asymmetric")
S = len(paper.seeds)

# %% [markdown]
# ## The method
#
# ### The coding rate, a volume
#
# How many bits does it take to store $n$ vectors with $p$ coordinates, up to a small error? The more directions they fill, the
# more bits. For vectors in the rows of $Z$ and an allowed error that a constant $\epsilon$ sets, the answer is
#
# $$R(Z)=\tfrac12\log\det\Bigl(I+\gamma_1\tfrac{p}{n\,\epsilon}\,Z^\top Z\Bigr).$$
#
# Stored class by class, each in its own code, they take the weighted sum over the $K$ classes, with $n_k$ members and rows $Z_k$:
#
# $$R_c(Z)=\tfrac12\sum_{k=1}^K\frac{n_k}{n}\log\det\Bigl(I+\tfrac{p}{n_k\epsilon}\,Z_k^\top Z_k\Bigr).$$
#
# A good representation has a large $R$ (all together fill the space) and a small $R_c$ (each class is thin). The loss
# is $\mathcal L=-\gamma_2R+\gamma_1R_c$, with $\gamma_1=1$ and $\gamma_2=2$. Papers on coding rates write
# $\epsilon^2$; the authors' code divides by $\epsilon$, and so do we.
#
# In the code a leading axis of length `S` holds one network per seed. The blocks of the classes are cut out and
# padded with zero rows, which change nothing in $Z_k^\top Z_k$.


# %%
def class_blocks(Z, labels, K):
    """Z (S, n, p), labels (S, n) -> rows by class (S, K, most, p), zero rows below; sizes (S, K)."""
    member = F.one_hot(labels, K)  # (S, n, K)
    size = member.sum(1)
    place = (member.cumsum(1) * member).sum(-1) - 1  # rank of a node within its class
    seed = torch.arange(len(Z), device=Z.device)[:, None]
    blocks = Z.new_zeros(len(Z), K, int(size.max()), Z.shape[-1])
    return blocks.index_put((seed, labels, place), Z), size


def coding_rates(Z, labels, K, eps, gam1=1.0):
    """Z (S, n, p) and labels (S, n) -> R (S,) and R_c (S,); empty classes count nothing."""
    n, p = Z.shape[-2:]
    eye = torch.eye(p, dtype=Z.dtype, device=Z.device)
    blocks, size = class_blocks(Z, labels, K)
    grams = blocks.mT @ blocks  # (S, K, p, p)
    R = torch.logdet(eye + gam1 * p / (n * eps) * grams.sum(1)) / 2
    each = p / (size.clamp(min=1) * eps)
    parts = torch.logdet(eye + each[..., None, None] * grams) / 2
    return R, (size / n * parts).sum(-1)


# %% [markdown]
# Here is what the loss wants, on the smallest case there is: two classes, each a bundle of vectors along a line in the plane. How
# does $\gamma_2R-\gamma_1R_c$ depend on the angle between the lines, when some vectors carry the label of the other class?

# %% mystnb={"figure": {"caption": "What the coding-rate objective rewards for two classes on two lines in the plane, against the angle between the lines, for three shares of wrong class memberships. The peak stays at the right angle; wrong memberships lower it.", "name": "fig-erase-angle"}, "image": {"alt": "Three curves over the angle from 0 to 180 degrees, all with their maximum at 90 degrees. The more memberships are wrong, the lower and flatter the curve."}} tags=["hide-input"]
angles = np.linspace(0, 180, 61)
fig, ax = plt.subplots(figsize=(5.6, 2.9))
for wrong, color, marker in ((0.0, 0, "o"), (0.2, 1, "s"), (0.4, 2, "^")):
    rad = torch.tensor(np.deg2rad(angles))
    second = torch.stack([rad.cos(), rad.sin()], -1)
    first = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(61, 2)
    Z = torch.cat(
        [first[:, None].expand(-1, 50, -1), second[:, None].expand(-1, 50, -1)], 1
    )
    labels = (torch.arange(100) >= 50).long()
    labels[: int(50 * wrong)] = 1
    labels[50 : 50 + int(50 * wrong)] = 0
    R, R_c = coding_rates(Z, labels.expand(61, -1), 2, eps=0.05)
    style = dict(color=plots.COLORS[color], marker=marker, markevery=10)
    ax.plot(angles, GAM2 * R - R_c, label=f"{100 * wrong:.0f} % wrong", **style)
ax.set(xlabel="angle between the two lines, degrees", ylabel="objective, nats")
ax.set_xticks([0, 45, 90, 135, 180])
ax.legend()
plt.show()

# %% [markdown]
# Wrong memberships make the reward for the right angle smaller but do not move it. This is the whole argument for the loss, in one picture.
#
# ### Votes along the edges, before training
#
# Let $Y$ be the table of given labels: one row per node, a one for the given class of each training node, zeros
# elsewhere. First the training nodes vote among themselves. Of all edges only those between two training nodes are kept, $A_1$. Then
# $T$ times
#
# $$Y\leftarrow(1-\alpha)\,A_1D_1^{-1}\,Y+\alpha\,Y .$$
#
# $A_1D_1^{-1}$ scales **columns**: a node shares itself out among its neighbours, so one with many neighbours
# whispers to each. (An average over neighbours would scale rows.) Call the result $Y^0$; it stays fixed. In a
# sparse graph few training nodes have a neighbour among the training nodes, so do not expect much of this step alone.
#
# ### Votes of features and edges, during training
#
# In every epoch, without gradient, each class gets a prototype $c_k$, the mean of $Z$ over the training nodes whose
# largest entry of $Y^0$ is $k$. Every node of the graph compares itself with all prototypes, $S_{ik}=|\cos(Z_i,c_k)|$, and both sources are mixed:
#
# $$\hat Y=\mathrm{softmax}\bigl(\beta\,Y^0+(1-\beta)\,S\bigr)\ \text{row by row},\qquad
# \hat Y\leftarrow(1-\alpha)\,AD^{-1}\hat Y+\alpha\,\hat Y\quad T\text{ times}.$$
#
# The largest entry of each row is the node's **semantic label**. Note that *all* nodes receive one, and
# that all nodes enter the loss. The authors call propagation *decoupled*: labels travel along the edges by these plain sums, outside of the network and its gradient.


# %%
def one_hot_rows(labels, rows, n, K):
    """Given labels (S, m) at rows (S, m) -> table (S, n, K), zero rows elsewhere."""
    table = torch.zeros(len(labels), n, K, device=labels.device)
    return table.scatter(
        1, rows[..., None].expand(-1, -1, K), F.one_hot(labels, K).float()
    )


def semantic_labels(Z, Y0, rows, A, beta, alpha, steps):
    """Z (S, n, p), Y0 (S, n, K), rows (S, m) of training nodes -> labels (S, n)."""
    seed = torch.arange(len(Z), device=Z.device)[:, None]
    own = F.one_hot(Y0[seed, rows].argmax(-1), Y0.shape[-1]).float()  # (S, m, K)
    prototypes = F.normalize(
        own.mT @ Z[seed, rows], dim=-1
    )  # sums: only the angle counts
    similarity = (F.normalize(Z, dim=-1) @ prototypes.mT).abs()
    mixed = (beta * Y0 + (1 - beta) * similarity).softmax(-1)
    return propagate(A, mixed, steps, alpha).argmax(-1)


# %% [markdown]
# ### Encoder
#
# The encoder is a graph convolutional network with two layers, $H\leftarrow \tilde A\,(HW)+b$, where $\tilde A$ is the
# symmetrically normalised adjacency with self-loops. (The authors use graph attention.) After the first layer come a leaky ReLU and a division of every row by the sum of its
# absolute values; after the second the same division, then a ReLU. With `A=None` no information flows
# along edges and the same class is a plain perceptron, one of our baselines.


# %%
def generator(seed, stream):
    """One random stream for each purpose, so that arms differ in nothing else."""
    return torch.Generator().manual_seed(100 * seed + stream)


class GCNs(nn.Module):
    """S independent graph convolutional networks with two layers: (S, n, d) -> (S, n, out)."""

    def __init__(self, sizes, seeds):
        super().__init__()
        streams = [generator(seed, 1) for seed in seeds]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, o in zip(sizes[:-1], sizes[1:]):
            draws = torch.stack([torch.rand(i, o, generator=g) for g in streams])
            self.weights.append(nn.Parameter((2 * draws - 1) * (6 / (i + o)) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, o)))

    def layer(self, number, A, x):
        h = x @ self.weights[number]
        return (h if A is None else spread(A, h)) + self.biases[number]

    def classify(self, A, x, mask=1.0):
        return self.layer(1, A, self.layer(0, A, x).relu() * mask)  # logits

    def encode(self, A, x, mask=1.0):
        h = F.normalize(F.leaky_relu(self.layer(0, A, x)), p=1, dim=-1)
        return F.normalize(self.layer(1, A, h * mask), p=1, dim=-1).relu()


def dropout_mask(streams, n, width, device):
    keep = torch.stack([torch.rand(n, width, generator=g) for g in streams]) >= DROPOUT
    return keep.to(device) / (1 - DROPOUT)


# %% [markdown]
# ### Training and probing
#
# One function trains ERASE and, by its options, every ablation. Without denoising $Y^0$ is the table of given labels; `beta=1`
# leaves out the prototypes, `steps=0` the propagation; `raw` takes the given labels of the training nodes as
# memberships and leaves all other nodes out of the loss.
#
# The probe is multinomial logistic regression on the rows of $Z$, scaled to length one, with the usual ridge penalty. It is fitted on the training nodes
# with their semantic labels. To fit `S` of them together we use a bound on the Hessian {cite}`bohning1992` that turns
# Newton's method into a few dozen steps with one fixed matrix.


# %%
def denoised(world, y_noisy):
    """Given labels (S, m) after the votes among training nodes: Y^0 (S, n, K)."""
    table = one_hot_rows(y_noisy, world.train, world.x.shape[1], world.K)
    votes = world.votes["steps"], world.votes["alpha"]
    return propagate(world.among_train, table, *votes)


def train_erase(world, y_noisy, eps, denoise=True, raw=False, A=None, **changes):
    n, K, rows = world.x.shape[1], world.K, world.train
    A = world.column if A is None else A
    Y0 = denoised(world, y_noisy) if denoise else one_hot_rows(y_noisy, rows, n, K)
    net = GCNs((world.x.shape[-1], cfg.width, cfg.outputs), paper.seeds).to(
        paper.device
    )
    adam = torch.optim.Adam(net.parameters(), cfg.lr, weight_decay=DECAY, amsgrad=True)
    streams = [generator(s, 2) for s in paper.seeds]
    seed = torch.arange(S, device=paper.device)[:, None]
    vote, log = world.votes | changes, []
    for _ in range(cfg.epochs):
        mask = dropout_mask(streams, n, cfg.width, paper.device)
        Z = net.encode(world.gcn, world.x, mask)
        with torch.no_grad():
            labels = y_noisy if raw else semantic_labels(Z, Y0, rows, A, **vote)
        R, R_c = coding_rates(Z[seed, rows] if raw else Z, labels, K, eps, GAM1)
        loss = (-GAM2 * R + GAM1 * R_c).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        right = R if raw else world.test_score(labels)
        log.append(torch.stack([R, R_c, right]).detach())
    with torch.no_grad():
        Z = net.encode(world.gcn, world.x)
        labels = semantic_labels(Z, Y0, rows, A, **vote)
    own = y_noisy if raw else labels.gather(1, rows)
    Z = F.normalize(Z, dim=-1)
    return SimpleNamespace(
        Z=Z,
        labels=labels,
        log=torch.stack(log).cpu().numpy(),  # (epochs, 3, S)
        predicted=probe(Z, rows, own, K),
        by_given=probe(Z, rows, y_noisy, K),
    )


@torch.no_grad()
def probe(Z, rows, labels, K, penalty=1.0, steps=60):
    """Logistic regression on rows (S, m) of Z (S, n, p) with labels (S, m); predictions (S, n)."""
    Z = F.pad(Z.double(), (0, 1), value=1.0)  # the last weight is the intercept
    x = Z[torch.arange(len(Z), device=Z.device)[:, None], rows]
    target = F.one_hot(labels, K).double()
    ridge = torch.full((Z.shape[-1],), penalty, dtype=Z.dtype, device=Z.device)
    ridge[-1] = 1e-6  # no penalty on the intercept
    bound = torch.linalg.inv(x.mT @ x / 2 + ridge.diag())
    w = Z.new_zeros(len(Z), Z.shape[-1], K)
    for _ in range(steps):
        w -= bound @ (x.mT @ ((x @ w).softmax(-1) - target) + ridge[:, None] * w)
    return (Z @ w).argmax(-1)


# %% [markdown]
# ## Sanity check
#
# Coding rates have closed forms. If class $k$ consists of $n_k$ copies of $c\,e_k$, the matrices are diagonal:
# $R=\frac12\sum_k\log(1+\frac{p\,n_kc^2}{n\epsilon})$ and $R_c=\frac12\sum_k\frac{n_k}{n}\log(1+\frac{p\,c^2}{\epsilon})$. With one class
# the two rates agree. The gradient of $R$ is $aZ(I+aZ^\top Z)^{-1}$ with $a=p/(n\epsilon)$. And column-normalised
# propagation shares out but neither creates nor destroys: the column sums of $Y$ must stay as they are, and on a
# path of three nodes the first step can be done by hand.

# %%
sizes, c, eps = torch.tensor([2, 3, 5]), 0.7, 0.05
labels = torch.repeat_interleave(torch.arange(3), sizes)[None]
Z = c * F.one_hot(labels, 4).double()  # p = 4, one direction unused
R, R_c = coding_rates(Z, labels, 4, eps)  # and one class that is empty
closed_R = 0.5 * torch.log(1 + 4 * sizes * c**2 / (10 * eps)).sum()
closed_Rc = 0.5 * np.log(1 + 4 * c**2 / eps)
assert (
    torch.isclose(R[0].double(), closed_R.double())
    and abs(R_c.item() - closed_Rc) < 1e-6
)

torch.manual_seed(0)
Z = torch.randn(2, 10, 4, dtype=torch.float64, requires_grad=True)
R, R_c = coding_rates(Z, torch.zeros_like(labels).expand(2, -1), 1, eps)
assert torch.allclose(R, R_c)
R.sum().backward()
a = 4 / (10 * eps)
formula = a * Z @ torch.linalg.inv(torch.eye(4, dtype=Z.dtype) + a * Z.mT @ Z)
assert torch.allclose(Z.grad, formula)

path = sp.csr_matrix(np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]))
once = propagate(to_torch([normalise(path, "column")]), torch.eye(3)[None], 1, 0.6)
by_hand = torch.tensor([[0.6, 0.2, 0], [0.4, 0.6, 0.4], [0, 0.2, 0.6]])
assert torch.allclose(once[0], by_hand) and torch.allclose(
    once.sum(1), torch.ones(1, 3)
)
print("Closed forms of both rates, gradient, propagation on a path: all agree.")

# %% [markdown]
# ## The experiment
#
# ### Two graphs
#
# At the scales `smoke` and `small`:
#
# **A block model.** Every seed draws a graph of its own: five equal classes, on average five neighbours, four of which are of the
# node's own class; features are a class mean plus much larger noise. Everything is known and everything is redrawn.
#
# **Packages of Debian.** An edge stands where one package depends on another or recommends it; hubs with more than 150 neighbours are
# dropped. We keep five sections of the archive and the largest part that hangs together. The section is the class, the features are sentence vectors
# of the description, reduced to 64 principal components (of all nodes, without labels). Degrees are uneven here. There is one archive,
# so all seeds share the graph, and half of its nodes, drawn once, are the test set of all. Each seed draws its training and validation
# nodes from the other half.
#
# At the scale `full` two of the paper's own graphs take their place, **Cora** and **Citeseer**: articles, linked by citation, with the words they use as
# features and their field as class. They come with a public split into training, validation and test nodes {cite}`yang2016planetoid`, which all seeds share; a seed
# draws the noise, the initialisation and the dropout.


# %%
def block_model(seed):
    rng = np.random.default_rng([seed, 7])
    n, K = cfg.nodes, cfg.classes
    y = np.arange(n) % K
    same = y[:, None] == y
    inner = cfg.mean_degree * cfg.homophily / (n / K - 1)
    outer = cfg.mean_degree * (1 - cfg.homophily) / (n - n / K)
    upper = np.triu(rng.random((n, n)) < np.where(same, inner, outer), 1)
    A = sp.csr_matrix((upper | upper.T).astype(float))
    x = 0.45 * rng.standard_normal((K, 64))[y] + rng.standard_normal((n, 64))
    return A, x, y, np.arange(n)


def debian():
    d = load("debian_packages")
    A, rows = dependency_graph(d)
    section = np.array(d.section)[rows]
    keep = np.flatnonzero(np.isin(section, SECTIONS))
    keep = keep[largest_part(A[keep][:, keep])]
    x = load("debian_minilm").numpy()[rows[keep]].astype(float)
    values, axes = np.linalg.eigh(np.cov(x.T))
    x = (x - x.mean(0)) @ axes[:, :-65:-1]  # 64 leading components
    y = np.searchsorted(SECTIONS, section[keep])
    return A[keep][:, keep].tocsr(), x / x.std(), y, keep


def split(seed, y, pool):
    """Training nodes (so many per class) and validation nodes from `pool`."""
    rng = np.random.default_rng([seed, 8])
    order = rng.permutation(pool)
    classes, m = range(cfg.classes), cfg.labels_per_class
    per_class = [order[y[order] == k][:m] for k in classes]
    chosen = np.concatenate(per_class)
    rest = order[~np.isin(order, chosen)]
    return chosen, rest[: cfg.n_val], rest[cfg.n_val :]


def make_world(name, parts, splits, K=cfg.classes, votes=VOTES):
    graphs, x, y, _ = zip(*parts)
    train, val, test = (
        torch.from_numpy(np.stack(p)).to(paper.device) for p in zip(*splits)
    )
    among = []
    for A, rows in zip(graphs, train.cpu().numpy()):
        only = sp.diags(np.isin(np.arange(A.shape[0]), rows).astype(float))
        among.append(normalise((only @ A @ only).tocsr(), "column"))
    y = torch.from_numpy(np.stack(y)).to(paper.device)
    y_test = y.gather(1, test)
    device = paper.device
    return SimpleNamespace(
        name=name, K=K, votes=votes, y=y, train=train, val=val, test=test, graphs=graphs,
        x=torch.from_numpy(np.stack(x)).float().to(device),
        gcn=to_torch([normalise(A, "gcn") for A in graphs], device),
        column=to_torch([normalise(A, "column") for A in graphs], device),
        symmetric=to_torch([normalise(A) for A in graphs], device),
        among_train=to_torch(among, device),
        test_score=lambda p: 100 * (p.gather(1, test) == y_test).float().mean(1),
        hits=lambda p: 100.0 * (p.gather(1, test) == y_test).cpu().numpy(),
    )  # fmt: skip


if paper.scale == "full":
    graphs = {"Cora": load("cora", scale="full")}
    graphs["Citeseer"] = load("citeseer", scale="full")
    worlds = {}
    for (name, d), votes in zip(graphs.items(), (VOTES, CITESEER_VOTES)):
        parts = [(d.A, d.x.numpy(), d.y.numpy(), None)] * S
        splits, K = [(d.train, d.val, d.test)] * S, int(d.y.max()) + 1
        worlds[name] = make_world(name, parts, splits, K, votes)
    paper.shared_part("graphs and their splits", "both are public and fixed")
else:
    drawn = [block_model(seed) for seed in paper.seeds]
    splits = [split(seed, p[2], p[3]) for seed, p in zip(paper.seeds, drawn)]
    worlds = {"block model": make_world("block model", drawn, splits)}
    real = debian()
    halves = np.random.default_rng(0).permutation(len(real[2]))
    fixed_test, pool = np.split(halves, [len(halves) // 2])
    splits = [(*split(seed, real[2], pool)[:2], fixed_test) for seed in paper.seeds]
    worlds["Debian"] = make_world("Debian", [real] * S, splits)
    paper.resampled("block model", "training and validation nodes")
    paper.shared_part("graph and test nodes of Debian", "there is one archive")
paper.resampled("label noise", "initialisation", "dropout")
REAL = list(worlds)[-1]

rows = []
for name, world in worlds.items():
    A, y = world.graphs[0], world.y[0].cpu().numpy()
    i, j = A.nonzero()
    between = world.among_train.values().numel() / S / world.train.shape[1]
    degrees = np.asarray(A.sum(1)).ravel()
    rows.append(
        {
            "graph": name,
            "nodes": len(y),
            "edges": A.nnz // 2,
            "median degree": float(np.median(degrees)),
            "largest degree": int(degrees.max()),
            "edges within a class, %": 100 * (y[i] == y[j]).mean(),
            "smallest class": int(np.bincount(y[y >= 0]).min()),
            "training neighbours of a training node": between,
        }
    )
paper.table(rows, caption="The two graphs (first seed).")

# %% [markdown]
# ### Noise
#
# Exactly the stated share of the training labels is wrong, and of the validation labels too: whoever has noisy
# labels has noisy validation labels. **Symmetric**: any other class, at random. **Asymmetric**: each class has one partner
# class, drawn at random, and a wrong label always names the partner. At an asymmetric rate of one half the true class and its
# partner are tied, and no method can tell them apart by counting.
#
# ### Rivals
#
# - **GCN**: the same kind of network with as many outputs as classes, cross entropy on the given labels.
# - **MLP**: the same without the graph.
# - **label propagation**, without features {cite}`zhou2004consistency`: $F\leftarrow a\hat SF+(1-a)Y$ with $\hat S=D^{-1/2}AD^{-1/2}$.
# - **GCN on propagated labels**, ours: label propagation names a class for *every* node, and a GCN learns them by cross
#   entropy. It has votes along edges and a network, but neither prototypes nor coding rates.
# - **GCN, clean labels** and **ERASE, clean labels** say what there is to lose.
#
# Every method has one knob with three settings, chosen once for each graph by the accuracy on noisy validation labels at the middle noise
# rate, averaged over both types of noise and all seeds: weight decay for the networks, $a$ for label propagation, $\epsilon$ for ERASE. All train for
# the same number of epochs with the same learning rate, and the last epoch counts.


# %%
def noisy(world, kind, rate):
    """Noisy labels of the training nodes (S, m) and validation nodes (S, v)."""
    out = []
    for s, seed in enumerate(paper.seeds):
        g = generator(seed, 10 + KINDS.index(kind))
        shift = torch.randint(1, world.K, (world.K,), generator=g)  # to the partner
        pair = []
        for rows in (world.train, world.val):
            y = world.y[s].cpu()[rows[s].cpu()]
            if kind == "symmetric":
                pair.append(symmetric(y, rate, world.K, g)[0])
            else:
                hit = torch.randperm(len(y), generator=g)[: round(rate * len(y))]
                flipped = y.clone()
                flipped[hit] = (y[hit] + shift[y[hit]]) % world.K
                pair.append(flipped)
        out.append(pair)
    return [torch.stack(part).to(paper.device) for part in zip(*out)]


def train_classifier(world, rows, labels, decay, graph=True):
    """Cross entropy on labels (S, m) at rows (S, m); predictions and hidden layer (S, n, width)."""
    A, n = world.gcn if graph else None, world.x.shape[1]
    net = GCNs((world.x.shape[-1], cfg.width, world.K), paper.seeds).to(paper.device)
    adam = torch.optim.Adam(net.parameters(), cfg.lr, weight_decay=decay, amsgrad=True)
    streams = [generator(s, 2) for s in paper.seeds]
    seed = torch.arange(S, device=paper.device)[:, None]
    for _ in range(cfg.epochs):
        mask = dropout_mask(streams, n, cfg.width, paper.device)
        logits = net.classify(A, world.x, mask)[seed, rows]
        loss = F.cross_entropy(logits.mT, labels, reduction="none").mean(-1).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        hidden = net.layer(0, A, world.x).relu()
        predicted = net.classify(A, world.x).argmax(-1)
    return SimpleNamespace(predicted=predicted, Z=F.normalize(hidden, dim=-1))


def label_propagation(world, y_noisy, a, steps=30):
    Y = one_hot_rows(y_noisy, world.train, world.x.shape[1], world.K)
    spreading = Y
    for _ in range(steps):
        spreading = a * spread(world.symmetric, spreading) + (1 - a) * Y
    return SimpleNamespace(predicted=spreading.argmax(-1))


def on_propagated(world, y_noisy, decay):
    a = chosen[world.name]["label propagation"]
    guess = label_propagation(world, y_noisy, a).predicted
    everyone = torch.arange(guess.shape[1], device=paper.device).expand_as(guess)
    return train_classifier(world, everyone, guess, decay)


METHODS = {  # name: (knob, grid, function of world, noisy labels and setting)
    "label propagation": ("a", cfg.lp_alphas, label_propagation),
    "MLP": (
        "weight decay",
        cfg.decays,
        lambda w, y, d: train_classifier(w, w.train, y, d, graph=False),
    ),
    "GCN": (
        "weight decay",
        cfg.decays,
        lambda w, y, d: train_classifier(w, w.train, y, d),
    ),
    "GCN on propagated labels": ("weight decay", cfg.decays, on_propagated),
    "ERASE": ("eps", cfg.erase_eps, train_erase),
}
given = {
    (name, kind, rate): noisy(world, kind, rate)
    for name, world in worlds.items()
    for kind in KINDS
    for rate in cfg.rates
}
chosen, runs = {name: {} for name in worlds}, {}
for name, world in worlds.items():
    for method, (knob, grid, run) in METHODS.items():
        tried = {}
        for setting in grid:
            pair, hits = {}, []
            for kind in KINDS:
                y_noisy, y_val = given[name, kind, MIDDLE]
                pair[kind] = run(world, y_noisy, setting)
                hit = pair[kind].predicted.gather(1, world.val) == y_val
                hits.append(hit.float().mean().item())
            tried[setting] = np.mean(hits), pair
        best = max(tried, key=lambda setting: tried[setting][0])
        chosen[name][method] = best
        paper.choice(f"{method}, {name}", {knob: grid}, {knob: best})
        for kind in KINDS:
            for rate in cfg.rates:
                if rate == MIDDLE:
                    found = tried[best][1][kind]
                else:
                    found = run(world, given[name, kind, rate][0], best)
                runs[name, method, kind, rate] = found
                paper.arm(
                    method,
                    f"test accuracy, {name}, {kind} {rate:g}",
                    world.test_score(found.predicted),
                )
paper.say(f"Settings chosen on noisy validation labels: {chosen}.")

# %% mystnb={"figure": {"caption": "Test accuracy against the rate of wrong labels, for both graphs (rows) and both types of noise (columns). Bands: 95 % intervals over seeds. Compare the slopes: how much of the clean accuracy does each method keep?", "name": "fig-erase-accuracy"}, "image": {"alt": "Four panels with five falling curves each, one per method, of test accuracy over the noise rate. Rows are the block model and Debian, columns symmetric and asymmetric noise. The numbers stand in the table below the figure."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 2, figsize=(6.8, 5.4), sharex=True, sharey="row")
percent = [100 * rate for rate in cfg.rates]
LOOK = dict(zip(METHODS, ((5, "v"), (3, "D"), (1, "o"), (2, "s"), (0, "^"))))
for row, (name, world) in zip(axes, worlds.items()):
    for ax, kind in zip(row, KINDS):
        for method, (color, marker) in LOOK.items():
            ys = [
                world.test_score(runs[name, method, kind, r].predicted).cpu().numpy()
                for r in cfg.rates
            ]
            style = dict(label=method, color=plots.COLORS[color], marker=marker)
            plots.band(ax, percent, np.stack(ys, 1), **style)
        ax.set_title(f"{name}, {kind}")
    row[0].set_ylabel("test accuracy, %")
for ax in axes[1]:
    ax.set_xlabel("wrong labels, %")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
clean = {}
for name, world in worlds.items():
    y = world.y.gather(1, world.train)
    clean[name, "GCN"] = train_classifier(world, world.train, y, chosen[name]["GCN"])
    clean[name, "ERASE"] = train_erase(world, y, chosen[name]["ERASE"])
rows = []
for name, world in worlds.items():
    for method in METHODS:
        row = {"graph": name, "method": method}
        if (name, method) in clean:
            score = world.test_score(clean[name, method].predicted)
            paper.arm(f"{method}, clean labels", f"test accuracy, {name}", score)
        row["clean"] = f"{score.mean():.1f}" if (name, method) in clean else "-"
        for kind in KINDS:
            for rate in cfg.rates:
                score = world.test_score(runs[name, method, kind, rate].predicted)
                row[f"{kind[:4]}. {100 * rate:.0f} %"] = f"{score.mean():.1f}"
        rows.append(row)
paper.table(rows, caption="Test accuracy in percent, means over seeds, last epoch.")

# %% [markdown]
# The two rivals that nobody should leave out are the two that hardly appear in papers on noisy graphs: the perceptron, which says
# how much of the answer lies in the features alone, and the GCN on propagated labels, which has the votes of the graph without the new
# loss.
#
# ### Which part does the work?
#
# Now parts are taken out, at the middle noise rate and with the setting that was chosen for the whole. In the last
# row the representation is that of ERASE, and only the probe is fitted to the given labels instead.

# %%
VARIANTS = {
    "no denoising": dict(denoise=False),
    "no prototypes": dict(beta=1.0),
    "no propagation": dict(steps=0),
    "raw labels in the loss": dict(raw=True),
}
ablated = {}
for name, world in worlds.items():
    for kind in KINDS:
        y_noisy = given[name, kind, MIDDLE][0]
        for variant, options in VARIANTS.items():
            found = train_erase(world, y_noisy, chosen[name]["ERASE"], **options)
            ablated[name, variant, kind] = found.predicted
        whole = runs[name, "ERASE", kind, MIDDLE]
        ablated[name, "probe on given labels", kind] = whole.by_given
        ablated[name, "ERASE", kind] = whole.predicted
for (name, variant, kind), predicted in ablated.items():
    if variant != "ERASE":
        paper.arm(
            f"ERASE, {variant}",
            f"test accuracy, {name}, {kind} {MIDDLE:g}",
            worlds[name].test_score(predicted),
        )
parts = [*VARIANTS, "probe on given labels"]

# %% mystnb={"figure": {"caption": "What each part of ERASE is worth at the middle noise rate: change of test accuracy when the part is taken out, for both graphs and both types of noise. Left of zero, the part helps. Bars: 95 % intervals over seeds.", "name": "fig-erase-parts"}, "image": {"alt": "Two panels, block model and Debian, with one row for each of five variants and two markers with error bars per row, for symmetric and asymmetric noise, on an axis of change in accuracy with a line at zero."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.0), sharey=True)
for ax, (name, world) in zip(axes, worlds.items()):
    for offset, (kind, color, marker) in zip((-0.14, 0.14), zip(KINDS, (0, 1), "^o")):
        score = {
            v: world.test_score(ablated[name, v, kind]).cpu().numpy()
            for v in (*parts, "ERASE")
        }
        mean, half = plots.interval(
            np.stack([score[v] - score["ERASE"] for v in parts], 1)
        )
        style = dict(fmt=marker, color=plots.COLORS[color], capsize=3, label=kind)
        ax.errorbar(mean, np.arange(len(parts)) + offset, xerr=half, **style)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=name, xlabel="change in accuracy, points")
axes[0].set_yticks(range(len(parts)), parts)
axes[0].invert_yaxis()
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()

# %%
corrected = {}
for name, world in worlds.items():
    true = world.y.gather(1, world.train)
    for kind in KINDS:
        y_noisy = given[name, kind, MIDDLE][0]
        after = denoised(world, y_noisy).argmax(-1).gather(1, world.train)
        final = runs[name, "ERASE", kind, MIDDLE].labels.gather(1, world.train)
        given_right, voted, right = (
            100 * (p == true).float().mean(1).cpu().numpy()
            for p in (y_noisy, after, final)
        )
        corrected[name, kind] = given_right, right
        paper.arm(
            "semantic labels",
            f"correct training labels, {name}, {kind} {MIDDLE:g}",
            right,
        )
        paper.say(
            f"{name}, {kind} noise: of the training labels {given_right.mean():.0f} % are correct as given, {voted.mean():.0f} % after "
            f"the votes among training nodes, {right.mean():.0f} % of the semantic labels at the end."
        )

# %% [markdown]
# ### Right angles
#
# The promise of the loss was a representation in which classes are orthogonal. The heat maps show the cosine between any two
# test nodes, sorted by true class, for the features that the probe sees and, for comparison, the hidden layer of the GCN
# with cross entropy. Both end in a ReLU, so cosines lie between zero and one.


# %%
def cosines(Z, y, test, K):
    """Mean absolute cosine of each test node with test nodes of its own and of the other classes: (S, t) each."""
    Z = Z.gather(1, test[..., None].expand(-1, -1, Z.shape[-1]))
    own = F.one_hot(y.gather(1, test), K).to(Z.dtype)
    similar = (Z @ Z.mT).abs()
    by_class, size = similar @ own, own.sum(1, keepdim=True)
    total, inside = by_class.sum(-1), (by_class * own).sum(-1)
    mates = (size * own).sum(-1)
    itself = similar.diagonal(dim1=1, dim2=2)
    within = (inside - itself) / (mates - 1).clamp(min=1)
    between = (total - inside) / (Z.shape[1] - mates)
    return within.cpu().numpy(), between.cpu().numpy()


angle = {}
for name, world in worlds.items():
    for method in ("GCN", "ERASE"):
        found = runs[name, method, "asymmetric", MIDDLE]
        angle[name, method] = cosines(found.Z, world.y, world.test, world.K)
        for which, values in zip(("within", "between"), angle[name, method]):
            metric = f"mean absolute cosine {which} classes, {name}"
            paper.arm(method, metric, values.mean(1), unit="")

# %% mystnb={"figure": {"caption": "Absolute cosine between test nodes of the real graph, sorted by true class, first seed, asymmetric noise at the middle rate. Left the hidden layer of the GCN, right the representation of ERASE. Look for dark squares on the diagonal and white elsewhere.", "name": "fig-erase-cosine"}, "image": {"alt": "Two square heat maps with blue lines between the classes. In the right one, of ERASE, squares along the diagonal are dark and the rest is lighter; some patches off the diagonal show which classes are confused."}} tags=["hide-input"]
world = worlds[REAL]
classes = SECTIONS if REAL == "Debian" else range(world.K)
order = world.test[0][world.y[0][world.test[0]].argsort(stable=True)]
borders = np.cumsum(np.bincount(world.y[0][order].cpu()))
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), sharey=True)
for ax, method in zip(axes, ("GCN", "ERASE")):
    Z = runs[REAL, method, "asymmetric", MIDDLE].Z[0][order].cpu()
    image = ax.imshow((Z @ Z.mT).abs(), cmap="Greys", vmin=0, vmax=1, rasterized=True)
    for b in borders[:-1]:
        ax.axhline(b, color=plots.COLORS[0], linewidth=0.8)
        ax.axvline(b, color=plots.COLORS[0], linewidth=0.8)
    middles = borders - np.diff(borders, prepend=0) / 2
    ax.set_xticks(middles, classes, rotation=45)
    ax.set_yticks(middles, classes)
    ax.grid(visible=False)
    ax.set(title=method, xlabel=f"true class, {REAL}")
axes[0].set_ylabel(f"true class, {REAL}")
fig.colorbar(image, ax=axes, label="absolute cosine", shrink=0.8)
plt.show()

# %% mystnb={"figure": {"caption": "Training of ERASE at the middle rate of asymmetric noise: the rate of all nodes together and the weighted rate of the classes (left), and the share of test nodes whose semantic label is the true class (right). Bands: 95 % intervals over seeds.", "name": "fig-erase-rates"}, "image": {"alt": "Left panel: curves of the two coding rates over epochs for both graphs. Right panel: the accuracy of the semantic labels of test nodes over epochs for both graphs."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.0))
epochs = np.arange(1, cfg.epochs + 1)
for name, color in zip(worlds, (0, 1)):
    log = runs[name, "ERASE", "asymmetric", MIDDLE].log
    for k, (what, line) in enumerate((("all together", "-"), ("by class", "--"))):
        style = dict(color=plots.COLORS[color], linestyle=line, label=f"{name}, {what}")
        plots.band(axes[0], epochs, log[:, k].T, **style)
    plots.band(axes[1], epochs, log[:, 2].T, color=plots.COLORS[color], label=name)
axes[0].set(xlabel="epoch", ylabel="coding rate, nats")
axes[1].set(xlabel="epoch", ylabel="correct semantic labels, %")
for ax in axes:
    ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Paper against measured
#
# The tables of the paper could not be read, so its claims stand here as sentences without numbers. For the block model effects are paired
# over seeds that share nothing. On Debian, and on the citation graphs of `full`, the intervals are widened by the spread over the shared test nodes.


# %%
IDS = {  # ids of the claims that all graphs share, in the order of their use
    ("block model",): """
        sbm_beats_gcn_symmetric sbm_beats_gcn_asymmetric sbm_beats_propagated
        sbm_denoising_helps sbm_prototypes_help sbm_propagation_helps
        sbm_probe_semantic sbm_between_orthogonal sbm_within_aligned
        sbm_margin_grows_symmetric sbm_margin_grows_asymmetric sbm_labels_corrected
    """,
    ("Debian",): """
        debian_beats_gcn_symmetric debian_beats_gcn_asymmetric debian_beats_propagated
        debian_denoising_helps debian_prototypes_help debian_propagation_helps
        debian_probe_semantic debian_between_orthogonal debian_within_aligned
        debian_margin_grows_symmetric debian_margin_grows_asymmetric
        debian_labels_corrected
    """,
    ("Cora", "Citeseer"): """
        citation_beats_gcn_symmetric citation_beats_gcn_asymmetric
        citation_beats_propagated citation_denoising_helps citation_prototypes_help
        citation_propagation_helps citation_probe_semantic
        citation_between_orthogonal citation_within_aligned
        citation_margin_grows_symmetric citation_margin_grows_asymmetric
        citation_labels_corrected
    """,
}
PARTS = "no denoising", "no prototypes", "no propagation", "probe on given labels"


def hits(method):
    return lambda n, k, r: worlds[n].hits(runs[n, method, k, r].predicted)  # (S, t)


def without(part):
    return lambda n, k, r: worlds[n].hits(ablated[n, part, k])


def lead(n, k, r):
    return hits("ERASE")(n, k, r) - hits("GCN")(n, k, r)


def judge(names, ids):
    """All claims on the graphs `names`, judged at the worst arm."""

    def arms(value, kinds=KINDS, rates=(None,)):
        found = {}
        for n, k, r in itertools.product(names, kinds, rates):
            arm = k if r is None else f"{k} {r:g}"
            found[f"{n}, {arm}" if len(names) > 1 else arm] = value(n, k, r)
        return found

    def compare(claim, ours, baseline):
        """Seeds share the test nodes, except in the block model."""
        if "block model" in names:
            pair = [{a: v.mean(1) for a, v in s.items()} for s in (ours, baseline)]
            paper.claim(claim, ours=pair[0], baseline=pair[1])
        else:
            paper.claim(claim, ours_items=ours, baseline_items=baseline)

    for claim, kind in zip(ids[:2], KINDS):
        pair = [arms(hits(m), [kind], cfg.rates) for m in ("ERASE", "GCN")]
        compare(claim, *pair)
    pair = [hits("ERASE"), hits("GCN on propagated labels")]
    compare(ids[2], *(arms(value, KINDS, cfg.rates) for value in pair))
    for claim, part in zip(ids[3:7], PARTS):
        compare(claim, arms(without("ERASE")), arms(without(part)))
    for claim, which, bound in ((ids[7], 1, 0.2), (ids[8], 0, 0.6)):
        values = arms(lambda n, k, r: angle[n, "ERASE"][which], ["asymmetric"])
        limit = {arm: np.full_like(v, bound) for arm, v in values.items()}
        compare(claim, values, limit)
    for claim, kind in zip(ids[9:11], KINDS):
        if "block model" in names:
            curve = [lead(names[0], kind, r).mean(1) for r in cfg.rates]
            tens = [10 * rate for rate in cfg.rates]
            paper.claim(claim, x=tens, ours=np.stack(curve, 1))
        else:
            ends = cfg.rates[-1], cfg.rates[0]
            compare(claim, *(arms(lambda n, k, _: lead(n, k, r), [kind]) for r in ends))
    ours, base = (arms(lambda n, k, r: corrected[n, k][which]) for which in (1, 0))
    paper.claim(ids[11], ours=ours, baseline=base)


for names, ids in IDS.items():
    if names[0] in worlds:
        judge(names, ids.split())
paper.report()

# %% [markdown]
# ## What differs from the paper
#
# - **Data.** A block model of 500 nodes and a part of the Debian dependency graph, instead of Cora, CiteSeer, PubMed, CoraFull and
#   ogbn-arxiv. Twenty labels per class, as in the public splits of those sets. The scale `full` uses Cora and CiteSeer; the three larger graphs are not used at any scale.
# - **What could be read.** The method and its settings, from descriptions of the authors' code; the paper's tables could not be read,
#   so no published number stands beside ours. The authors' code may be used for non-commercial research only; everything here is written from the formulas.
# - **Encoder.** A graph convolutional network with 32 hidden and 32 output units instead of graph attention with 8 heads, 256 hidden and 512 output
#   units. The GCN is also the baseline; the comparison with attention is left out for its cost. Where $p$ is smaller, rows divided by their L1 norm are longer, so $\epsilon$ has another meaning; it is tuned here.
# - **Training.** 80 epochs at learning rate 0.01 instead of up to 400 at 0.001. $\alpha$, $\beta$, $T$ and $\gamma_2$ are
#   the authors' values for Cora on both graphs; they use others on other sets, and so does `full` on CiteSeer.
# - **Which epoch counts.** The authors' evaluation reports the test accuracy at the epoch with the best accuracy on *clean* validation labels.
#   Here validation labels are noisy, serve for one knob per method, and the last epoch counts.
# - **Noise.** Exactly the stated share is changed instead of each label with that probability. The noise rates at the small scale are 10, 30 and 50 %.
# - **Grids.** The two GCNs and the perceptron choose the strongest weight decay of their grid, ERASE the largest $\epsilon$ on the block model,
#   label propagation its largest share on Debian: wider grids could help each of them.
# - **Votes during training** use the representation of the same forward pass, dropout included; for the final labels dropout is off.
# - **Thresholds.** "Near zero" and "high" cosines are read as below 0.2 and above 0.6.
# - **Rivals of ours.** GCN on propagated labels, and the perceptron with the same tuning.
# - **Heat map and table** are redrawn; the authors' scatter plots of features are not, nor the curves over $\beta$ and $T$ (the ablations are their ends).
# - **`full`** has the authors' width, epochs, learning rate and, on Cora and CiteSeer, their $\alpha$, $\beta$ and $T$; its encoder is convolutional too, and it has never been run.
# - **Intervals.** On the real graphs training nodes are shared between seeds in part, which the interval of the claim on corrected training labels does not know.
# - **Regimes tried on pilot seeds (100 and up) and dropped.** 40 epochs with more seeds: there ERASE was mostly lower at 50 % noise
#   and, on Debian, at 10 %, so that the shorter training may sell it short; it has fewer seeds instead. Sections
#   `graphics`, `mail`, `science`, `sound`, `x11`: one of them has too few packages in the connected part for twenty labels.
#
# ## Exercises
#
# ### Exercise 1
#
# Is the training needed for the semantic labels? ERASE's own semantic labels of the test nodes are predictions, too. Compare them with the probe
# at the middle noise rate. Which do you expect to be better where, and why?

# %% tags=["solution", "hide-cell"]
for name, world in worlds.items():
    for kind in KINDS:
        found = runs[name, "ERASE", kind, MIDDLE]
        paper.say(
            f"{name}, {kind}: semantic labels {world.test_score(found.labels).mean():.1f} %, probe "
            f"{world.test_score(found.predicted).mean():.1f} %; in the first epoch, before any training, the semantic labels had "
            f"{found.log[0, 2].mean():.1f} %."
        )

# %% [markdown]
# ### Exercise 2
#
# Propagation with $AD^{-1}$ lets a node share itself out. Replace it by $D^{-1}A$, the plain average over neighbours, in the votes
# during training. (Hint: `train_erase` takes the matrix as `A`; the transpose of one normalisation is the other.) On which of the two graphs can it
# matter more? Try that one.

# %% tags=["solution", "hide-cell"]
name, world = REAL, worlds[REAL]
average = to_torch(
    [normalise(A, "column").T.tocsr() for A in world.graphs], paper.device
)
y_noisy = given[name, "asymmetric", MIDDLE][0]
found = train_erase(world, y_noisy, chosen[name]["ERASE"], A=average)
whole = runs[name, "ERASE", "asymmetric", MIDDLE]
same = 100 * (found.labels == whole.labels).float().mean().item()
paper.say(
    f"{name}: averaging {world.test_score(found.predicted).mean():.1f} %, sharing "
    f"{world.test_score(whole.predicted).mean():.1f} %; the final semantic labels agree on {same:.0f} % of the nodes."
)
paper.say(
    "Where all nodes have the same degree the two matrices are equal. The more uneven the degrees, the more they differ: under sharing, a node with "
    "many neighbours collects large sums and whispers to each."
)

# %% [markdown]
# ## References
#
# The paper: {cite}`erase`. Coding rates: {cite}`ma2007coding`; as an objective for representations: {cite}`yu2020mcr2`. Graph convolutional networks:
# {cite}`kipf2017gcn`. Label propagation: {cite}`zhou2004consistency`. The bound on the Hessian: {cite}`bohning1992`.
