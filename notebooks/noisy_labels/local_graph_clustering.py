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
# # Local Graph Clustering with Noisy Labels
#
# Artur Back de Luca, Kimon Fountoulakis, Shenghao Yang. *ICLR 2024*. [arXiv 2310.08031](https://arxiv.org/abs/2310.08031) · no official code found · {cite}`local_graph_clustering`
#
# **In one line.** Edges between nodes whose noisy labels differ are made thin, so that a diffusion from one seed node stays in its cluster; against the same diffusion without labels and labels without a graph.
#
# **Part.** Noisy labels and label errors. **Fidelity**: reconstruction. Weights, diffusion and label model are the paper's; of its experiments only the abstract and others' accounts could be read, so the set-up follows the same group's earlier code, on the Debian graph and, at full scale, on Cora, one of the paper's own graphs.
#
# **The published run**: not stated in what could be read. **This notebook**: at `small` about 2 minutes of one core. At `full` block model of 10,000 nodes with clusters of 500, and Cora instead of the Debian graph; no GPU. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/noisy_labels/local_graph_clustering.ipynb).

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

shared.ensure("local_graph_clustering")

# %% tags=["parameters"]
scale = None  # "smoke", "small" or "full"; None: $BOOK_SCALE, else "small"
seeds = None  # a count or a list; None: $BOOK_SEEDS, else what the scale says
# %% [markdown]
# ## The idea
#
# You know one member of a group in a very large network and want the others, such as the packages that belong with this Perl
# library. **Local graph clustering**
# starts at the known node, the *seed*, and explores only its surroundings. One way is to let something spread along the
# edges, as paint spreads in water, and to stop when it has been used up {cite}`andersen2006local,fountoulakis2020flow`.
#
# This works when the group has few edges outwards. Where each member has more acquaintances outside
# than inside, the paint **leaks**. Often there is a hint, though. Something looks at a single node (its
# text, its picture) and says "looks like a member" or "does not". The hint is a noisy binary label: members are missed,
# strangers are let in. In a large graph it cannot be used alone: if the group has a hundred members and there are
# a million strangers, a label that errs on one stranger in a hundred names ten thousand of them.
#
# Back de Luca, Fountoulakis and Yang {cite}`local_graph_clustering` combine two poor sources into a good one,
# with one line: **an edge between nodes with different labels gets the small weight $\epsilon$, all others keep weight 1.**
# Then they diffuse. Members mostly carry label 1 and strangers label 0, so what
# becomes thin is mostly the border.
#
# How much thinner it becomes can be computed. Let a member have $d_{in}$ neighbours inside and $d_{out}$ outside, let labels be
# right with probability $a_1$ inside and $a_0$ outside. Seen from a member with label 1, the expected weight inside is
# $d_{in}(a_1+\epsilon(1-a_1))$, the one outside $d_{out}(1-a_0+\epsilon a_0)$.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from shared import plots
from shared import seeds as streams
from shared.data import load
from shared.graph import dependency_graph, largest_part
from shared.paper import Paper

plots.style()
STYLE = {
    name: dict(color=plots.COLORS[color], marker=marker, label=name)
    for name, color, marker in zip(("labels", "FD", "LFD"), (5, 1, 0), "so^")
}

# %% mystnb={"figure": {"caption": "Where the first drop of paint goes: expected share of the weight of a member's edges (label 1, 30 neighbours inside, 38 outside, epsilon 0.05) that leads out of the cluster, against the accuracy of the labels outside. The dotted line is the graph without labels.", "name": "fig-local_graph_clustering-leak"}, "image": {"alt": "Three falling curves, one per accuracy inside the cluster, of the share of weight leading outside over the accuracy outside. All start near the dotted line of the plain graph and fall towards a few percent."}} tags=["hide-input", "show"]
a0 = np.linspace(0.5, 1, 100)
fig, ax = plt.subplots(figsize=(5.4, 2.8))
for a1, color in ((0.5, 5), (0.7, 1), (0.9, 0)):
    inside, outside = 30 * (a1 + 0.05 * (1 - a1)), 38 * (1 - a0 + 0.05 * a0)
    share = 100 * outside / (inside + outside)
    label = f"accuracy inside {100 * a1:.0f} %"
    ax.plot(100 * a0, share, color=plots.COLORS[color], label=label)
ax.axhline(100 * 38 / 68, color="black", linestyle=":", label="no labels")
ax.set(
    xlabel="accuracy outside, %", ylabel="weight leading out, %", ylim=(0, 60)
)
ax.legend()
plt.show()

# %% [markdown]
# By this count the accuracy **outside** matters more than the one inside: false alarms open doors, missed members
# only thin out a crowd. But it counts the first step only, from a member labelled 1.
#
# The settings of this notebook for its three scales:

# %%
paper = Paper("local_graph_clustering", scale=scale, seeds=seeds)
cfg = paper.settings(
    nodes=(600, 2000, 10_000),
    cluster=(60, 100, 500),
    inner_degree=(20, 30, 50),
    outer_degree=(25, 38, 63),
    tuning_clusters=(2, 2, 3),
    test_clusters=(3, 13, 8),
    growing_nodes=(
        (500, 2000, 8000, 32_000),
        (1000, 4000, 16_000, 64_000),
        (4000, 16_000, 64_000, 256_000),
    ),
    sections=(4, 99, 99),
    section_sweeps=(10, 200, 1000),
)
MASSES = (0.75, 1, 1.5, 2, 3, 4, 6, 8)  # alpha: in sizes of the cluster
INSIDE, OUTSIDE = (0.7, 0.9), (0.7, 0.9, 0.97)  # accuracies a1 and a0
EPS = 0.05  # weight of an edge between unlike labels
S = len(paper.seeds)

