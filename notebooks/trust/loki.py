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
# # Geometry-Aware Adaptation for Pretrained Models
#
# Nicholas Roberts, Xintong Li, Dyah Adila, Sonia Cromp, Tzu-Heng Huang, and others. *NeurIPS 2023*. [arXiv 2307.12226](https://arxiv.org/abs/2307.12226) · [the authors' code](https://github.com/SprocketLab/loki) · {cite}`loki`
#
# **In one line.** The argmax of a classifier is replaced by the class with the smallest mean squared distance, so that classes nobody trained on can be predicted; beside it a constant answer, and the same geometry with its labels permuted.
#
# **Part.** Knowing what you know. **Fidelity**: method. The rule, the locus, the choice of classes and the classifier are the paper's; definitions in WordNet and turned pictures stand where it has ImageNet.
#
# **The published run**: frozen SimCLR features and 1,000 logistic regressions on ImageNet, CLIP on CIFAR-100 and ImageNet, 5 nearest neighbours on PubMed and LSHTC; hours are not stated in what we could read. **This notebook**: at `small` about 1 minute of one core. At `full` the same data with four times the draws, more pictures and trees, and twice the seeds; no GPU. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/trust/loki.ipynb).

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

shared.ensure("loki")

# %% tags=["parameters"]
scale = None  # "smoke", "small" or "full"; None: $BOOK_SCALE, else "small"
seeds = None  # a count or a list; None: $BOOK_SEEDS, else what the scale says
# %% [markdown]
# ## The idea
#
# A classifier knows the classes that it was trained on, and no others: the answer is the most likely of them, the *argmax*. The world has more
# classes. Someone who learned ten kinds of things will call a harpsichord a typewriter, and to the argmax this error is no better and no worse than calling it a mushroom.
#
# Often we know how classes lie to each other: a taxonomy, a map, a circle of angles. Roberts et al. {cite}`loki` use that knowledge at the
# moment of prediction. If the classifier says "half sparrow, half eagle", answer with the class that lies *between* these two, even when nobody ever trained on it.
# The rule is called Loki. It needs no training, only a table of distances and one matrix product, and it can be put in the place of the argmax of any classifier.
#
# The first figure shows what changes. Three classes are observed, at the ends of a small tree with ten. Every point of a triangle is one possible answer of
# the classifier: corners are certainty, the middle is "all three alike". The argmax cuts the triangle in three, Loki in as many pieces as there are classes it can reach.

# %% tags=["hide-input"]
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse.csgraph import shortest_path
from shared import data as datasets
from shared import own, plots
from shared import seeds as streams

# %%
from shared.paper import Paper
from torch.nn import functional as F

paper = Paper("loki", scale=scale, seeds=seeds)
plots.style()

# %% [markdown]
# ## The method
#
# ### The step: a weighted mean of classes
#
# There are $N$ classes $y_1\dots y_N$ with a distance $d$ between any two. The classifier was trained on $K$ of them, $\lambda_1\dots\lambda_K$, and gives them probabilities
# $P(\lambda_k|x)$. The **Fréchet mean** of these classes is the point whose mean *squared* distance to them is smallest, which is what a mean is among numbers. Loki answers with
#
# $$\hat y(x)=\arg\min_{y}\ \sum_{k=1}^{K}P(\lambda_k|x)\,d^2(y,\lambda_k),$$
#
# where $y$ runs over **all** $N$ classes. What is to be small in the end is the squared distance between answer and truth.


# %%
def frechet_mean(p, d2):
    """p (n, K) weights, d2 (K, N) squared distances -> (n,) classes."""
    return (p @ d2).argmin(1)


# %% [markdown]
# If all classes are observed and all lie at distance 1 from each other, the sum is $1-P(y|x)$, and Loki *is* the argmax. The
# weights need not add up to one: scaling a row moves no minimum.

# %% mystnb={"figure": {"caption": "All answers a classifier with three observed classes can give (corners: certainty), coloured by the prediction. Left, the argmax; right, Loki on a tree with three arms of three classes and a centre. Each colour is one class.", "name": "fig-loki-simplex"}, "image": {"alt": "Two triangles. The left one has three regions that meet in the middle; the right one has ten: along each edge the classes between two corners, and one in the middle."}} tags=["hide-input", "show"]
arms = np.array([[0, 0]] + [[a, r] for a in range(3) for r in (1, 2, 3)])
same = arms[:, None, 0] == arms[None, :, 0]
apart = np.abs(arms[:, None, 1] - arms[None, :, 1])
apart = np.where(same, apart, arms[:, None, 1] + arms[None, :, 1])
fine = np.array([(i, j, 90 - i - j) for i in range(91) for j in range(91 - i)])
ends = [3, 6, 9]
rules = {"argmax": np.array(ends)[fine.argmax(1)]}
rules["Loki"] = frechet_mean(fine, apart[ends] ** 2)
fig, axes = plt.subplots(1, 2, figsize=(6.6, 3))
flat = fine @ [[0, 0], [1, 0], [0.5, 0.87]] / 90
for ax, (kind, chosen) in zip(axes, rules.items()):
    ax.scatter(*flat.T, c=chosen, cmap="tab10", s=7, marker="h", vmin=0)
    count = len(np.unique(chosen))
    ax.set(title=f"{kind}: {count} classes", aspect="equal")
    ax.axis("off")
plt.show()