# %% [markdown]
# ## The method
#
# ### Flow diffusion
#
# Put a source mass $\Delta_s$ on the seed. Each node $i$ can absorb $T_i$; what it has beyond that must move along
# edges to its neighbours. Among all ways of settling the mass, $\ell_2$ flow diffusion takes the one with the smallest
# sum of squared flows. Its dual problem has one number $x_i\ge0$ per node, a potential like the height of a water level:
#
# $$\min_{x\ge0}\ \tfrac12\,x^\top L x + x^\top(T-\Delta),\qquad L=D-W,$$
#
# with $W$ the edge weights and $D$ the diagonal matrix of weighted degrees $d_i$. Flow along an edge is
# $w_{ij}(x_i-x_j)$. The recovered cluster is every node with $x_i>0$: those that had to pass mass on.
#
# ### One push
#
# A node with more mass than it can absorb raises its potential by
# $\delta=(m_i-T_i)/d_i$, which sends $w_{ij}\delta$ to each neighbour $j$ and leaves exactly $T_i$ behind. Repeat until
# no node overflows. The order does not matter (mass only moves where it must, and $x$ grows towards the optimum from below), so we
# let all overflowing nodes push at once, which vectorises well.


# %%
def weigh(A, y, eps):
    """A: adjacency (n, n), csr; y: noisy labels (n,) bool -> weights, csr."""
    y = np.asarray(y)
    if y.shape != A.shape[:1] or y.dtype != bool or not 0 <= eps <= 1:
        raise ValueError("Give one true or false a node, and eps from 0 to 1.")
    same = np.repeat(y, np.diff(A.indptr)) == y[A.indices]  # one entry per edge
    return sp.csr_matrix(
        (np.where(same, 1.0, eps), A.indices, A.indptr), A.shape
    )


def sweep(W, d, T, x, m, over):
    """All overflowing nodes push at once; x, m (n,) are changed in place."""
    delta = (m[over] - T[over]) / d[over]  # how far each rises
    x[over] += delta
    m[over] = T[over]
    if 20 * len(over) < len(m):
        m += W[over].T @ delta  # reads the rows of overflowing nodes only
    else:  # in a small graph the product with all rows is quicker
        m += W.T @ np.bincount(over, delta, len(m))


# %% [markdown]
# Only rows of overflowing nodes need to be read: **that is the locality.** And since every node that pushed holds its full
# $T_i$, at most $\Delta_s/\min_i T_i$ nodes can push, in a graph of any size.
#
# One trick saves time. The solution for a larger source mass can go on from that of a smaller one, so all masses
# together cost little more than the largest alone.


# %%
def push(W, T, source, masses, tol=1e-2, sweeps=100):
    """Flow diffusion for growing masses at one node.

    Returns potentials x (len(masses), n) and the mass m (n,) that settled last.
    """
    masses, T = np.asarray(masses, float), np.asarray(T, float)
    if not np.isfinite(masses).all() or (np.diff(masses, prepend=0) < 0).any():
        raise ValueError("Source masses are finite, from 0, and grow.")
    if T.shape != W.shape[:1] or not (np.isfinite(T).all() and (T > 0).all()):
        raise ValueError("Every node needs a finite capacity above 0.")
    d = np.maximum(np.asarray(W.sum(1)).ravel(), 1e-300)  # degrees (n,)
    x, m, given, found = np.zeros(len(T)), np.zeros(len(T)), 0.0, []
    for mass in masses:
        m[source] += mass - given
        given = mass
        for _ in range(sweeps):
            over = np.flatnonzero(m > T * (1 + tol))
            if len(over) == 0:
                break
            sweep(W, d, T, x, m, over)
        found.append(x.copy())
    return np.stack(found), m


# %% [markdown]
# We lay out the weights of the whole graph at once because that is simplest; a
# local program would compare two labels when it first meets an edge. **The seed's own label is set to 1**, since
# the seed is known to be a member. With a wrong label at the seed the whole picture turns inside out (exercise 1).
#
# ### F1 and conductance
#
# Success is measured by F1, the harmonic mean of precision and recall: $2|C\cap K|/(|C|+|K|)$ for a recovered set $C$ and
# the true cluster $K$. Without the truth, one can take the mass whose result has the smallest *conductance*, the
# share of its edge weight that leads out, computed on the same weights as the diffusion.


# %%
def f1(found, K):
    """found, K: boolean (..., n) -> F1 in percent (...)."""
    hits = (found & K).sum(-1)
    return 200.0 * hits / np.maximum(found.sum(-1) + K.sum(-1), 1)


def conductance(W, C):
    """Share of weight that leads out of C (n,); 1 for nothing and for all."""
    volume = np.asarray(W.sum(1)).ravel()
    vol = volume[C].sum()
    smaller = min(vol, volume.sum() - vol)
    return (vol - C @ (W @ C.astype(float))) / smaller if smaller > 0 else 1.0


def random_graph(rng, n, k, inner, outer, clusters):
    """The first `clusters` blocks of k nodes are dense; the rest is random."""
    upper = np.triu_indices(k, 1)
    block, edge = np.nonzero(
        rng.random((clusters, len(upper[0]))) < inner / (k - 1)
    )
    pairs = rng.integers(n, size=(2, rng.poisson(n * outer / 2)))
    own = np.where(pairs < clusters * k, pairs // k, -1 - pairs)  # or loner
    pairs = pairs[:, own[0] != own[1]]
    i, j = (np.r_[block * k + u[edge], q] for u, q in zip(upper, pairs))
    A = sp.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    A = A + A.T
    A.data[:] = 1.0  # double edges count once
    return A


def noisy_labels(rng, K, a1, a0, seed_node=None):
    """Right with probability a1 in K and a0 outside; the seed's label is 1."""
    y = np.where(K, rng.random(len(K)) < a1, rng.random(len(K)) >= a0)
    if seed_node is not None:
        y[seed_node] = True
    return y


# %% [markdown]
# ## Sanity check
#
# On a **star** with the seed at its centre and half of the leaves labelled differently, the
# potential of the centre must be $(\Delta_s-T)/d$ with the weighted degree $d$, and each leaf receives its weight times
# that. On a small weighted random graph the result must satisfy the
# optimality conditions: nowhere too much mass, and exactly $T_i$ wherever $x_i>0$. No mass may be lost, and no more
# nodes may push than the bound above allows.

# %% tags=["hide-input"]
star = sp.lil_matrix((11, 11))
star[0, 1:] = star[1:, 0] = 1.0
W = weigh(star.tocsr(), np.arange(11) < 6, eps=0.2)  # 5 leaves alike, 5 unlike
(x,), m = push(W, np.ones(11), 0, [4.0], tol=1e-12)
assert np.isclose(x[0], 3 / 6) and np.allclose(m[1:], [0.5] * 5 + [0.1] * 5)

rng = np.random.default_rng(7)
A = random_graph(rng, 60, 20, 8, 5, clusters=3)
K = np.arange(60) < 20
W = weigh(A, noisy_labels(rng, K, 0.8, 0.9, 0), EPS)
T, delta = np.ones(60), 35.0 * (np.arange(60) == 0)
(_, x), m = push(W, T, 0, [20.0, 35.0], tol=1e-11, sweeps=100_000)
L = sp.diags(np.asarray(W.sum(1)).ravel()) - W
assert np.allclose(m, delta - L @ x) and np.isclose(m.sum(), 35)
assert 0 < (x > 0).sum() <= 35 and (x == 0).any()
assert m.max() < 1 + 1e-9 and np.allclose(m[x > 0], 1)
print("Star, optimality and conservation of mass: agree.")

# %% [markdown]
# ## The experiment
#
# ### A block model
#
# The graph consists of equal clusters. A node has fewer edges into its own cluster than to the rest of the
# world. Every capacity is $T_i=1$, the source mass is $\alpha k$ for a cluster of $k$ nodes; the
# size $k$ is taken as known, as in the authors' earlier code.
#
# How large should $\alpha$ be? Both diffusions depend on it, and not in the same way: paint that
# leaks must be poured generously. So both get the same wide grid,
# and for each noise level $\alpha$ is tuned on two clusters of each seed's graph that are then not used again. The labels alone have
# nothing to tune. Each seed draws graph, seed nodes and labels anew.


# %%
def block_model(seed):
    rng = streams.numpy(seed, "graph")
    count = cfg.nodes // cfg.cluster
    sizes = (cfg.nodes, cfg.cluster, cfg.inner_degree, cfg.outer_degree)
    A = random_graph(rng, *sizes, clusters=count)
    used = rng.permutation(count)[: cfg.tuning_clusters + cfg.test_clusters]
    starts = used * cfg.cluster + rng.integers(cfg.cluster, size=len(used))
    own = np.arange(cfg.nodes) // cfg.cluster
    return A, [(own == c, s) for c, s in zip(used, starts)]


def diffuse(A, K, start, y, eps):
    """F1 for every mass, and F1 at the mass of the smallest conductance."""
    W = weigh(A, y, eps)
    masses = np.array(MASSES) * cfg.cluster
    found = push(W, np.ones(len(K)), start, masses)[0] > 0
    scores = f1(found, K)
    best = np.argmin([conductance(W, C) for C in found])
    return np.r_[scores, scores[best]]


def tuned(scores):
    """(S, clusters, masses + 1) -> F1 (S,) tuned, by conductance; the mass."""
    scores = np.array(scores)
    best = scores[:, : cfg.tuning_clusters, :-1].mean((0, 1)).argmax()
    test = scores[:, cfg.tuning_clusters :].mean(1)  # (S, masses + 1)
    return test[:, best], test[:, -1], MASSES[best]


# %%
graphs = [block_model(seed) for seed in paper.seeds]
pairs = [(a1, a0) for a1 in INSIDE for a0 in OUTSIDE]
MAIN = (0.8, 0.95)  # accuracies for the experiment on epsilon
runs, drawn, label_f1 = {"FD": []}, {}, {}
for (A, targets), seed in zip(graphs, paper.seeds):
    none = np.zeros(cfg.nodes, bool)
    runs["FD"].append([diffuse(A, K, s, none, EPS) for K, s in targets])
    for pair in [*pairs, MAIN]:
        rng = streams.numpy(seed, f"label noise {pair}")
        ys = [noisy_labels(rng, K, *pair, s) for K, s in targets]
        drawn.setdefault(pair, []).append(ys)
        scores = [diffuse(A, K, s, y, EPS) for (K, s), y in zip(targets, ys)]
        runs.setdefault(pair, []).append(scores)
        tests = list(zip(targets, ys))[cfg.tuning_clusters :]
        alone = np.mean([f1(y, K) for (K, _), y in tests])
        label_f1.setdefault(pair, []).append(alone)
result = {name: tuned(scores) for name, scores in runs.items()}
label_f1 = {pair: np.array(v) for pair, v in label_f1.items()}
grid = {"alpha": MASSES}
for pair in pairs:
    metric = f"F1, a1 {pair[0]:g}, a0 {pair[1]:g}"
    paper.arm("LFD", metric, result[pair][0])
    paper.arm("labels", metric, label_f1[pair])
    paper.choice(f"LFD, {metric}", grid, {"alpha": result[pair][2]})
paper.arm("FD", "F1, block model", result["FD"][0])
paper.choice("FD, block model", grid, {"alpha": result["FD"][2]})
paper.shared_part("source masses", "tuned once, on clusters of all seeds")
paper.resampled("graph", "seed nodes", "label noise", "training packages")

# %% mystnb={"figure": {"caption": "F1 of the recovered cluster in the block model against the accuracy of the labels outside, for two accuracies inside: labels alone, diffusion without labels (FD), diffusion on the weights that the labels give (LFD). Source mass tuned on other clusters. Bands: 95 % intervals over seeds.", "name": "fig-local_graph_clustering-noise"}, "image": {"alt": "Two panels over the accuracy outside. The plain diffusion is a flat line. The labels alone rise steeply from a low start. The label-weighted diffusion lies above the labels everywhere; it is above the plain diffusion in the panel of the more accurate labels, and not clearly so or below it in the other."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, len(INSIDE), figsize=(6.8, 3.1), sharey=True)
for ax, a1 in zip(axes, INSIDE):
    row = [(a1, a) for a in OUTSIDE]
    curves = {
        "labels": [label_f1[pair] for pair in row],
        "FD": [result["FD"][0] for _ in row],
        "LFD": [result[pair][0] for pair in row],
    }
    for name, ys in curves.items():
        plots.band(ax, 100 * np.array(OUTSIDE), np.stack(ys, 1), **STYLE[name])
    title = f"accuracy inside {100 * a1:.0f} %"
    ax.set(title=title, xlabel="accuracy outside, %", ylim=(0, 100))
axes[0].set_ylabel("F1, %")
plots.legend_below(fig, ncols=3)
plt.show()

# %% tags=["hide-input", "show"]
rows = [
    {
        "accuracies": f"a1 {100 * pair[0]:.0f} %, a0 {100 * pair[1]:.0f} %",
        "labels": label_f1[pair].mean(),
        "FD": result["FD"][0].mean(),
        "LFD": result[pair][0].mean(),
        "alpha of LFD": result[pair][2],
        "FD, by conductance": result["FD"][1].mean(),
        "LFD, by conductance": result[pair][1].mean(),
    }
    for pair in pairs
]
paper.table(rows, caption="Block model: mean F1 in %; the chosen alpha.")
lead = {p: (result[p][0] - result["FD"][0]).mean() for p in pairs}
good, poor = ([lead[a1, a] for a in OUTSIDE] for a1 in INSIDE[::-1])
paper.say(f"""With 90 % correct inside, the labels change the F1 of the
diffusion by {min(good):+.1f} to {max(good):+.1f} points, with 70 % by
{min(poor):+.1f} to {max(poor):+.1f}. The plain diffusion wants
alpha {result["FD"][2]:g}.""")

# %% [markdown]
# Read the two panels against the first figure. It promised that the accuracy outside is what counts, but the step from
# the left panel to the right one shows that the accuracy *inside* counts as well. Wrong labels inside tear the
# cluster in two: members with label 0 hang on to the rest only by thin edges, while thick ones tie them to
# strangers with label 0. To reach them takes more mass, which also flows elsewhere. A diffusion without labels, given enough mass, does not
# have this problem. So poor labels are no help, and at worst do harm, and the claims below keep good and poor labels apart.
#
# ### How thin should the edges be?
#
# With $\epsilon=0$ only nodes with label 1 that hang together can be found: labels plus connectivity. With
# $\epsilon=1$ it is the plain diffusion.

# %%
by_eps = {EPS: result[MAIN], 1.0: result["FD"]}
for eps in (0.0, 0.01, 0.1):
    scores = [
        [diffuse(A, K, s, y, eps) for (K, s), y in zip(targets, ys)]
        for (A, targets), ys in zip(graphs, drawn[MAIN])
    ]
    by_eps[eps] = tuned(scores)
epsilons = sorted(by_eps)
for eps in epsilons:
    paper.arm(f"LFD, epsilon {eps:g}", "F1, a1 0.8, a0 0.95", by_eps[eps][0])
    chosen = {"alpha": by_eps[eps][2]}
    paper.choice(f"LFD, epsilon {eps:g}", {"alpha": MASSES}, chosen)

# %% mystnb={"figure": {"caption": "F1 against epsilon in the block model, labels 80 % correct inside and 95 % outside, mass tuned for each epsilon on other clusters. Shaded: the range that the paper recommends. Bars: 95 % intervals over seeds.", "name": "fig-local_graph_clustering-eps"}, "image": {"alt": "Points with error bars of F1 over five values of epsilon from 0 to 1, joined by a line, with the recommended range from 0.01 to 0.1 shaded."}} tags=["hide-input", "show"]
fig, ax = plt.subplots(figsize=(5.4, 2.9))
mean, half = plots.interval(np.stack([by_eps[e][0] for e in epsilons], 1))
ax.axvspan(1, 3, color=plots.COLORS[2], alpha=0.15, linewidth=0)
ax.errorbar(range(len(epsilons)), mean, half, marker="^", capsize=3)
ax.set_xticks(range(len(epsilons)), [f"{e:g}" for e in epsilons])
ax.set(xlabel="epsilon (0: cut, 1: plain graph)", ylabel="F1, %")
plt.show()

# %% tags=["hide-input", "show"]
means = [f"{e:g}: {by_eps[e][0].mean():.0f} %" for e in epsilons]
paper.say(f"Mean F1 by epsilon: {', '.join(means)}.")

# %% [markdown]
# What a cut costs depends on how many members carry the wrong label, since those cannot be reached any more. One in five does here, and still
# cut and thin edges lie close together: with thirty neighbours inside, the members with label 1 hang together without help, and thin edges let in strangers
# along with the members that were missed. The plain graph is the expensive end.
#
# ### The graph grows, the cluster does not
#
# Now for the promise of locality. One cluster of 100 nodes sits in a random graph whose size grows by factors of
# four; the degrees stay as they are. The labels are excellent: all members are
# labelled 1, and so is one stranger in a hundred. The mass is fixed at $\alpha=2$. We count the nodes that were
# *touched*, that is, received any mass at all.

# %%
k = 100
sizes = np.array(cfg.growing_nodes)
grown = {arm: np.zeros((S, len(sizes))) for arm in ("labels", "LFD", "FD")}
touched = {arm: np.zeros((S, len(sizes))) for arm in ("LFD", "FD")}
for q, seed in enumerate(paper.seeds):
    for col, n in enumerate(sizes):
        rng = streams.numpy(seed, f"growing graph {n}")
        A = random_graph(rng, n, k, inner=30, outer=15, clusters=1)
        K = np.arange(n) < k
        y = noisy_labels(rng, K, 1.0, 0.99)
        grown["labels"][q, col] = f1(y, K)
        for arm, labels in (("LFD", y), ("FD", K & False)):
            (x,), m = push(weigh(A, labels, EPS), np.ones(n), 0, [2.0 * k])
            grown[arm][q, col] = f1(x > 0, K)
            touched[arm][q, col] = (m > 0).sum()
doublings = np.round(np.log2(sizes / sizes[0])).astype(int)
for arm in grown:
    for times, column in zip(doublings, grown[arm].T):
        paper.arm(arm, f"F1, doublings {times}", column)
metric = "touched nodes in the largest graph, relative to the second largest"
for arm in touched:
    paper.arm(arm, metric, 100 * touched[arm][:, -1] / touched[arm][:, -2])

# %% mystnb={"figure": {"caption": "A fixed cluster of 100 nodes in a growing graph. Left: F1 of labels that are right for all members and for 99 % of the others, and of the diffusion on the weights that they give. Right: nodes touched by the diffusions; the dashed line is the whole graph. Bands: 95 % intervals over seeds.", "name": "fig-local_graph_clustering-growth"}, "image": {"alt": "Left panel: over the number of nodes the F1 of the labels falls steadily while that of the label-weighted diffusion stays near its start. Right panel: the number of touched nodes flattens out while the dashed line of all nodes goes on rising."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.0))
for name in ("labels", "LFD"):
    plots.band(axes[0], sizes, grown[name], **STYLE[name])
for name in ("FD", "LFD"):
    plots.band(axes[1], sizes, touched[name], **STYLE[name])
axes[1].plot(sizes, sizes, "--", color="black", label="whole graph")
axes[0].set(xscale="log", xlabel="nodes", ylabel="F1, %", ylim=(0, 103))
axes[1].set(xscale="log", yscale="log", xlabel="nodes", ylabel="touched nodes")
plots.legend_below(fig)
plt.show()

# %% tags=["hide-input", "show"]
before, last = touched["LFD"].mean(0)[-2:]
at_end = [grown[name][:, -1].mean() for name in ("labels", "LFD")]
paper.say(f"""In the largest graph the LFD touched {last:.0f} of {sizes[-1]}
nodes, in the second largest {before:.0f} of {sizes[-2]}. F1 in the largest:
labels {at_end[0]:.0f} %, LFD {at_end[1]:.0f} %.""")

# %% [markdown]
# Labels that look perfect by accuracy become useless as a list of members, yet they serve the
# diffusion as well as ever: it never meets most of the false alarms. In small graphs the number of touched
# nodes grows at first for a plain reason: two members then often share an outside neighbour.
#
# ### A real graph: packages of an operating system
#
# Nodes are packages of Debian, with an edge where one depends on another or recommends it. A few hubs that nearly
# everything needs (more than 150 neighbours) are dropped, and the largest connected part is kept. The clusters are the archive's
# **sections**, such as `perl`, `sound` or `science`: all those with at least 100 packages and a
# conductance below 0.6. That rule looks at the graph, not at any method's success.
#
# The noisy labels come from the packages' descriptions. For each target a logistic regression on MiniLM sentence
# vectors learns from 25 members and 25 other packages, and labels everything. One of the 25 members is the
# seed. At the scale `full` the graph is **Cora** instead, one of the paper's own: scientific papers, citations, seven classes by the same rule, and bags of words in
# place of sentence vectors. Capacities are $T_i=\deg(i)$ and the mass is $\alpha\,\mathrm{vol}(K)$, the volume of the cluster, again taken as known.


# %% tags=["hide-input"]
def real_graph():
    """A (n, n), the cluster of each node (n,), and unit vectors (n, dim)."""
    if paper.scale == "full":
        d = load("cora", scale="full")
        rows = largest_part(d.A)
        words = d.x[rows].numpy()
        words /= np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12)
        return d.A[rows][:, rows].tocsr(), d.y[rows].numpy().astype(str), words
    d = load("debian_packages")
    A, rows = dependency_graph(d)
    return A, np.array(d.section)[rows], load("debian_minilm").numpy()[rows]