# %% [markdown]
# ### What can ever be predicted
#
# The **locus** of the observed classes is the set of all classes that Loki answers with for *some* weights. For each class $y$ this is a question about
# linear inequalities in the weights $w$, so a linear program decides it exactly: find the largest margin $t$ by which $y$ beats every other class $y'$,
#
# $$\max_{w\ge0,\ \sum w=1}\ t\quad\text{with}\quad\sum_k w_k\big(d^2(y',\lambda_k)-d^2(y,\lambda_k)\big)\ge t\ \text{ for all }y'\ne y .$$
#
# A class with $t>0$ is reached alone; with $t=0$ it is reached in a *tie*, and whether it is ever answered hangs on how ties are broken; with $t<0$ it is out of reach.


# %%
def margins(d2):
    """Largest margin of each class: d2 (K, N) -> (N,), at most 1."""
    K, N = d2.shape
    found = np.ones(N)
    for y in range(N):
        rest = np.delete(d2, y, axis=1) - d2[:, [y]]  # (K, N - 1)
        if N > 1:
            left = np.column_stack([-rest.T, np.ones(N - 1)])
            best = linprog(
                [0] * K + [-1], left, np.zeros(N - 1), [[1] * K + [0]], [1],
                [(0, 1)] * K + [(None, 1)],
            )  # fmt: skip
            found[y] = best.x[-1]
    return found.round(9) + 0.0


def between(d, seen):
    """In a tree: which classes lie on a path between two of `seen`."""
    over = d[seen][:, None] + d[seen][None]  # (K, K, N)
    return (over == d[np.ix_(seen, seen)][..., None]).any((0, 1))


# %% [markdown]
# In a tree no program is needed, say the authors: the locus is everything on the paths between observed classes. In a complete graph, where all distances are 1, it is the observed classes alone.
#
# ### Which class to observe next
#
# If one more class may be learned, take the one **farthest from the locus**; then the locus grows by a long path.


# %%
def next_class(d, locus, rng):
    """The class farthest from the locus (N,) bool; ties at random."""
    far = d[:, locus].min(1)
    return rng.choice(np.flatnonzero(far == far.max()))


# %% tags=["hide-input"]
def random_tree(n, rng):
    """Distances (n, n) in a tree drawn uniformly, from its Prüfer code."""
    code = rng.integers(n, size=n - 2)
    degree = np.bincount(code, minlength=n) + 1
    edges = np.zeros((n, n))
    for node in code:
        leaf = np.flatnonzero(degree == 1)[0]
        edges[leaf, node] = 1
        degree[[leaf, node]] -= 1
    edges[tuple(np.flatnonzero(degree == 1))] = 1
    return shortest_path(edges, directed=False)


# %% [markdown]
# ## Sanity check
#
# Three cases with a known answer: with distances 0 and 1 Loki is the argmax; with squared Euclidean distances between vectors it is the class nearest to the *mean vector*, which is the older method ConSE {cite}`norouzi2014`; on
# a path whose two ends are observed, weight $w$ on the far end of $L$ edges leads to the class nearest to $wL$.

# %% tags=["hide-input"]
rng = streams.numpy(0, "sanity")
p = rng.dirichlet(np.ones(7), 500)
assert (frechet_mean(p, 1 - np.eye(7)) == p.argmax(1)).all()
e = rng.normal(size=(30, 5))
gap = ((e[:, None] - e[None]) ** 2).sum(-1)
nearest = ((p @ e[:7])[:, None] - e[None]) ** 2
assert (frechet_mean(p, gap[:7]) == nearest.sum(-1).argmin(1)).all()
weight = rng.random(500)
path = (np.array([0, 9])[:, None] - np.arange(10)) ** 2
found = frechet_mean(np.stack([1 - weight, weight], 1), path)
assert (found == (9 * weight).round()).all()
print("All three agree on 500 random weights.")

# %% [markdown]
# ## The experiment
#
# ### Two real geometries
#
# **A taxonomy of words.** WordNet {cite}`miller1995` orders nouns by "is a kind of". Its branches between 120 and 400 nouns are the classes; an input is
# the dictionary definition of a noun in it, from which the words of the class are struck out. A frozen sentence encoder, MiniLM {cite}`reimers2019sentence`, turns it into 384 numbers. The distance is the
# number of edges between two classes in the tree.
#
# **A circle of angles.** Sneakers, boots, sandals and trousers of Fashion-MNIST {cite}`xiao2017fashion`, each turned to one of 36 angles. The class is the angle,
# an input is the picture's 196 pixels, and the distance is the number of steps of ten degrees around the circle.
#
# The test items come from **all** classes, the training items from $K$ of them, drawn at random several times a seed.

# %%
cfg = paper.settings(
    train_words=(4, 20, 20),  # definitions of each class; the rest is tested
    images=(400, 3000, 4000),  # each, for training and for testing
    draws=(1, 5, 20),  # of the observed classes, for each K
    steps=(30, 100, 100),  # of the fit
    trees=(4, 30, 200),  # random trees a seed
)
KS = {"taxonomy": (10, 20, 40, 80), "angles": (6, 12, 18)}
ANGLES = 36

# %% tags=["hide-input"]
words = datasets.load("wordnet", scale=paper.scale)
tree2 = torch.tensor(words.distance).float() ** 2
steps_round = torch.arange(ANGLES)
steps_round = (steps_round[:, None] - steps_round[None]).abs()
circle2 = torch.minimum(steps_round, ANGLES - steps_round).float() ** 2