def logistic(x, y, strength=10.0, steps=15):
    """Ridge-penalised, by Newton's method on the dual side.

    x (m, dim), y (m,) bool -> a function that gives probabilities.
    """
    z = np.c_[x, np.ones(len(x))]
    gram, c = z @ z.T, np.zeros(len(x))  # weights = z.T @ c
    for _ in range(steps):
        p = 1 / (1 + np.exp(-gram @ c))
        h = p * (1 - p)
        c -= np.linalg.solve(np.eye(len(x)) / strength + h[:, None] * gram,
                             c / strength + p - y)  # fmt: skip
    w = z.T @ c
    return lambda x_new: 1 / (1 + np.exp(-(x_new @ w[:-1] + w[-1])))


A, section, vectors = real_graph()
n, degree = A.shape[0], np.diff(A.indptr).astype(float)
names = [
    str(one)
    for one in np.unique(section)
    if (section == one).sum() >= 100 and conductance(A, section == one) < 0.6
][: cfg.sections]
REAL = "Cora's classes" if paper.scale == "full" else "Debian's sections"
ends = np.repeat(np.arange(n), np.diff(A.indptr)), A.indices  # of each edge
gaps = 2 - 2 * np.einsum("ij,ij->i", *(vectors[end] for end in ends))

# %% tags=["hide-input", "show"]
paper.say(f"""{n} nodes, {A.nnz // 2} edges and {len(names)} of {REAL} that
fulfil the rule: {", ".join(names)}.""")

# %% [markdown]
# Four methods compete, each with six settings:
#
# - **labels**: six thresholds on the classifier's probability (the first, 0.5, gives the labels that LFD uses);
# - **FD**, the plain diffusion: six masses;
# - **LFD**: three masses times two values of $\epsilon$;
# - **WFD**, the authors' earlier method {cite}`yang2023weighted`: no classifier, the weight of an edge is
#   $e^{-\gamma\|v_i-v_j\|^2}$ from the sentence vectors at its ends; three masses times two $\gamma$.
#
# Settings are tuned by **cross-fitting**: each seed cuts the sections into two halves, and each half uses the setting with the best mean F1
# on the other. F1 leaves out the 50 packages that trained the classifier, so that nobody is paid for what was given.

# %%
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
ALPHAS, FEW_ALPHAS = (0.75, 1.5, 2, 3, 4, 5), (0.75, 1.25, 2)
EPSILONS, GAMMAS = (0.01, 0.05), (1.0, 4.0)


def one_section(rng, K):
    """F1 of every method and setting on one target, and how labels fare."""
    members = rng.choice(np.flatnonzero(K), 25, replace=False)
    known = np.r_[members, rng.choice(np.flatnonzero(~K), 25, replace=False)]
    probability = logistic(vectors[known], K[known])(vectors)
    probability[known] = K[known]
    y, start, vol = probability > 0.5, members[0], degree[K].sum()
    new = ~np.isin(np.arange(n), known)
    scores = {"labels": np.array([probability > t for t in THRESHOLDS])}
    edges = A.indices, A.indptr
    kernels = [np.exp(-gamma * gaps) for gamma in GAMMAS]
    weighted = {
        "FD": [A],
        "LFD": [weigh(A, y, eps) for eps in EPSILONS],
        "WFD": [sp.csr_matrix((k, *edges), A.shape) for k in kernels],
    }
    unsettled = []  # per diffusion: nodes that still overflow, % of the mass
    for arm, of_arm in weighted.items():
        masses = np.array(ALPHAS if arm == "FD" else FEW_ALPHAS) * vol
        found = []
        for W in of_arm:
            x, m = push(W, degree, start, masses, sweeps=cfg.section_sweeps)
            left = (m - degree)[m > degree * 1.01]
            unsettled.append((len(left), 100 * left.sum() / masses[-1]))
            found.append(x > 0)
        scores[arm] = np.concatenate(found)
    scores = {arm: f1(C[:, new], K[new]) for arm, C in scores.items()}
    rates = (100 * y[K].mean(), 100 * (~y[~K]).mean())
    return scores, rates, probability, unsettled