def turned(x, steps):
    """Images (n, 1, s, s) turned by (n,) steps of ten degrees, bilinear."""
    a = steps * torch.pi / 18
    rows = torch.stack([a.cos(), -a.sin(), 0 * a, a.sin(), a.cos(), 0 * a], 1)
    grid = F.affine_grid(rows.view(-1, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def scaled(x_train, x_test):
    """Columns with mean 0 and variance 1 on the training rows."""
    mean, sd = x_train.mean(0), x_train.std(0)
    sd = torch.where(sd < 1e-3, torch.ones_like(sd), sd)
    return (x_train - mean) / sd, (x_test - mean) / sd


def taxonomy(seed):
    """x_train, y_train, x_test, y_test, squared distances."""
    rng = streams.numpy(seed, "split of the words")
    N = len(tree2)
    rows = [rng.permutation(np.flatnonzero(words.label == c)) for c in range(N)]
    fit = np.concatenate([r[: cfg.train_words] for r in rows])
    held = np.concatenate([r[cfg.train_words :] for r in rows])
    y = torch.tensor(words.label)
    return words.x[fit], y[fit], words.x[held], y[held], tree2


def angles(seed):
    parts = dict(train=cfg.images, test=cfg.images)
    pool = datasets.images(paper.scale, seed, **parts)
    g, made = streams.torch(seed, "angles"), []
    for part in parts:
        x, y = getattr(pool, f"x_{part}"), getattr(pool, f"y_{part}")
        x = x[torch.isin(y, torch.tensor([1, 5, 7, 9]))]
        angle = torch.arange(len(x)) % ANGLES
        angle = angle[torch.randperm(len(x), generator=g)]
        made += [turned(x, angle).flatten(1), angle]
    return *made, circle2


# %% mystnb={"figure": {"caption": "Six pictures of the circle, with the angle that is to be predicted.", "name": "fig-loki-examples"}, "image": {"alt": "Six small grey pictures of shoes and trousers in different orientations, each with its angle in degrees above."}} tags=["hide-input", "show"]
shown_x, shown_y, *_ = angles(paper.seeds[0])
fig, axes = plt.subplots(1, 6, figsize=(6.6, 1.4))
for ax, row, angle in zip(axes, shown_x, shown_y):
    ax.imshow(row.view(14, 14), cmap="gray_r")
    ax.set_title(f"{10 * int(angle)}°")
    ax.axis("off")
plt.show()

# %% tags=["hide-input", "show"]
paper.table(
    [
        {
            "class": words.node_words[words.label[i]][0],
            "noun": words.words[i][0],
            "input": words.text[i][:90],
        }
        for i in range(0, len(words.id), len(words.id) // 5)
    ],
    "Inputs of the taxonomy. The classifier never sees the noun.",
)

# %% [markdown]
# ### The classifier
#
# As in the authors' ImageNet study, it is **one logistic regression for each class against the rest**, with strength $C=1$ (the default of scikit-learn), on frozen features. With targets $t_{ik}\in\{0,1\}$ it minimises
#
# $$\tfrac12\lVert w_k\rVert^2+C\sum_i\Big[\log\big(1+e^{w_k^\top x_i+b_k}\big)-t_{ik}(w_k^\top x_i+b_k)\Big].$$
#
# The curvature of every class is at most $I+\tfrac C4X^\top X$. With that bound in place of the Hessian all classes share one factorisation, and Nesterov's momentum does the rest.


# %%
def one_vs_rest(x, y, classes, steps=100, C=1.0):
    """Weights (d + 1, classes), the last row the intercepts."""
    x = F.pad(x, (0, 1), value=1.0)
    target = F.one_hot(y, classes).to(x.dtype)
    ridge = torch.ones(x.shape[1], 1, dtype=x.dtype)
    ridge[-1] = 1e-6  # the intercept is free
    bound = torch.linalg.cholesky(C / 4 * x.T @ x + ridge.diagflat())
    w = v = torch.zeros(x.shape[1], classes, dtype=x.dtype)
    for step in range(steps):
        slope = C * x.T @ (torch.sigmoid(x @ v) - target) + ridge * v
        new = v - torch.cholesky_solve(slope, bound)
        v = new + step / (step + 3) * (new - w)
        w = new
    return w


def probabilities(w, x):
    return torch.sigmoid(F.pad(x, (0, 1), value=1.0) @ w)


# %% [markdown]
# ### Rivals and controls
#
# - **argmax**, with the same probabilities.
# - **Best constant**: one class for every input, the one with the smallest mean squared distance to all classes. It has seen no input.
# - **Nearest observed**: the observed class nearest to the truth. Nobody can do it; it is the limit of whatever answers with observed classes only.
# - **Permuted geometry**, the decisive control: the classes are dealt out anew to the places of the tree or circle, at random and four times a draw, for prediction *and* score. The classifier stays. If Loki's gain
#   comes from what the geometry knows of the classes, it must shrink here; if it comes from hedging, answering with something in the middle, it need not.
# - **Wrong geometry**: predicted with the permuted table, scored with the true one.
# - **$d$ instead of $d^2$** in the rule, which makes a mean a median.
# - **Columns cut**: the authors fit their classifiers once, on all classes, and cut out $K$ columns. There the observed classes were trained against the unobserved ones.


# %%
def score(p, y, d2, seen, wrong):
    """One draw: p (n, K), y (n,), d2 (N, N), seen (K,), wrong (4, N)."""
    top, best = seen[p.argmax(1)], frechet_mean(p, d2[seen])
    new = ~torch.isin(y, seen)
    found = {("nearest observed", "d2"): d2[seen].min(0).values[y]}
    found["best constant", "d2"] = d2[d2.mean(0).argmin()][y]
    dealt = [d2[w][:, w] for w in wrong]  # classes at other places
    guesses = [frechet_mean(p, other[seen]) for other in dealt]
    pairs = list(zip(dealt, guesses))
    found["Loki, wrong", "d2"] = torch.cat([d2[y, g] for g in guesses])
    found["Loki, permuted", "d2"] = torch.cat([o[y, g] for o, g in pairs])
    found["argmax, permuted", "d2"] = torch.cat([o[y, top] for o in dealt])
    right = torch.cat([100.0 * (g == y)[new] for g in guesses])
    found["Loki, permuted", "new right"] = right
    median = frechet_mean(p, d2[seen].sqrt())
    for rule, guess in ("argmax", top), ("Loki", best), ("median", median):
        right = 100.0 * (guess == y)
        found[rule, "d2"], found[rule, "right"] = d2[y, guess], right
        found[rule, "d2 new"] = d2[y, guess][new]
        found[rule, "new right"] = right[new]
    return {key: float(v.mean()) for key, v in found.items()}


# %% [markdown]
# ### The loop

# %%
POWERS = (0.25, 0.5, 1, 2, 4, 8, 16)  # of the probabilities: 1 / temperature
SWEPT = {"taxonomy": 40, "angles": 12}
# (place, rule, metric) or geometry -> for each seed one value a draw
results = defaultdict(lambda: [[] for _ in paper.seeds])
sweep = defaultdict(lambda: [[] for _ in paper.seeds])
kept = []  # what the zero-shot part and an exercise need, for each seed

for i, seed in enumerate(paper.seeds):
    for geometry, make in (("taxonomy", taxonomy), ("angles", angles)):
        x, y, x_test, y_test, d2 = make(seed)
        N, rng = len(d2), streams.numpy(seed, f"observed, {geometry}")
        all_x, all_test = scaled(x, x_test)
        p_all = one_vs_rest(all_x, y, N, cfg.steps)
        p_all = probabilities(p_all, all_test)
        if geometry == "taxonomy":
            kept.append((p_all, x_test, y_test))
        for K in KS[geometry]:
            for _ in range(cfg.draws):
                seen = torch.tensor(np.sort(rng.permutation(N)[:K]))
                wrong = [torch.tensor(rng.permutation(N)) for _ in range(4)]
                mine = torch.isin(y, seen)
                fit, test = scaled(x[mine], x_test)
                codes = torch.searchsorted(seen, y[mine])
                p = one_vs_rest(fit, codes, K, cfg.steps)
                p = probabilities(p, test)
                for place, q in (("", p), (", cut", p_all[:, seen])):
                    found = score(q, y_test, d2, seen, wrong)
                    for key, value in found.items():
                        results[f"{geometry} {K}{place}", *key][i].append(value)
                if SWEPT[geometry] == K:
                    p = p / p.max(1, True).values
                    bent = [frechet_mean(p**a, d2[seen]) for a in POWERS]
                    bent = [float(d2[y_test, guess].mean()) for guess in bent]
                    sweep[geometry][i].append(bent)
results = {key: np.mean(values, 1) for key, values in results.items()}

# %% tags=["hide-input"]
UNITS = {"d2": "mean squared distance", "d2 new": "mean squared distance, new"}
UNITS |= {"right": "exact matches", "new right": "exact matches, new"}
for (place, rule, metric), values in results.items():
    unit = "%" if "right" in metric else "steps²"
    paper.arm(f"{rule}, {place}", UNITS[metric], values, unit)


def reduction(place, end=""):
    """Per cent of the argmax's squared distance that Loki saves, a seed."""
    ours, base = (results[place, n + end, "d2"] for n in ("Loki", "argmax"))
    return 100 * (1 - ours / base)


PLACES = [f"{geometry} {K}" for geometry in KS for K in KS[geometry]]
for place in [p + end for p in PLACES for end in ("", ", cut")]:
    for name, end in (("true", ""), ("permuted", ", permuted")):
        paper.arm(f"{name}, {place}", "reduction", reduction(place, end), "%")
paper.resampled("train/test split", "observed classes", "angles", "trees")
paper.resampled("permutations")

# %% [markdown]
# ### Does the mean beat the argmax, and is it the geometry?

# %% mystnb={"figure": {"caption": "Mean squared distance to the truth against the number of observed classes, with 95 % bands over seeds; left of each pair the true geometry, right the same places with the classes dealt out at random. Dotted: the best constant answer, which has seen no input. Loki below the argmax on the left says that it helps; the same gap on the right says that the gap alone proves nothing about the geometry.", "name": "fig-loki-distance"}, "image": {"alt": "Four panels. In the true geometries all curves lie lower than in the permuted ones. On both taxonomies the argmax lies well above Loki; on the angles the gap opens with more observed classes and closes under permutation. On the taxonomy both start above the dotted line of the best constant."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, 4, figsize=(7, 3.1))
for ax, (geometry, end) in zip(
    axes, [(g, end) for g in KS for end in ("", ", permuted")]
):
    for j, line in enumerate(("argmax", "Loki", "best constant")):
        name = line + end * (j < 2)  # all classes are alike to a constant
        ys = [results[f"{geometry} {K}", name, "d2"] for K in KS[geometry]]
        look = dict(ls="--:"[j], marker=[*"os", None][j])
        color = plots.COLORS[[1, 0, 6][j]]
        plots.band(ax, KS[geometry], np.stack(ys, 1), line, color, **look)
    ax.set(title=geometry + end.replace(", ", ",\n"), ylim=(0, 140))
    ax.set(xlabel="observed classes")
axes[0].set_ylabel("squared distance (edges², steps²)")
plots.legend_below(fig)
plt.show()

# %% tags=["hide-input", "show"]
RULES = ("argmax", "Loki", "median", "best constant", "nearest observed")
means_of, gain = [], []
for place in PLACES:
    means = [float(results[place, n, "d2"].mean()) for n in RULES]
    means_of.append({"observed": place, **dict(zip(RULES, means))})
    row = {"observed": place, "true": float(reduction(place).mean())}
    row["permuted"] = float(reduction(place, ", permuted").mean())
    row["columns cut"] = float(reduction(f"{place}, cut").mean())
    wrong = results[place, "Loki, wrong", "d2"] / results[place, "argmax", "d2"]
    row["wrong geometry"] = 100 - 100 * float(wrong.mean())
    gain.append(row)
paper.table(means_of, "Mean squared distance.")
paper.table(gain, "What Loki saves of the argmax's squared distance, in %.")
shares = {}
for geometry in KS:
    for name, end in (("true", ""), ("permuted", ", permuted")):
        found = [reduction(f"{geometry} {K}", end).mean() for K in KS[geometry]]
        shares[geometry, name] = f"{min(found):.1f} to {max(found):.1f} %"
paper.say(
    "; ".join(
        f"On the {geometry} Loki saves {shares[geometry, 'true']} of the "
        f"argmax's squared distance, and {shares[geometry, 'permuted']} where "
        "the classes are dealt out at random"
        for geometry in KS
    )
    + "."
)

# %% [markdown]
# A saving *in per cent* that survives the permutation needs no meaningful geometry, only the one by which the answer is scored (with a wrong one Loki is worse than the argmax everywhere, last column): whoever is punished by the square of the distance gains by moving to the middle when in doubt, and a tree has a middle, whatever its leaves are called. A circle has none;
# there only the true order can help, and only once enough angles are known.
# What the true geometry changes in both is the **level**: with it, errors cost less to begin with. Compare with the dotted line too: a prediction that is worse than a constant has told nobody anything.
#
# ### What it costs, and what the new classes get

# %% mystnb={"figure": {"caption": "Left and middle, share of exact matches on all test items, argmax against Loki. Right, squared distance on items of unobserved classes as a share of the argmax's. With 95 % intervals over seeds; lower bars for Loki on the left are the price.", "name": "fig-loki-price"}, "image": {"alt": "Exact matches rise with the number of observed classes and rise less for Loki. On unobserved classes, Loki's squared distance is a fraction of the argmax's."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, 3, figsize=(7, 3.1))
for ax, geometry in zip(axes, KS):
    for line, marker, color in (("argmax", "o", 1), ("Loki", "s", 0)):
        ys = [results[f"{geometry} {K}", line, "right"] for K in KS[geometry]]
        plots.band(
            ax, KS[geometry], np.stack(ys, 1), line, plots.COLORS[color], marker
        )
    ax.set(title=geometry, xlabel="observed classes", ylim=(0, None))
axes[0].set_ylabel("exact matches (%)")
ys = [
    100 * results[p, "Loki", "d2 new"] / results[p, "argmax", "d2 new"]
    for p in PLACES
]
plots.points(axes[2], PLACES, np.stack(ys, 1), horizontal=True)
axes[2].axvline(100, ls="--", color="0.4", lw=1)
axes[2].set(xlabel="new classes (% of argmax)")
axes[2].invert_yaxis()
plots.legend_below(fig)
plt.show()

# %% tags=["hide-input", "show"]
hits = [
    [results[p, n, "new right"].mean() for n in ("Loki", "Loki, permuted")]
    for p in PLACES
]
said = [
    f"{a:.1f} % ({p}; permuted {b:.1f} %)" for p, (a, b) in zip(PLACES, hits)
]
paper.say(
    f"Items of unobserved classes get their own class exactly in "
    f"{', '.join(said)}. With the argmax it is never."
)

# %% [markdown]
# ### How sure should the classifier be?
#
# Raising the probabilities to a power makes them sharper or flatter; the power is one over the *temperature*. Sharp ones turn Loki into the argmax, flat ones send everything to the middle of the observed classes.

# %% mystnb={"figure": {"caption": "Squared distance of Loki when the probabilities are raised to a power, with 95 % bands; dashed the argmax, dotted the best constant. A flat line would mean that calibration does not matter.", "name": "fig-loki-temperature"}, "image": {"alt": "Two panels with curves that fall and rise again: too flat and too sharp probabilities both cost distance, and the sharp end meets the argmax. On the taxonomy the lowest point lies at a half."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, 2, figsize=(6.6, 3))
for ax, geometry in zip(axes, KS):
    place = f"{geometry} {SWEPT[geometry]}"
    plots.band(ax, POWERS, np.mean(sweep[geometry], 1), "Loki", marker="s")
    for line, style in (("argmax", "--"), ("best constant", ":")):
        level = results[place, line, "d2"].mean()
        ax.axhline(level, ls=style, color="0.3", label=line)
    ax.set(title=place, xscale="log", xlabel="power of the probabilities")
    ax.set_xticks(POWERS, [str(power) for power in POWERS])
    ax.minorticks_off()
axes[0].set_ylabel("squared distance")
plots.legend_below(fig)
plt.show()

# %% [markdown]
# ### With no geometry at hand
#
# A *zero-shot* classifier compares an input with the names of the classes: the probabilities are the softmax of a scale times the cosine between definition and name, here over all classes. The authors
# then take the distance between classes from the same encoder, $d^2(y_i,y_j)=\lVert e_i-e_j\rVert^2$. Scale 20 is the one with which MiniLM was trained, as 100 is for the authors' CLIP.

# %%
SCALES = (5, 10, 20, 50, 100)
names2 = torch.cdist(words.x_names, words.x_names) ** 2
zero_shot = {(rule, s): [] for rule in ("argmax", "Loki") for s in SCALES}
for _, x_test, y_test in kept:
    cosine = x_test @ words.x_names.T
    for s in SCALES:
        p = (s * cosine).softmax(1)
        guesses = {"argmax": p.argmax(1), "Loki": frechet_mean(p, names2)}
        for rule, guess in guesses.items():
            value = 100 * float(names2[y_test, guess].mean())
            zero_shot[rule, s].append(value)
for (rule, s), values in zero_shot.items():
    metric = "mean squared distance of names x 100"
    paper.arm(f"{rule}, scale {s}", metric, values, "")

# %% tags=["hide-input", "show"]
saved = {}
for s in SCALES:
    left = np.divide(zero_shot["Loki", s], zero_shot["argmax", s])
    saved[s] = 100 - 100 * left.mean()
paper.say(
    "Zero-shot, Loki saves "
    + ", ".join(f"{saved[s]:.1f} % at scale {s}" for s in SCALES)
    + " of the squared distance between names."
)

# %% [markdown]
# ### What can be reached, and how to reach more

# %% mystnb={"figure": {"caption": "The exact locus of observed classes (black squares) on five graphs: blue circles are reached alone, orange triangles in ties only, crosses never. On the grid, two opposite corners reach everything, but only if ties are broken at random.", "name": "fig-loki-locus"}, "image": {"alt": "Five small graphs. On path and tree all classes between the observed ones are blue; on the grid most are orange; on the cycle some are blue; in the complete graph all others are crossed out."}} tags=["hide-input", "show"]
ring = np.arange(12) * 2 * np.pi / 12
ring = np.stack([np.cos(ring), np.sin(ring)], 1)
grid = np.array([(i, j) for i in range(5) for j in range(5)])
third = np.array([0, 1, 2]) * 2 * np.pi / 3 + np.pi / 2
star = arms[:, [1]] * np.stack([np.cos(third), np.sin(third)], 1)[arms[:, 0]]
clock = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
city = np.abs(grid[:, None] - grid[None]).sum(-1)
line_of = np.repeat(np.arange(6)[:, None], 2, 1)
pictures = {
    "path": (line_of, [1, 4], clock[:6, :6]),
    "tree": (star, [3, 6, 8], apart),
    "grid": (grid, [0, 24], city),
    "cycle": (ring, [0, 3, 5], np.minimum(clock, 12 - clock)),
    "complete": (ring[::2], [0, 1, 3], 1 - np.eye(6)),
}
fig, axes = plt.subplots(1, 5, figsize=(7, 2.3))
reached = {}
for ax, (name, (at, marked, far)) in zip(axes, pictures.items()):
    t = margins(far[marked] ** 2)
    for a, b in np.argwhere(np.triu(far == 1)):
        ax.plot(*at[[a, b]].T, "-", color="0.85", lw=1, zorder=0)
    for label, on, marker, color in (
        ("alone", t > 0, "o", plots.COLORS[0]),
        ("in a tie", t == 0, "^", plots.COLORS[1]),
        ("never", t < 0, "x", "0.4"),
        ("observed", np.isin(range(len(at)), marked), "s", "black"),
    ):
        ax.scatter(*at[on].T, c=color, marker=marker, s=26, label=label)
    reached[name] = int((t > 0).sum()), int((t == 0).sum()), len(at)
    ax.set(title=name, aspect="equal")
    ax.margins(0.15)
    ax.axis("off")
plots.legend_below(fig)
plt.show()

# %% tags=["hide-input", "show"]
paper.say(
    "Reached alone and in ties: "
    + "; ".join(f"{n} {a} and {t} of {N}" for n, (a, t, N) in reached.items())
    + "."
)

# %% [markdown]
# Then the random trees of the authors: 20 classes of which 3 are observed at first, and 50 of which 6 are. As in the authors' code, trees are drawn uniformly among all labelled ones, and *random* draws among the classes out of reach. *Blind*, among all unobserved classes, is ours.


# %%
def grown(d, start, turns, rng, rule):
    """Size of the locus after 0, 1, ... turns further classes."""
    seen = list(rng.permutation(len(d))[:start])
    sizes = []
    for turn in range(turns + 1):
        locus = between(d, seen)
        sizes.append(int(locus.sum()))
        if turn < turns:
            rest = np.setdiff1d(np.arange(len(d)), seen)
            out = np.flatnonzero(~locus)  # of reach
            if rule == "active" and len(out):
                seen.append(next_class(d, locus, rng))
            else:
                fresh = rule == "random" and len(out)
                seen.append(rng.choice(out if fresh else rest))
    return sizes


TURNS = {20: 10, 50: 30}
CHOICES = ("active", "random", "blind")
curves = {(n, rule): [] for n in TURNS for rule in CHOICES}
exact_tree, exact_complete = [], []
for seed in paper.seeds:
    rng = streams.numpy(seed, "trees")
    for n, turns in TURNS.items():
        trees = [random_tree(n, rng) for _ in range(cfg.trees)]
        for rule in CHOICES:
            sizes = []
            for k, d in enumerate(trees):
                start = streams.numpy(seed, f"start {k}")
                first = 3 if n == 20 else 6
                sizes.append(grown(d, first, turns, start, rule))
            curves[n, rule].append(np.mean(sizes, 0))
    d, seen = random_tree(14, rng), rng.permutation(14)[:4]
    exact_tree.append((between(d, seen) == (margins(d[seen] ** 2) >= 0)).all())
    unit = 1 - np.eye(14)
    known = np.isin(np.arange(14), seen)
    exact_complete.append(((margins(unit[seen]) >= 0) == known).all())
for (n, rule), sizes in curves.items():
    for turn in (3, 5, 10):
        size = [s[turn] for s in sizes]
        paper.arm(f"{rule}, {n}", f"locus after {turn}", size, "classes")
paper.claim("locus_of_a_tree", passed=exact_tree)
paper.claim("locus_of_a_complete_graph", passed=exact_complete)

# %% mystnb={"figure": {"caption": "Size of the locus against the number of classes added, on random trees of 20 (left) and 50 classes; the mean over trees, with 95 % bands over seeds. Hollow: what was read off the authors' plot. Were the choice of no use, the curves would lie on each other. Blind choice wastes turns on classes that can be predicted already.", "name": "fig-loki-active"}, "image": {"alt": "In both panels the curve of the active choice rises fastest and reaches the dashed line of all classes first; random choice follows, blind choice is last."}} tags=["hide-input", "show"]
fig, axes = plt.subplots(1, 2, figsize=(6.6, 3.1))
for ax, (n, turns) in zip(axes, TURNS.items()):
    for j, rule in enumerate(CHOICES):
        sizes = np.array(curves[n, rule])
        look = dict(color=plots.COLORS[j], ls=["-", "-.", ":"][j])
        plots.band(ax, range(turns + 1), sizes, rule, **look)
    ax.axhline(n, ls="--", color="0.4", lw=1)
    ax.set(title=f"{n} classes", xlabel="classes added")
for j, values in enumerate(([16.3, 18.2], [13.6, 16.5])):  # active, random
    look = dict(mfc="none", color=plots.COLORS[j], ls="", marker="D")
    axes[0].plot([3, 5], values, **look, label="authors' plot")
axes[0].set_ylabel("classes in the locus")
plots.legend_below(fig)
plt.show()

# %% [markdown]
# ## Paper against measured

# %%
paper.report()

# %% [markdown]
# ## What to take away

# %% tags=["hide-input", "show"]
level = np.array([[row[name] for name in RULES] for row in means_of])
worse, lost = (level[:, :2] > level[:, [3]]).sum(0)
paid = [
    float((results[p, "argmax", "right"] - results[p, "Loki", "right"]).mean())
    for p in PLACES
]
first, second = KS
paper.say(
    f"Loki saves {shares[first, 'true']} of the argmax's squared distance on "
    f"the taxonomy and {shares[second, 'true']} on the circle, and pays with "
    f"up to {max(paid):.1f} points of exact matches. With the classes dealt "
    f"out at random it is {shares[first, 'permuted']} and "
    f"{shares[second, 'permuted']}. The strongest rival is a constant: it "
    f"beats the argmax in {worse} and Loki in {lost} of {len(PLACES)} "
    f"settings. The self-derived metric saves {saved[20]:.1f} %."
)

# %% [markdown]
# Use Loki where a near miss is worth something and the distance says how much: grades, dates, angles, taxonomies whose cost is the squared distance.
# Report the best constant beside it, and the same numbers with permuted labels, before the geometry gets the credit.
# Do not use it where only the exact class counts, and do not expect it to *name* new classes: it brings them nearer.
#
# ## What differs from the paper
#
# - **ImageNet and CLIP** are not run. In their place WordNet's nouns, of which ImageNet's tree is a part, with definitions for images, MiniLM for SimCLR and for CLIP. CIFAR-100, PubMed and LSHTC are absent: other downloads; so are their 5-nearest-neighbour classifiers.
# - **What we could read**: abstract, the authors' code and its stored outputs, from before the final version; not the paper's tables. The values beside ours come from there.
# - **Distances in that code.** In the stored ImageNet study the table of distances is in the order of the tree's leaves and the labels in that of sorted WordNet numbers, so that the printed 29.7 % belongs to a permuted geometry. Whether the final paper ran it again is unknown to us. It is the reason for our control.
# - **Trained on K.** The authors cut columns out of classifiers that were trained against all classes. Both are run here.
# - **Features** have variance one, since $C=1$ acts on scale. Tried on a pilot seed and dropped: unit rows with $C$ of 1, 10 and 100, and rows of length 19.6 with 10 and 100. With 10 to 40 classes Loki saved most with unit rows and $C=10$, and more still under permuted labels; with unit rows and $C=1$ it was worse than the argmax at 80.
# - **The circle** is ours, and so are its rows in the table of verdicts: the paper has no such data. It stood among the paper's settings in a first version of the claims, and left them when the pilot had been seen, because of that rule; its threshold is the same.
# - **Classes near the centre** (the authors' second sampler) are an exercise. Fine-tuning through the rule and the bound on the number of samples are left out: a side topic, and a theorem with constants that no run can test.
# - **The random choice** of a first run was the blind one, which is weaker; the claim is now judged against the stronger one.
# - **Persons and taxa** are left out of WordNet's nouns; classes have 120 to 400 nouns below them; a synset's first hypernym makes the tree.
# - **`full`** has the same data, more draws, trees, pictures and seeds, for an hour of a CPU at most.
# - **Overlapping folds.** Seeds draw from one pool of nouns and images; intervals speak of other draws from it. The zero-shot part redraws test items only.
#
# ## On your own data
#
# A function with probabilities and a table of distances in, classes out. Here grades from 1 to 6, of which only 1, 3 and 6 were ever seen in training.


# %% tags=["own-data"]
def predict_between(probs, distance, observed):
    """The Fréchet mean of each row's classes.

    probs: (n, K) weights of the observed classes, from 0 up.
    distance: (N, N) between all classes; observed: (K,) their rows.
    Returns (n,) rows of `distance`; ties go to the likelier class, where
    one is observed, else to the first.
    """
    probs = own.rows(probs, name="probs", within=(0, np.inf))
    own.rows(distance, name="distance", within=(0, np.inf))
    distance = np.asarray(distance, float)
    observed = np.asarray(observed)
    if len(distance) != len(distance.T) or (np.diag(distance) != 0).any():
        raise ValueError(
            "distance needs N rows, N columns, zeros on its diagonal."
        )
    if not np.allclose(distance, distance.T):
        raise ValueError("distance must be the same in both directions.")
    whole = observed.dtype.kind in "iu" and observed.shape == probs.shape[1:]
    if not whole or not set(observed.tolist()) <= set(range(len(distance))):
        raise ValueError("observed needs one row of distance for each column.")
    if len(set(observed.tolist())) < len(observed):
        raise ValueError("observed names a class twice.")
    if not (probs.sum(1) > 0).all():
        raise ValueError("A row of probs has no weight at all.")
    probs = probs / probs.sum(1, keepdims=True)
    table = distance[observed]
    cost = probs.astype(float) @ (table / (table.max() or 1)) ** 2
    tied = cost <= cost.min(1, keepdims=True) * (1 + 1e-6) + 1e-15
    likely = np.zeros_like(cost)
    likely[:, observed] = probs
    return np.where(tied, likely, -1).argmax(1)


grades = np.arange(1, 7)
said = [[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.0, 0.4, 0.6], [0.2, 0.2, 0.6]]
apart_by = np.abs(grades[:, None] - grades[None])
print(grades[predict_between(said, apart_by, [0, 2, 5])])

# %% [markdown]
# - **Tune first**: the power of the probabilities, on held-out items; and whether squared distance is your cost at all (for the distance itself, pass its square root).
# - **It costs** one product of an $n\times K$ with a $K\times N$ matrix.
# - **It fails** where the classifier is sure and wrong, where the distance says nothing about how inputs look, and where exactness counts.
#
# We know of no well-kept library for finite label sets; geomstats has Fréchet means on manifolds.
#
# ## Exercises
#
# ### Exercise 1
#
# Two opposite corners of a grid reach most classes in ties only. How many classes are reached alone with two, three and four corners observed?

# %% tags=["solution", "hide-cell"]
alone = []
for corners in ([0, 24], [0, 4, 24], [0, 4, 20, 24]):
    alone.append(int((margins(city[corners] ** 2) > 0).sum()))
paper.say(
    f"Of {len(grid)} classes {alone[0]}, {alone[1]} and {alone[2]} are reached "
    "alone: what a tie reaches, a further corner decides."
)

# %% [markdown]
# ### Exercise 2
#
# The authors also drew observed classes near the middle of the tree, with probability proportional to $e^{-d^2/2}$. Do so with 20 classes and cut columns. How much does Loki save, and why less?

# %% tags=["solution", "hide-cell"]
middle = tree2[tree2.mean(0).argmin()].numpy().astype(float)
chance_of = np.exp(-middle / 2) + 1e-9
central = []
for seed, (p_all, _, y_test) in zip(paper.seeds, kept):
    mine = streams.numpy(seed, "exercise")
    seen = mine.choice(len(middle), 20, False, chance_of / chance_of.sum())
    seen = torch.tensor(np.sort(seen))
    p = p_all[:, seen]
    ours = tree2[y_test, frechet_mean(p, tree2[seen])].mean()
    base = tree2[y_test, seen[p.argmax(1)]].mean()
    central.append(100 * float(1 - ours / base))
uniform = float(reduction("taxonomy 20, cut").mean())
paper.say(
    f"Central classes: {np.mean(central):.1f} % saved, against {uniform:.1f} % "
    "with uniform ones. An argmax among central classes already hedges."
)

# %% [markdown]
# ## References
#
# The paper: {cite}`loki`. The mean of class vectors, of which Loki with a self-derived metric is a case: {cite}`norouzi2014`. WordNet: {cite}`miller1995`; Fashion-MNIST: {cite}`xiao2017fashion`; sentence vectors: {cite}`reimers2019sentence`.