# %%
outcomes = []
for seed in paper.seeds:
    rng = streams.numpy(seed, "training packages")
    outcomes.append([one_section(rng, section == one) for one in names])
real = {  # F1 (S, sections, settings)
    arm: np.array([[o[0][arm] for o in one_seed] for one_seed in outcomes])
    for arm in outcomes[0][0][0]
}
accuracy = np.array([[o[1] for o in one_seed] for one_seed in outcomes])
unsettled = np.array([[o[3] for o in one_seed] for one_seed in outcomes])
chosen = {arm: [] for arm in real}
items = {arm: np.zeros((S, len(names))) for arm in real}
for q, seed in enumerate(paper.seeds):
    order = streams.numpy(seed, "halves").permutation(len(names))
    halves = np.array_split(order, 2)
    for arm, scores in real.items():
        for mine, other in (halves, halves[::-1]):
            best = int(scores[q, other].mean(0).argmax())
            items[arm][q, mine] = scores[q, mine, best]
            chosen[arm].append(best)
items["labels, as given"] = real["labels"][:, :, THRESHOLDS.index(0.5)]
few = {"alpha": FEW_ALPHAS}
grids = {
    "labels": {"threshold": THRESHOLDS},
    "FD": {"alpha": ALPHAS},
    "LFD": {"epsilon": EPSILONS} | few,
    "WFD": {"gamma": GAMMAS} | few,
}
for arm, scores in items.items():
    paper.arm(arm, f"F1, mean over {REAL}", scores.mean(1))
for arm, grid in grids.items():
    what = {"index, two halves per seed": chosen[arm]}
    paper.choice(f"{arm}, {REAL}", grid, what)
paper.shared_part(f"the graph and {REAL}", "there is one such graph")

# %% mystnb={"figure": {"caption": "Debian: F1 of the recovered section for each section (one row) and method, means over seeds. Sections are ordered by the lead of LFD over the better of its two ingredients, FD and labels (with tuned threshold).", "name": "fig-local_graph_clustering-debian"}, "image": {"alt": "Dot plot with one row per Debian section and three markers per row for labels, FD and LFD on an axis of F1. In many rows LFD lies furthest right, in others the labels or FD do."}} tags=["hide-input", "show"]
mean_f1 = {name: v.mean(0) for name, v in items.items()}  # (sections,)
ahead = mean_f1["LFD"] - np.maximum(mean_f1["labels"], mean_f1["FD"])
order = np.argsort(-ahead)
fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.24 * len(names)))
for name, style in STYLE.items():
    ax.plot(mean_f1[name][order], range(len(names)), linestyle="", **style)
ax.set_yticks(range(len(names)), [names[q] for q in order])
ax.set(xlabel="F1, %", xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
plots.legend_below(fig)
plt.show()

# %% tags=["hide-input", "show"]
rows = [
    {
        "section": names[q],
        "packages": int((section == names[q]).sum()),
        "a1, %": accuracy[:, q, 0].mean(),
        "a0, %": accuracy[:, q, 1].mean(),
        **{name: v[q] for name, v in mean_f1.items()},
    }
    for q in order
]
paper.table(rows, caption="Debian: accuracy of the labels, and F1 in %.")
wins = [(mean_f1["LFD"] > mean_f1[name]).sum() for name in ("FD", "labels")]
paper.say(f"""LFD beats FD in {wins[0]} of {len(names)} sections, the labels
with a tuned threshold in {wins[1]}, and both in {(ahead > 0).sum()}.""")
FD_runs, LFD_runs = unsettled[:, :, 0], unsettled[:, :, 1:3]
cut = [100 * (r[..., 0] > 0).mean() for r in (LFD_runs, FD_runs)]
mass = [r[..., 1].mean() for r in (LFD_runs, FD_runs)]
nodes = [r[..., 0].max() for r in (LFD_runs, FD_runs)]
paper.say(f"""The limit of sweeps cuts off {cut[0]:.0f} % of the runs of LFD and
{cut[1]:.0f} % of those of FD at their largest masses (alpha {FEW_ALPHAS[-1]}
and {ALPHAS[-1]}): there {mass[0]:.1f} and {mass[1]:.1f} % of the mass have not
settled in the mean, on up to {nodes[0]:.0f} and {nodes[1]:.0f} nodes.""")

# %% [markdown]
# The sections are unlike each other, and the reasons are instructive. Where a section is one connected body with a border, such as `ocaml`
# or `java`, diffusion knows the body and labels trim its edges. A section of leaf packages that have
# nothing to do with one another, such as games, is a cluster only by name: no flow from one game reaches
# the next, whatever the weights, and the classifier alone is the right tool. The method
# presumes that the target is connected.
#
# ## Paper against measured
#
# Effects are paired over seeds. The accuracies in the block model are ours, so what they say against the plain diffusion is a question of ours. On Debian the sections are not a sample: they are all that fulfil the rule, as a paper's table has all
# classes of its graphs. The intervals there are over seed nodes and training packages, and say nothing of other sections.
#
# The labels enter twice on Debian. "The labels that it was given" are the classifier's answers at the threshold 0.5, which the
# diffusion uses too; this is the paper's comparison. "The classifier with a tuned threshold" is a harder rival of ours: it was
# trained on as many members as strangers, so in a graph with few members a higher threshold suits it better.

# %%
paper.report()

# %% [markdown]
# ## What to take away

# %% tags=["hide-input", "show"]
poor, good = (np.mean([result[a1, a0][0] for a0 in OUTSIDE]) for a1 in INSIDE)
final = {arm: scores.mean() for arm, scores in items.items()}
paper.say(f"""In the block model labels with 90 % accuracy inside bring the
diffusion from {result["FD"][0].mean():.0f} % F1 to {good:.0f} %, labels with
70 % to {poor:.0f} %. On {len(names)} of {REAL} LFD has
{final["LFD"]:.0f} %, FD
{final["FD"]:.0f} %, the labels as given {final["labels, as given"]:.0f} %; the
strongest rival is the classifier alone with a tuned threshold, at
{final["labels"]:.0f} %, and WFD, which needs no classifier, has
{final["WFD"]:.0f} %.""")

# %% [markdown]
# Use the method where the graph is too large to label every node, the target hangs together, and members are mostly recognised.
# Do not count on it where the labels miss many members: a plain diffusion with enough mass is then as good or better. And where every node can be
# labelled, try the classifier with a stricter threshold first.
#
# ## What differs from the paper
#
# - **What could be read.** The paper's abstract, its reviews and accounts of it, and the code of the same group's earlier
#   method. Tables, figures and the exact theorem could not; no code of this paper was found. Edge weights, label model, diffusion
#   and the recommended range of $\epsilon$ are the paper's. Set-up, accuracies and grids of the experiments are ours.
# - **Data.** The paper uses six attributed graphs, by an account of it: Amazon Photo, Amazon Computers, Coauthor CS, Coauthor
#   Physics, Cora and Pubmed. Here it is the dependency graph of Debian with sections as clusters, and at `full` Cora. The attributes of the other five,
#   which the classifier needs, are in no public repository that could be reached.
# - **Size.** Block model of 2,000 nodes with clusters of 100. The authors' earlier code uses 10,000 and 500; the scale `full` does too.
# - **Choosing the mass.** The earlier code reports the best mass on synthetic graphs and the mass of smallest conductance on real
#   ones. Here every setting is tuned on other clusters; in the block model the choice by conductance stands beside it. $k$ or
#   $\mathrm{vol}(K)$ is taken as known, as there.
# - **Push.** All overflowing nodes push at once instead of in random order, with a tolerance of 1 %, at most 100
#   sweeps for each mass, as in the authors' earlier code, and 200 on Debian. **Many diffusions on Debian have not settled by then**: in the worst
#   case thousands of nodes still overflow, and most of the mass is on its way. It is worst for LFD with the smaller $\epsilon$, whose thin edges
#   let mass out slowly; the plain diffusion mostly settles, and where it does not, more nodes overflow. How often, and with how much
#   of the mass, is printed under the table. With $\epsilon=0$ mass can exceed what its component absorbs; the limit on sweeps ends those runs.
# - **Labels of LFD on Debian** stay at the threshold 0.5, while the rival's threshold is tuned; exercise 2 looks at what that costs.
# - **Ends of grids on Debian.** The most frequent choice of LFD is its largest mass with its smallest $\epsilon$, that of WFD its largest mass with
#   its larger $\gamma$. Larger masses do not settle within the sweeps; a wider grid might serve both a little better.
# - **PageRank** with sweep cuts, to which reviews say the paper compares, is left out to keep the page short; besides, a sweep cut is not told the volume of the cluster,
#   which both diffusions are.
# - **Regimes tried and dropped.** Half as many outside edges (19): the plain diffusion then
#   recovers nearly everything. 4,000 nodes with 60 outside edges: the plain diffusion's best mass lay at the end of
#   the grid. A grid of masses up to $\alpha=4$: the plain diffusion had not reached its best. A mass tuned for each seed alone, on three clusters: twice
#   the spread over seeds. The experiment on $\epsilon$ with 90 % correct labels inside and outside: the cut then cost under 2 points, and could
#   hardly cost more than delta, since only one member in ten has the wrong label. Debian with 40 sweeps: a third or more of the mass was on its way when they ended, and
#   the largest masses looked best for that reason alone; with masses above 2 for LFD even 400 sweeps do not settle a fifth of it. Intervals over sections:
#   fourteen sections differ too much to decide anything.
#
# ## On your own data
#
# Adjacency and true-or-false labels in, one cluster out.


# %% tags=["own-data"]
def cluster_around(
    A, y, seed_node, size, eps=0.05, alphas=(1, 1.5, 2, 3, 4, 6)
):
    """The cluster of one node.

    A: adjacency (n, n) of 0 and 1, symmetric, sparse or dense; y: (n,), 1 for
    "looks like a member"; size: about how many -> (n,) bool, the members found.
    """
    A, y = sp.csr_matrix(A, dtype=float, copy=True), np.array(y)
    A.sum_duplicates()
    A.eliminate_zeros()
    n, simple = A.shape[0], not A.diagonal().any() and (A.data == 1).all()
    if not simple or A.shape[0] != A.shape[1] or (A != A.T).nnz or not A.nnz:
        raise ValueError("Give a symmetric matrix of 0 and 1 without loops.")
    is_guess = y.dtype.kind in "biuf" and np.isin(y, (0, 1)).all()
    if y.shape != A.shape[:1] or not is_guess:
        raise ValueError("Give one label 0 or 1 a node.")
    if seed_node not in range(n) or not 1 <= size <= n:
        limits = f"a seed node from 0 to {n - 1} and a size from 1 to {n}"
        raise ValueError(f"Give {limits}.")
    y = y == 1
    y[seed_node] = True  # the seed is known to be a member
    W, masses = weigh(A, y, eps), np.array(alphas) * size
    found = push(W, np.ones(n), seed_node, masses)[0] > 0
    return found[np.argmin([conductance(W, C) for C in found])]


two_groups = np.kron(np.eye(2), 1 - np.eye(5))
two_groups[4, 5] = two_groups[5, 4] = 1  # one bridge
guesses = [1, 1, 0, 1, 1, 0, 1, 0, 0, 0]
print(np.flatnonzero(cluster_around(two_groups, guesses, 0, size=5)))

# %% [markdown]
# Tune the source mass first (`alphas`), then $\epsilon$ between 0.01 and 0.1. The diffusion costs as much as the nodes it reaches.
# It fails where the target is not connected, and where labels miss many members.
# Flow diffusion and PageRank clustering on weighted graphs are in the library `localgraphclustering`.
#
# ## Exercises
#
# ### Exercise 1
#
# Leave the seed's own label as the noise drew it. What happens to the F1 at $a_1=0.7$ in those trials where the seed
# came out with label 0? Explain where the diffusion goes.

# %% tags=["solution", "hide-cell"]
pair = (0.7, OUTSIDE[-1])
right, wrong, column = [], [], MASSES.index(result[pair][2])
for (A_sbm, targets), ys in zip(graphs, drawn[pair]):
    for (K, s), y in list(zip(targets, ys))[:4]:
        right.append(diffuse(A_sbm, K, s, y, EPS)[column])
        flipped = np.where(np.arange(len(y)) == s, False, y)
        wrong.append(diffuse(A_sbm, K, s, flipped, EPS)[column])
paper.say(f"""Label of the seed 1: mean F1 {np.mean(right):.0f} %; label 0:
{np.mean(wrong):.0f} % ({len(right)} clusters). With label 0 the thick edges of
the seed lead to nodes with label 0, most of which are strangers, and to the
missed members. The thin edges now guard the cluster against its own seed.""")

# %% [markdown]
# ### Exercise 2
#
# The classifier with a tuned threshold is a strong rival on Debian, but the diffusion had to take the labels at threshold 0.5. Give
# it the labels of higher thresholds, which trade missed members for fewer false alarms. Where does each method peak?

# %% tags=["solution", "hide-cell"]
rows, some = [], outcomes[:3]  # seeds
for threshold in THRESHOLDS:
    alone, both = [], []
    for outcome in some:
        for name, (_, _, probability, _) in zip(names, outcome):
            K, y = section == name, probability > threshold
            start = np.flatnonzero(K & (probability == 1))[0]  # known
            W, mass = weigh(A, y, EPSILONS[0]), [1.25 * degree[K].sum()]
            x, _ = push(W, degree, start, mass, sweeps=cfg.section_sweeps)
            alone.append(f1(y, K))
            both.append(f1(x[0] > 0, K))
    means = {"labels": np.mean(alone), "LFD": np.mean(both)}
    rows.append({"threshold": threshold, **means})
paper.table(rows, caption="Mean F1 in %; nothing is tuned.")
tops = [max(rows, key=lambda row: row[arm]) for arm in ("labels", "LFD")]
paper.say(f"""The labels peak at {tops[0]["threshold"]:g}, the diffusion at
{tops[1]["threshold"]:g}. This is {len(some)} seeds and a setting that is read
off the truth, hence no verdict.""")

# %% [markdown]
# ## References
#
# The paper: {cite}`local_graph_clustering`. Flow diffusion: {cite}`fountoulakis2020flow`; with weights from attributes:
# {cite}`yang2023weighted`. Local clustering by PageRank and sweep cuts: {cite}`andersen2006local`.
