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
# # Early-Learning Regularization Prevents Memorization of Noisy Labels
#
# Sheng Liu, Jonathan Niles-Weed, Narges Razavian, Carlos Fernandez-Granda. *NeurIPS 2020*. [arXiv 2007.00151](https://arxiv.org/abs/2007.00151) · [the authors' code](https://github.com/shengliu66/ELR) (MIT) · {cite}`elr`
#
# **In one line.** A term that pulls a network's output towards its own early predictions, and how it differs from weight decay and from a KL pull to the same targets.
#
# **Part.** Noisy labels and label errors. **Fidelity**: method. Loss, targets, order of the updates and noise levels are the paper's; images, network and length of training are smaller.
#
# **The published run**: ResNet-34 on CIFAR-10, 120 epochs: about 1.1 hours on one V100 (appendix I). **This notebook**: at `small` about a minute of one core. At `full` four runs of 120 epochs of a ResNet-18 on CIFAR-10, two of them with labels that people got wrong, for one GPU; never run. [Open in Colab](https://colab.research.google.com/github/imperfect-labels/book/blob/main/notebooks/noisy_labels/elr.ipynb).

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

shared.ensure("elr")

# %% tags=["parameters"]
scale = None  # "smoke", "small" or "full"; None: $BOOK_SCALE, else "small"
seeds = None  # a count or a list; None: $BOOK_SEEDS, else what the scale says
# %% [markdown]
# ## The idea
#
# Take a training set in which four labels in ten are wrong and train a large network on it. Something curious
# happens. For the first epochs the network gets *better than its teacher*: shown an ankle boot that is labelled
# "shirt", it answers "ankle boot", because most boots are labelled as boots and the simple rule is learned first.
# Then, epoch by epoch, it learns the exceptions by heart. At the end it repeats almost every wrong label,
# and its accuracy on new images has fallen far below what it once was. The first phase is called **early learning**,
# the second **memorisation** {cite}`arpit2017closer,zhang2017rethinking`.
#
# Earlier methods try to find the wrong labels and to drop, down-weight or replace them, often with a second
# network as a judge {cite}`han2018coteaching`. Liu et al. {cite}`elr` leave every example and every label
# where it is. They remember, for each training example, what the network said about it so far, averaged over the
# epochs. Since the early answers were good, this average is a good guess of the true class. One extra term of the loss
# then rewards the network for agreeing with its own past. They call the method **early-learning
# regularisation**, ELR.
#
# Why that helps is best seen from the logit of the *true* class. Gradient descent pushes it up or down. The next figure
# shows the push as a function of how sure the network already is, for an example whose remembered target
# points to the true class.

# %% tags=["hide-input"]
from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import torch
from shared import plots, train
from shared.corrupt import symmetric
from shared.data import load
from shared.paper import Paper
from torch import nn
from torch.nn import functional as F

paper = Paper("elr", scale=scale, seeds=seeds)
plots.style()


# %% mystnb={"figure": {"caption": "What gradient descent does to the logit of the true class, with a target that puts 0.9 on that class and lambda 3. Left: a correct label. The pull of cross entropy fades as the network gets sure; that of ELR lasts longer. Right: a wrong label. Cross entropy pushes the true class down, the harder the surer the network is; with ELR the push is upwards nearly everywhere.", "name": "fig-elr-push"}, "image": {"alt": "Two panels of curves over the predicted probability of the true class. Left, correct label: both curves are positive and fall to zero, ELR lies above cross entropy. Right, wrong label: cross entropy falls linearly below zero, ELR is a hump above zero that drops below it only near probability one."}} tags=["hide-input"]
q = np.linspace(0.02, 0.995, 200)  # probability of the true class, class 0 of ten
p = np.column_stack([q] + 9 * [(1 - q) / 9])
t = np.array([0.9] + 9 * [0.1 / 9])
agreement = p @ t
g_true = q / (1 - agreement) * (agreement - t[0])  # sum_k (t_k - t_0) p_k, as sum p = 1
fig, axes = plt.subplots(1, 2, figsize=(6.8, 2.9), sharey=True)
for ax, y_true, title in zip(
    axes, (1, 0), ("the given label is correct", "the given label is wrong")
):
    ax.plot(q, -(q - y_true), color=plots.COLORS[1], label="cross entropy")
    ax.plot(q, -(q - y_true + 3 * g_true), color=plots.COLORS[0], label="ELR")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="predicted probability of the true class")
axes[0].set_ylabel("push on the true class's logit")
axes[0].legend()
plt.show()

# %% [markdown]
# On the right lies the whole problem: under cross entropy a wrong label pushes a network *harder* the surer it is of
# the truth, so no wrong label is ever left in peace. ELR turns that push around.
#
# The settings of this notebook, for the three scales at which it can run:

# %%
cfg = paper.settings(
    images=("14 x 14 grey", "14 x 14 grey", "32 x 32 colour"),
    n_train=(100, 800, 45_000),
    n_val=(40, 200, 5_000),
    n_test=(40, 400, 10_000),
    network=("MLP 196-64-64-10", "MLP 196-64-64-10", "ResNet-18"),
    batch=(50, 100, 128),
    epochs=(2, 60, 120),
    lr=(0.05, 0.05, 0.02),
    lr_drops_after=((1,), (40,), (40, 80)),
    lr_factor=(0.1, 0.1, 0.01),
    momentum=(0.9, 0.9, 0.9),
    weight_decay=(1e-3, 1e-3, 1e-3),
    evaluate_every=(1, 3, 6),
    elr_lambdas=((1, 3), (1, 3, 5, 7), (3,)),
    ce_decays=((1e-3, 3e-2), (1e-3, 1e-2, 3e-2, 1e-1), (1e-3,)),
    kl_lambdas=((1, 10), (1, 5, 10, 20), ()),
    other_betas=((0, 0.99), (0, 0.5, 0.9, 0.99), ()),
    other_rates=((0.0,), (0.0, 0.6), ()),
    linear_steps=(100, 3000, 3000),
)
BETA = 0.7  # the paper's beta for CIFAR-10
RATE = 0.4  # the noise rate of the main experiment

# %% [markdown]
# ## The method
#
# ### Targets: what the network has said so far
#
# Every training example $i$ owns a vector $t^{[i]}$ with one entry per class. It starts at **zero**. Whenever the
# example is visited, the network's current probabilities $p^{[i]}$ are mixed in:
#
# $$t^{[i]} \leftarrow \beta\, t^{[i]} + (1-\beta)\, p^{[i]} .$$
#
# This is temporal ensembling {cite}`laine2017temporal`: with $\beta = 0.7$ the target looks back over some three or
# four epochs. Two details matter. No gradient flows into $t$; it is a constant for the loss. And $t$ must **not** be
# normalised while it is young: after $k$ visits its entries sum to $1-\beta^k$, so the new loss term below fades in
# by itself, once there is something to remember.
#
# The probabilities are kept inside $[10^{-4}, 1-10^{-4}]$ and then scaled to sum to one, so that no
# logarithm can explode. In the code, `rows` names the examples of the batch; all shapes are written for one network,
# `B` images and `C` classes.


# %%
def clamped_probs(logits):
    """Probabilities kept away from 0 and 1: (B, C) logits -> (B, C)."""
    probs = logits.softmax(-1).clamp(1e-4, 1 - 1e-4)
    return probs / probs.sum(-1, keepdim=True)


def update_targets(targets, rows, probs, beta):
    """Mix the current probabilities (B, C) into the table (n, C) at `rows`."""
    targets[rows] = beta * targets[rows] + (1 - beta) * probs.detach()
    return targets[rows]  # (B, C), a constant for the loss


# %% [markdown]
# ### The loss
#
# In words: cross entropy with the given label, as always, plus a term that becomes very negative (and the
# loss small) when the network agrees with its target. Agreement is the inner product $\langle p,t\rangle$: it is
# large only if both put their weight on the same class.
#
# $$\mathcal L = \frac1{|B|}\sum_{i\in B}\Big(-\log p^{[i]}_{y^{[i]}} + \lambda \log\big(1-\langle p^{[i]},t^{[i]}\rangle\big)\Big)$$
#
# The obvious alternative is to treat $t$ as a second, soft label and to add the cross entropy $-\lambda\sum_c t_c\log p_c$
# towards it, which is a Kullback-Leibler divergence up to a constant. The paper argues that this is not enough: its
# pull vanishes as soon as $p=t$, so when the network begins to drift towards a wrong label, the target drifts
# along and nothing stops the two. We shall run both.


# %%
def cross_entropy(logits, y):
    """(B, C) logits and (B,) labels -> (B,) losses."""
    return -logits.log_softmax(-1).gather(-1, y[..., None]).squeeze(-1)


def ce_loss(logits, probs, y, t):
    return cross_entropy(logits, y)


def elr_loss(logits, probs, y, t, lam):
    agreement = (probs * t).sum(-1)  # (B,)
    return cross_entropy(logits, y) + lam * torch.log(1 - agreement)


def kl_loss(logits, probs, y, t, lam):
    return cross_entropy(logits, y) - lam * (t * probs.log()).sum(-1)


# %% [markdown]
# ### The training step
#
# The order is: forward, update the targets of this batch, loss with the *updated* targets, backward,
# step. All methods below share this step and differ in the loss alone. (`mean` runs over the batch.
# The `sum` has an effect only where several networks train side by side, which comes further down.)


# %%
def training_step(net, optimizer, x, y, targets, rows, loss, beta):
    """x: inputs of the batch; y: given labels (B,); targets: the whole table (n, C)."""
    with train.autocast(x.device):
        logits = net(x)  # (B, C)
    logits = logits.float()
    probs = clamped_probs(logits)
    t = update_targets(targets, rows, probs, beta)
    value = loss(logits, probs, y, t).mean(-1).sum()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()


# %% [markdown]
# ### What the gradient does
#
# The paper's Lemma 2 gives the gradient with respect to the logits of one example:
#
# $$\frac{\partial\mathcal L}{\partial z_c} = p_c - y_c + \lambda g_c,\qquad g_c=\frac{p_c}{1-\langle p,t\rangle}\sum_k (t_k-t_c)\,p_k .$$
#
# If $t$ peaks at the true class $c^*$, every term of the sum for $g_{c^*}$ is negative or zero, so the new term pushes this
# logit **up**, whatever the given label says. And for the class of a wrong label $g$ is positive as long as the network
# still leans to the truth: it pushes down what $p-y$ pushes up. That is the figure above.
#
# ## Sanity check
#
# Four facts that have to hold to rounding error, and that no gradient flows into the targets: the lemma against automatic differentiation; the KL term's gradient
# $\lambda(p\sum_k t_k-t)$; the targets after $k$ visits with a constant output, $(1-\beta^k)p$; and the loss of an
# undecided network with an undecided target, $\log C+\lambda\log(1-1/C)$.


# %%
def gradient(loss, z, y, t):
    z = z.clone().requires_grad_()
    loss(z, clamped_probs(z), y, t).sum().backward()
    return z.grad


torch.manual_seed(0)
z = torch.randn(6, 10, dtype=torch.float64)
p, y, t = z.softmax(-1), torch.arange(6), 0.9 * torch.randn_like(z).softmax(-1)
agreement = (p * t).sum(-1, keepdim=True)
lemma = p - F.one_hot(y, 10) + 3 * p / (1 - agreement) * (agreement - t)
kl_formula = p - F.one_hot(y, 10) + 3 * (p * t.sum(-1, keepdim=True) - t)
errors = [
    (gradient(partial(elr_loss, lam=3), z, y, t) - lemma).abs().max(),
    (gradient(partial(kl_loss, lam=3), z, y, t) - kl_formula).abs().max(),
]

table = torch.zeros_like(p)
for _ in range(5):
    update_targets(table, torch.arange(6), p.clone().requires_grad_(), beta=0.7)
assert not table.requires_grad, "a gradient flows into the targets"
errors.append((table - (1 - 0.7**5) * p).abs().max())

even = torch.full((1, 10), 0.1, dtype=torch.float64)
value = elr_loss(even.log(), even, torch.tensor([0]), even, lam=3)
errors.append((value - (np.log(10) + 3 * np.log(1 - 0.1))).abs().max())
assert max(errors) < 1e-12, errors
print("Lemma 2, KL gradient, warm-up of the targets, undecided loss: all four agree.")

# %% [markdown]
# ## The experiment
#
# ### Data, noise, networks
#
# At the scale `small` each seed gets a piece of Fashion-MNIST {cite}`xiao2017fashion` of its own, disjoint from
# those of the other seeds, cut into training, validation and test images, and averaged down to 14 x 14 pixels. Then 40 % of the training labels
# are replaced by a *different* class, chosen at random, and so are the validation labels, because whoever has noisy
# labels has noisy validation labels too. Only the test labels are clean, and nothing is ever chosen on them.
#
# The authors' code follows another convention: it draws the new label from all ten classes, the true one among
# them, so that its "40 %" changes 36 % of the labels. Ours changes exactly 40 %.


# %%
def generator(seed, stream):
    """One random stream for each purpose, so that arms differ in nothing but their loss."""
    return torch.Generator().manual_seed(10 * seed + stream)


def one_seed(seed, rate):
    """Images, true labels and noisy labels of one seed."""
    g = generator(seed, 0)
    if paper.scale == "full":
        d = load("cifar10", scale="full")
        tr, va = torch.randperm(len(d.y_train), generator=g).split(
            [cfg.n_train, len(d.y_train) - cfg.n_train]
        )
        x, x_val, x_test = (
            d.x_train[tr],
            d.x_train[va[: cfg.n_val]],
            d.x_test[: cfg.n_test],
        )
        y, y_val, y_test = (
            d.y_train[tr],
            d.y_train[va[: cfg.n_val]],
            d.y_test[: cfg.n_test],
        )
    else:
        sizes = dict(train=cfg.n_train, val=cfg.n_val, test=cfg.n_test)
        d = load("fashion_mnist", scale=paper.scale, seed=seed, **sizes)
        x, x_val, x_test = (
            F.avg_pool2d(a, 2).flatten(1) for a in (d.x_train, d.x_val, d.x_test)
        )
        mean, std = x.mean(), x.std()
        x, x_val, x_test = ((a - mean) / std for a in (x, x_val, x_test))
        y, y_val, y_test = d.y_train, d.y_val, d.y_test
    if rate == "human":  # at the scale `full` only
        people = load("cifar10n", scale="full")
        same = torch.equal(people.clean, d.y_train)
        assert same, "CIFAR-10N is in another order than CIFAR-10: fetch both again"
        y_noisy, y_val_noisy = people.worse[tr], people.worse[va[: cfg.n_val]]
    else:
        y_noisy, _ = symmetric(y, rate, 10, g)
        y_val_noisy, _ = symmetric(y_val, rate, 10, g)
    return x, y, y_noisy, x_val, y_val_noisy, x_test, y_test


def make_data(rate):
    """The seeds' data side by side: every tensor gets a leading axis for the seed."""
    columns = zip(*(one_seed(seed, rate) for seed in paper.seeds))
    names = ("x", "y", "y_noisy", "x_val", "y_val_noisy", "x_test", "y_test")
    return SimpleNamespace(
        **{
            name: torch.stack(parts).to(paper.device)
            for name, parts in zip(names, columns)
        }
    )


paper.resampled(
    "training, validation and test images", "label noise", "initialisation", "order"
)
if paper.scale == "full":
    paper.shared_part("test images", "CIFAR-10 has one official test set")

# %% [markdown]
# **One network per seed, all at once.** A network this small keeps a processor waiting: most of the time goes into
# calling operations, not into computing. So the networks of all `S` seeds train side by side, and each tensor
# carries a leading axis of length `S`. They do not share a single number: network `s` sees the data of
# seed `s`, has its own weights, its own order and its own row of targets, and since the losses are *added* over
# networks each receives exactly the gradient that it would receive alone. The losses above work on the last axes and do not
# notice. At the scale `full`, where the networks are ResNets, the same axis has length one.


# %%
class MLPs(nn.Module):
    """S independent multi-layer perceptrons: (S, B, d) -> (S, B, 10)."""

    def __init__(self, sizes, seeds):
        super().__init__()
        streams = [generator(seed, 1) for seed in seeds]

        def uniform(rows, columns, bound):
            draws = [torch.rand(rows, columns, generator=g) for g in streams]
            return nn.Parameter((2 * torch.stack(draws) - 1) * bound)

        pairs = list(zip(sizes[:-1], sizes[1:]))
        self.weights = nn.ParameterList(uniform(i, o, i**-0.5) for i, o in pairs)
        self.biases = nn.ParameterList(uniform(1, o, i**-0.5) for i, o in pairs)

    def forward(self, x):
        for i, (w, b) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(b, x.relu() if i else x, w)  # (S, B, out)
        return x


class ResNets(nn.Module):
    """S independent ResNet-18 for 32 x 32 images: (S, B, 3, 32, 32) -> (S, B, 10)."""

    def __init__(self, seeds):
        super().__init__()
        from torchvision.models import resnet18

        self.nets = nn.ModuleList()
        for seed in seeds:
            torch.manual_seed(10 * seed + 1)
            net = resnet18(num_classes=10)
            # small images: no stride and no pooling at the entrance
            net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            net.maxpool = nn.Identity()
            self.nets.append(net)

    def forward(self, x):
        images = (part.contiguous(memory_format=torch.channels_last) for part in x)
        return torch.stack([net(part) for net, part in zip(self.nets, images)])


def make_network():
    if paper.scale == "full":
        net = ResNets(paper.seeds)
    else:
        net = MLPs((196, 64, 64, 10), paper.seeds)
    return train.place(net, paper.device)


def view(x, streams=None):
    """Network input: raw pixels are standardised, in training (streams given) shifted and flipped."""
    if x.dtype != torch.uint8:
        return x
    channel = torch.tensor(
        [[0.491, 0.482, 0.447], [0.247, 0.243, 0.262]], device=x.device
    )
    mean, std = channel[:, None, None, :, None, None]
    x = (x.float() / 255 - mean) / std
    if streams:
        x = torch.stack([train.flip_and_crop(part, g) for part, g in zip(x, streams)])
    return x


# %% [markdown]
# ### The loop
#
# We follow, every few epochs: the accuracy on clean test images; among the *mislabelled* training
# examples, the shares answered with the given wrong label (**memorised**) and with the true class
# (**recovered**); among the correctly labelled ones, the share answered correctly; and how often the targets peak at the true class.
# Results are those of the **last** epoch.


# %%
@torch.no_grad()
def predict(net, x, chunk=1000):
    """Predicted classes: (S, n, ...) -> (S, n)."""
    net.eval()
    with train.autocast(x.device):
        return torch.cat(
            [net(view(part)).argmax(-1) for part in x.split(chunk, dim=1)], dim=1
        )


def share(hits, among):
    """Percentage of `among` that are `hits`, per seed: (S, n) and (S, n) bool -> (S,)."""
    return (100.0 * (hits & among).sum(-1) / among.sum(-1).clamp(min=1)).cpu().numpy()


def evaluate(net, data, targets):
    predicted, best_guess = predict(net, data.x), targets.argmax(-1)
    wrong, everything = data.y_noisy != data.y, data.y >= 0
    return {
        "test": share(predict(net, data.x_test) == data.y_test, data.y_test >= 0),
        "val": share(
            predict(net, data.x_val) == data.y_val_noisy, data.y_val_noisy >= 0
        ),
        "memorised": share(predicted == data.y_noisy, wrong),
        "recovered": share(predicted == data.y, wrong),
        "clean": share(predicted == data.y, ~wrong),
        "target": share(best_guess == data.y, everything),
        "target_wrong": share(best_guess == data.y, wrong),
    }


def train_arm(
    data, loss, beta=BETA, weight_decay=cfg.weight_decay, every=cfg.evaluate_every
):
    """Train S networks; returns curves (S, k) at `epochs` (k,) and the final targets (S, n, C)."""
    S, n = data.y.shape
    net = make_network()
    optimizer = torch.optim.SGD(
        net.parameters(),
        cfg.lr,
        cfg.momentum,
        weight_decay=weight_decay,
        fused=paper.device.type != "mps",
    )
    targets = torch.zeros(S, n, 10, device=paper.device)
    seed_axis = torch.arange(S, device=paper.device)[:, None]  # (S, 1)
    streams = [generator(seed, 2) for seed in paper.seeds]
    epochs, log = [], []
    for epoch in range(1, cfg.epochs + 1):
        drops = sum(epoch > after for after in cfg.lr_drops_after)
        optimizer.param_groups[0]["lr"] = cfg.lr * cfg.lr_factor**drops
        beta_now = beta(epoch) if callable(beta) else beta
        net.train()
        orders = [train.batches(n, cfg.batch, g, paper.device) for g in streams]
        for batch in zip(*orders):
            rows = (seed_axis, torch.stack(batch))  # picks (S, B) examples
            x, y = view(data.x[rows], streams), data.y_noisy[rows]
            training_step(net, optimizer, x, y, targets, rows, loss, beta_now)
        if epoch % every == 0 or epoch == cfg.epochs:
            epochs.append(epoch)
            log.append(evaluate(net, data, targets))
    curves = {name: np.stack([entry[name] for entry in log], axis=1) for name in log[0]}
    hits = (predict(net, data.x_test) == data.y_test).cpu().numpy()  # (S, n_test)
    return SimpleNamespace(epochs=epochs, targets=targets, hits=hits, **curves)


# %% [markdown]
# ### Runs at 40 % noise
#
# Every method gets one knob with four settings, and the setting with the highest accuracy on the **noisy validation** images
# (last epoch, averaged over the seeds) is used: $\lambda$ for ELR, $\lambda$ for the KL pull and, so that plain cross entropy
# gets the same chance, weight decay, its own means against memorising. Cross entropy appears twice below:
# as "CE, same recipe" with exactly ELR's optimiser settings, which is how the paper compares, and as "CE, tuned decay".

# %%
data = make_data(RATE)
ce = {wd: train_arm(data, ce_loss, weight_decay=wd) for wd in cfg.ce_decays}
elr = {lam: train_arm(data, partial(elr_loss, lam=lam)) for lam in cfg.elr_lambdas}
kl = {lam: train_arm(data, partial(kl_loss, lam=lam)) for lam in cfg.kl_lambdas}


def best(runs):
    """The setting with the best noisy validation accuracy at the last epoch."""
    return max(runs, key=lambda setting: runs[setting].val[:, -1].mean())


wd_best, lam_best = best(ce), best(elr)
betas = {
    beta: train_arm(data, partial(elr_loss, lam=lam_best), beta=beta, every=cfg.epochs)
    for beta in cfg.other_betas
}
betas[BETA] = elr[lam_best]

arms = {"CE, same recipe": ce[cfg.weight_decay], "CE, tuned decay": ce[wd_best]}
paper.choice(
    "CE, tuned decay", {"weight_decay": cfg.ce_decays}, {"weight_decay": wd_best}
)
if kl:
    arms["CE + KL pull"] = kl[best(kl)]
    paper.choice("CE + KL pull", {"lambda": cfg.kl_lambdas}, {"lambda": best(kl)})
    arms["ELR, beta 0"] = betas[0]
arms["ELR"] = elr[lam_best]
paper.choice("ELR", {"lambda": cfg.elr_lambdas}, {"lambda": lam_best})

rows = []
for method, runs in (
    ("CE, decay", ce),
    ("CE + KL pull, lambda", kl),
    ("ELR, lambda", elr),
):
    for setting, run in runs.items():
        row = {"setting": f"{method} {setting:g}"}
        for metric, name in (
            ("noisy validation accuracy", "val"),
            ("test accuracy", "test"),
        ):
            values = getattr(run, name)[:, -1]
            paper.arm(row["setting"], metric, values)
            row[f"{metric}, %"] = f"{values.mean():.1f}"
        rows.append(row | {"chosen": "yes" if run is runs[best(runs)] else ""})
paper.table(
    rows, caption="The grids: means over seeds at the last epoch; validation decides"
)

# %% [markdown]
# ### Two phases
#
# First the picture that gave the paper its title (its Figure 1), cross entropy above, ELR below. The right column is the one to
# watch.

# %% mystnb={"figure": {"caption": "Training examples with correct labels (left) and wrong labels (right) over training, cross entropy with the same recipe above, ELR below; means over seeds. Under cross entropy the answers to mislabelled examples are first true and then turn into the given wrong labels.", "name": "fig-elr-memorisation"}, "image": {"alt": "Four panels of stacked areas over epochs. Upper right: with cross entropy the share of mislabelled examples that get their true class shrinks while the memorised share grows. Lower right: the same for ELR. Left: correctly labelled examples."}} tags=["hide-input"]
fig, axes = plt.subplots(2, 2, figsize=(6.8, 4.6), sharex=True, sharey=True)
for row, arm in zip(axes, ("CE, same recipe", "ELR")):
    run = arms[arm]
    other = 100 - run.recovered - run.memorised
    stacks = (
        [run.clean, np.zeros_like(other), 100 - run.clean],
        [run.recovered, run.memorised, other],
    )
    for ax, parts in zip(row, stacks):
        ax.stackplot(
            run.epochs,
            *(part.mean(0) for part in parts),
            colors=[plots.COLORS[2], plots.COLORS[1], "#DDDDDD"],
            labels=("true class", "given wrong label (memorised)", "another class"),
        )
        ax.grid(visible=False)
    row[0].set_ylabel(f"{arm}\nshare of answers, %")
axes[0, 0].set_title("training examples with correct labels")
axes[0, 1].set_title("training examples with wrong labels")
axes[0, 0].set(xlim=(run.epochs[0], run.epochs[-1]), ylim=(0, 100))
for ax in axes[1]:
    ax.set_xlabel("epoch")
fig.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
run, ours = arms["CE, same recipe"], arms["ELR"]
paper.say(
    f"At the last epoch cross entropy with the same recipe repeats the wrong label of "
    f"**{run.memorised[:, -1].mean():.0f} %** of the mislabelled examples and gives "
    f"{run.recovered[:, -1].mean():.0f} % their true class; ELR repeats "
    f"**{ours.memorised[:, -1].mean():.0f} %** and recovers {ours.recovered[:, -1].mean():.0f} %."
)
paper.say(
    f"**A trap.** The test accuracy of cross entropy at its *best* evaluated epoch is "
    f"{run.test.max(1).mean():.1f} %, at its last {run.test[:, -1].mean():.1f} %. For ELR the two "
    f"are {ours.test.max(1).mean():.1f} % and {ours.test[:, -1].mean():.1f} %. A table of best "
    f"epochs, picked with clean test labels that nobody has, would hide much of the effect. "
    f"All results here are those of the last epoch."
)

# %% [markdown]
# ### Test accuracy
#
# The counterpart of the 40 % column of the paper's Table 1: mean and standard deviation over seeds, last epoch.

# %%
METRICS = {
    "test accuracy": "test",
    "noisy validation accuracy": "val",
    "memorised": "memorised",
    "recovered": "recovered",
    "targets true on mislabelled": "target_wrong",
}
chosen = {
    "CE, same recipe": f"decay {cfg.weight_decay:g}",
    "CE, tuned decay": f"decay {wd_best:g}",
}
if kl:
    chosen["CE + KL pull"] = f"lambda {best(kl)}"
    chosen["ELR, beta 0"] = f"lambda {lam_best}"
chosen["ELR"] = f"lambda {lam_best}, beta {BETA}"


def show_last_epoch(runs, noise, where=""):
    """Table of the runs' last epoch; the values go into the record as well."""
    rows = []
    for arm, run in runs.items():
        row = {"method": arm, "setting": chosen[arm]}
        for metric, name in METRICS.items():
            values = getattr(run, name)[:, -1]
            paper.arm(arm, metric + where, values)
            row[f"{metric}, %"] = (
                f"{values.mean():.1f} ± {values.std(ddof=int(len(values) > 1)):.1f}"
            )
        rows.append(row)
    caption = f"{noise}, last epoch, mean ± standard deviation over seeds"
    paper.table(rows, caption=caption)


show_last_epoch(arms, "40 % symmetric noise")

# %% [markdown]
# Read the table along its columns. Where the paper's comparison stands (first and last row) and how much of
# the lead a tuned weight decay takes away (second row) are two different questions, and the claims below keep them
# apart. Strong decay is a blunt tool: it stops the network from memorising by stopping it from fitting anything
# complicated, right or wrong. It is not among the paper's comparisons, which keep one weight decay for all methods; on
# images as simple as these it is a serious rival. Whether it would be one where a large network is needed, this
# notebook cannot tell.
#
# Look at the memorised and recovered shares as well. A method can memorise little and still not be good: a
# network that answers at random memorises next to nothing.
#
# ### Does the lead grow with the noise?

# %% mystnb={"figure": {"caption": "Test accuracy at the last epoch against the noise rate. Settings are those chosen at 40 %. Bands: 95 % intervals over seeds.", "name": "fig-elr-rates"}, "image": {"alt": "Test accuracy falls with the noise rate for three methods: cross entropy with the same recipe, cross entropy with tuned decay, and ELR."}} tags=["hide-input"]
rates = {rate: make_data(rate) for rate in cfg.other_rates}
by_rate = {
    "CE, same recipe": {
        r: train_arm(d, ce_loss, every=cfg.epochs) for r, d in rates.items()
    },
    "CE, tuned decay": {
        r: train_arm(d, ce_loss, weight_decay=wd_best, every=cfg.epochs)
        for r, d in rates.items()
    },
    "ELR": {
        r: train_arm(d, partial(elr_loss, lam=lam_best), every=cfg.epochs)
        for r, d in rates.items()
    },
}
all_rates = sorted([*cfg.other_rates, RATE])
curves = {}
for arm, runs in by_rate.items():
    runs[RATE] = arms[arm]
    curves[arm] = np.stack(
        [runs[r].test[:, -1] for r in all_rates], axis=1
    )  # (S, rates)
    for r in cfg.other_rates:
        paper.arm(arm, f"test accuracy at {100 * r:.0f} % noise", runs[r].test[:, -1])
fig, ax = plt.subplots(figsize=(5.6, 3.3))
for arm, color, marker in zip(curves, (1, 5, 0), "os^"):
    x_axis = 100 * np.array(all_rates)
    plots.band(
        ax, x_axis, curves[arm], label=arm, color=plots.COLORS[color], marker=marker
    )
ax.set(xlabel="noise rate, %", ylabel="test accuracy, %")
ax.legend()
plt.show()

# %% [markdown]
# ### Why the average? Why not more of it?
#
# With $\beta=0$ the target is the current output itself. The term then rewards the network for agreeing with
# what it says *now*, right or wrong, so whatever it happens to believe at the start is carved in stone. With $\beta$
# near one the average needs many visits before it has any weight: $1-\beta^k$ after $k$ visits, which for $\beta=0.99$ is
# less than a tenth after ten. Whether that is too late depends on when memorisation sets in (see the first figure of the
# experiment), hence on data, network and learning rate. The paper's appendix H varies both knobs; so do we.

# %% mystnb={"figure": {"caption": "ELR's test accuracy at the last epoch, 40 % noise. Left: against beta, with the chosen lambda. Right: against lambda with beta 0.7, beside the KL pull towards the same kind of targets. Bars: 95 % intervals over seeds.", "name": "fig-elr-knobs"}, "image": {"alt": "Two panels of points with error bars. Left: test accuracy over five values of beta. Right: test accuracy over lambda for ELR and for the KL pull."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.0), sharey=True)


def points(ax, runs, label, color, marker):
    """Mean and interval of the last test accuracy for each setting, at evenly spaced places."""
    mean, half = plots.interval(np.stack([runs[s].test[:, -1] for s in runs], axis=1))
    style = dict(label=label, color=plots.COLORS[color], marker=marker, capsize=3)
    ax.errorbar([str(s) for s in runs], mean, half, **style)


points(axes[0], {b: betas[b] for b in sorted(betas)}, f"ELR, lambda {lam_best}", 0, "^")
axes[0].set(xlabel="beta", ylabel="test accuracy, %")
lambdas = sorted({*elr, *kl})
axes[1].plot(
    [str(lam) for lam in lambdas], [np.nan] * len(lambdas)
)  # fixes the order of the axis
points(axes[1], elr, "ELR", 0, "^")
if kl:
    points(axes[1], kl, "CE + KL pull", 3, "D")
axes[1].set(xlabel="lambda")
for ax in axes:
    ax.legend(loc="lower right" if ax is axes[0] else "lower left")
plt.show()


# %%
def named_classes(run):
    """How many of the ten classes at least one target in a hundred points to, mean over seeds."""
    shares = F.one_hot(run.targets.argmax(-1), 10).float().mean(1)  # (S, 10)
    return (shares >= 0.01).sum(-1).float().mean().item()


for beta in cfg.other_betas:
    paper.arm(
        f"ELR, beta {beta:g}, chosen lambda", "test accuracy", betas[beta].test[:, -1]
    )
paper.say(
    "Watch what the targets say. Number of classes that at least 1 % of all targets point to: "
    + "; ".join(
        [f"lambda {lam}: {named_classes(run):.1f}" for lam, run in elr.items()]
        + [f"beta {b}: {named_classes(betas[b]):.1f}" for b in cfg.other_betas]
    )
    + ". Where the number is far below ten, classes have collapsed: the network has locked in its "
    "early confusions and answers with a few classes only. Too large a lambda and too small a beta "
    "fail in this way; too small a lambda and too large a beta fail the other way, by memorising."
)

# %% [markdown]
# ### Averaging alone is not enough
#
# Perhaps the averaged targets are all one needs, without any new loss term? Every run above kept its targets, those of
# cross entropy too, where nothing uses them. The figure, after the paper's Figure D.1, shows how often they peak at the true class.

# %% mystnb={"figure": {"caption": "How often the averaged targets peak at the true class: all training examples (left) and mislabelled ones (right), with the regulariser (ELR) and without it (cross entropy, same recipe). Bands: 95 % intervals over seeds.", "name": "fig-elr-targets"}, "image": {"alt": "Two panels of target accuracy over epochs for ELR and for targets averaged under cross entropy, which rise together at first and then part."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.0), sharey=True)
for ax, name, title in zip(
    axes, ("target", "target_wrong"), ("all examples", "mislabelled examples")
):
    for arm, label, color in (
        ("ELR", "with regulariser", 0),
        ("CE, same recipe", "without", 1),
    ):
        run = arms[arm]
        plots.band(
            ax, run.epochs, getattr(run, name), label=label, color=plots.COLORS[color]
        )
    ax.set(title=title, xlabel="epoch", ylim=(0, 100))
axes[0].set_ylabel("targets that peak at the truth, %")
axes[0].legend(loc="lower left")
plt.show()

# %% [markdown]
# ### Labels that people got wrong
#
# A coin that flips labels knows nothing of the images; people do. CIFAR-10N {cite}`wei2022cifar10n` holds three paid people's answers for each
# training image of CIFAR-10, and its hardest set of labels, `worse`, takes a wrong answer wherever one of the three gave one. Such errors are **systematic**: a cat that
# looks like a dog is called a dog by people, and by a young network as well, whose early answers are then no better than the given label.
# The comparison of the main experiment is repeated on these labels, with the same settings. It needs the images of CIFAR-10, hence the scale `full`.

# %%
if paper.scale == "full":
    human = make_data("human")
    by_people = {
        "CE, same recipe": train_arm(human, ce_loss),
        "ELR": train_arm(human, partial(elr_loss, lam=lam_best)),
    }
    rate = 100 * (human.y_noisy != human.y).float().mean().item()
    noise = f"CIFAR-10N, worse labels, {rate:.1f} % of them wrong"
    show_last_epoch(by_people, noise, ", human labels")
    paper.claim(
        "elr_beats_ce_human",
        ours_items=100.0 * by_people["ELR"].hits,
        baseline_items=100.0 * by_people["CE, same recipe"].hits,
    )

# %% [markdown]
# ### And the KL pull?

# %% mystnb={"figure": {"caption": "Pulling towards the same kind of targets by a KL term: memorised share (left) and test accuracy (right) over training, beside cross entropy and ELR; means over seeds, 40 % noise.", "name": "fig-elr-kl"}, "image": {"alt": "Two panels over epochs with one line for cross entropy, one for ELR and one per lambda of the KL pull, for the memorised share and for test accuracy."}} tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.4))
lines = {
    "CE": (arms["CE, same recipe"], plots.COLORS[1], "-"),
    "ELR": (arms["ELR"], plots.COLORS[0], "-"),
}
shades = plt.cm.Purples(np.linspace(0.4, 0.95, max(len(kl), 1)))
lines |= {
    f"KL, lambda {lam}": (run, shade, "--")
    for (lam, run), shade in zip(kl.items(), shades)
}
for ax, name, label in zip(
    axes, ("memorised", "test"), ("memorised, %", "test accuracy, %")
):
    for arm, (run, color, dashes) in lines.items():
        ax.plot(run.epochs, getattr(run, name).mean(0), dashes, color=color, label=arm)
    ax.set(xlabel="epoch", ylabel=label)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
for lam, run in kl.items():
    paper.arm(f"CE + KL pull, lambda {lam}", "memorised", run.memorised[:, -1])
if kl:
    paper.say(
        "Memorised at the last epoch: "
        + ", ".join(
            f"lambda {k}: {run.memorised[:, -1].mean():.0f} %" for k, run in kl.items()
        )
        + f"; ELR: {arms['ELR'].memorised[:, -1].mean():.0f} %. Larger values of lambda slow the "
        "drift further, since they outweigh the given label by more; a target that follows the "
        "network can slow it, but not anchor it. Whether slow is slow enough is a matter of how long "
        "one trains."
    )

# %% [markdown]
# ### The smallest model that shows it
#
# Early learning needs no deep network. Theorem 1 of the paper proves it for logistic regression: two classes,
# $x\sim\mathcal N(\pm v,\sigma^2 I)$ in $\mathbb R^{100}$ with $\|v\|=1$, 40 % of the labels drawn anew
# (so about 20 % wrong), barely more points than dimensions, full-batch gradient descent from a random start
# of norm 2. At first the gradient of nearly all points leads along $v$, the one direction that they share, and the
# classifier gets the mislabelled points right as well. Later the points that are fitted fall silent, the mislabelled ones go on pulling,
# and since there are almost as many dimensions as points there is room to obey each of them.

# %%
EARLY = 30  # the step that counts as early, and the last one as late


def two_gaussians(steps, n=110, dim=100, sigma=0.1, redrawn=0.4, lr=1.0):
    """Accuracy against the true labels on clean and on mislabelled points: (S, k) each."""
    clean, wrong = [], []
    marks = sorted({*np.unique(np.geomspace(1, steps, 40).astype(int)), EARLY})
    for seed in paper.seeds:
        g = generator(seed, 3)
        v, theta = torch.randn(2, dim, generator=g, dtype=torch.float64)
        v, theta = v / v.norm(), 2 * theta / theta.norm()
        y, y_new = (
            2.0 * torch.randint(2, (2, n), generator=g) - 1
        )  # labels are -1 and 1
        x = y[:, None] * v + sigma * torch.randn(
            n, dim, generator=g, dtype=torch.float64
        )
        y_noisy = torch.where(torch.rand(n, generator=g) < redrawn, y_new, y)
        right, flipped = [], y_noisy != y
        for step in range(1, steps + 1):
            pull = y_noisy * torch.sigmoid(
                -y_noisy * (x @ theta)
            )  # (n,), small for fitted points
            theta = theta + lr / n * (pull @ x)
            if step in marks:
                right.append(x @ theta * y > 0)  # (n,)
        right = 100.0 * torch.stack(right)  # (k, n)
        clean.append(right[:, ~flipped].mean(1).numpy())
        wrong.append(right[:, flipped].mean(1).numpy())
    return marks, np.stack(clean), np.stack(wrong)


steps, clean, wrong = two_gaussians(cfg.linear_steps)

# %% mystnb={"figure": {"caption": "Logistic regression on two Gaussians in 100 dimensions: training points with correct and with wrong labels that lie on their true side, over the steps of gradient descent. Bands: 95 % intervals over seeds.", "name": "fig-elr-linear"}, "image": {"alt": "Accuracy against the true labels over steps on a logarithmic axis. Both curves rise first; the curve of mislabelled points then falls while the curve of correctly labelled points stays high."}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.6, 3.0))
plots.band(ax, steps, clean, label="correct labels", color=plots.COLORS[2])
plots.band(ax, steps, wrong, label="wrong labels", color=plots.COLORS[1])
ax.axvline(EARLY, linestyle=":", color="black", linewidth=1)
ax.text(EARLY * 1.1, 3, "early", fontsize=9)
ax.set(
    xscale="log",
    xlabel="step of gradient descent",
    ylabel="on their true side, %",
    ylim=(-2, 103),
)
ax.legend(loc="center left")
plt.show()

# %% [markdown]
# ## Paper against measured
#
# Effects are paired over the seeds; intervals are t intervals. Where a claim says "for every", the worst arm decides. Three
# things to keep in mind with the verdicts:
#
# - Cross entropy enters twice. "With the same optimiser settings" is the paper's own comparison: nothing differs but
#   the loss. "With tuned weight decay" is a harder question that the paper does not ask.
# - The paper shows the KL pull for three values of $\lambda$. The largest one here goes beyond them, and "for every
#   $\lambda$" covers it too.
# - The claim on $\beta$ depends on how many visits an example gets before memorisation begins. Here it begins early,
#   as the figures over epochs show.

# %%
final = {
    name: {arm: getattr(run, name)[:, -1] for arm, run in arms.items()}
    for name in METRICS.values()
}
half = [50.0] * len(paper.seeds)
same, tuned, ours = "CE, same recipe", "CE, tuned decay", "ELR"

shared_items = {}  # CIFAR-10 has one test set for all seeds, which widens the interval
if paper.scale == "full":
    shared_items["ours_items"] = 100.0 * arms[ours].hits
    shared_items["baseline_items"] = 100.0 * arms[same].hits
paper.claim(
    "elr_beats_ce_same_recipe",
    ours=final["test"][ours],
    baseline=final["test"][same],
    **shared_items,
)
paper.claim("ce_memorises", ours=final["memorised"][same], baseline=half)
paper.claim(
    "elr_memorises_less",
    ours=final["memorised"][ours],
    baseline=final["memorised"][same],
)
paper.claim("elr_recovers_true", ours=final["recovered"][ours], baseline=half)
paper.claim(
    "targets_need_regulariser",
    ours=final["target_wrong"][ours],
    baseline=final["target_wrong"][same],
)
if paper.scale != "full":
    paper.claim(
        "elr_beats_ce_40", ours=final["test"][ours], baseline=final["test"][tuned]
    )
    tens = [10 * rate for rate in all_rates]
    paper.claim(
        "gap_grows_with_noise", x=tens, ours=curves[ours], baseline=curves[tuned]
    )
    paper.claim(
        "gap_grows_same_recipe", x=tens, ours=curves[ours], baseline=curves[same]
    )
    paper.claim(
        "beta0_destroys",
        ours=final["test"][ours],
        baseline=final["test"]["ELR, beta 0"],
    )
    paper.claim(
        "beta_insensitive",
        ours={f"beta {b}": betas[b].test[:, -1] for b in cfg.other_betas if b > 0},
        baseline=final["test"][ours],
    )
    middle = arms[same].epochs.index(
        min(arms[same].epochs, key=lambda e: abs(e - cfg.epochs / 2))
    )
    paper.claim(
        "kl_below_elr_every_lambda",
        ours={f"lambda {lam}": final["test"][ours] for lam in kl},
        baseline={f"lambda {lam}": run.test[:, -1] for lam, run in kl.items()},
    )
    paper.claim(
        "kl_slows_memorisation",
        ours={f"lambda {lam}": run.memorised[:, middle] for lam, run in kl.items()},
        baseline=arms[same].memorised[:, middle],
    )
    paper.claim(
        "kl_memorises_more",
        ours={f"lambda {lam}": run.memorised[:, -1] for lam, run in kl.items()},
        baseline=final["memorised"][ours],
    )
paper.claim("linear_learns_first", ours=wrong[:, steps.index(EARLY)], baseline=half)
paper.claim("linear_memorises_later", ours=100 - wrong[:, -1], baseline=half)
paper.report()

# %% [markdown]
# ## What differs from the paper
#
# - **Data and network.** Pieces of Fashion-MNIST at 14 x 14 pixels, 800 training images per seed, and a small
#   multi-layer perceptron, instead of CIFAR-10 with 50,000 images and a ResNet-34. The scale `full` uses CIFAR-10
#   with a ResNet-18; it has never been run on the real data. Its labels by people, CIFAR-10N, are younger than the paper.
# - **Training.** 60 epochs of 8 steps instead of 120 epochs of some 350; learning rate 0.05, divided by 10 once after two thirds, instead of 0.02
#   divided by 100 twice; no augmentation at the small scale. Momentum, weight decay, batch size (nearly), the clamp,
#   $\beta=0.7$ and the order within a step are the paper's.
# - **Noise.** Exactly 40 % of the labels are changed, to a different class; the authors' code draws from all classes.
#   Only symmetric noise; the asymmetric noise, CIFAR-100, Clothing1M and WebVision of the paper are not touched.
# - **Tuning.** The paper tunes $\beta$ and $\lambda$ of its method. Here each method has one knob with four
#   settings and is tuned on noisy validation labels, once for all seeds together. The baseline with tuned weight decay is ours.
#   The paper's grid of $\lambda$ contains 10 too, and the KL pull at $\lambda=20$ is ours.
# - **Claims.** The paper shows memorisation, the targets and the KL pull as curves without numbers, so thresholds such as "more than half"
#   are our reading. It tests $\beta=0$ at 60 % noise, this notebook at 40 %.
# - **ELR+**, the paper's stronger version with two networks, weight averaging and mixup, is not implemented.
# - **Linear model.** The theorem's share of re-drawn labels is set to 40 %, so about 20 % are wrong; $\sigma$, the number
#   of points and the step size are ours.
# - **Regimes tried on pilot seeds (100 and up) and dropped.** Full 28 x 28 pixels, 2,000 training images (slower, same picture); 20 to 40 epochs (cross entropy
#   did not memorise fully); 120 epochs in batches of 200 (twice the time, same order of the methods, also for $\beta$);
#   learning rates 0.02, 0.1 and constant; 600 training images; 96 units in
#   the hidden layers, with a noise rate of 20 % as well (the same picture for half as much time again); 10 x 10 pixels (cross entropy memorised a third only). In the linear model: $\sigma$ of 0.2 and 0.3 and labels
#   flipped instead of drawn anew, where the early phase is weaker.
#
# ## Exercises
#
# ### Exercise 1
#
# After training, flag each example whose target does not peak at its given label, $\arg\max_c t^{[i]}_c\neq y^{[i]}$. How
# good a detector of wrong labels is this? Compute precision and recall, for the targets of ELR and for those that were averaged under
# cross entropy.

# %% tags=["solution", "hide-cell"]
wrong_label = data.y_noisy != data.y  # (S, n)
for arm in ("ELR", "CE, same recipe"):
    flagged = arms[arm].targets.argmax(-1) != data.y_noisy
    precision, recall = share(wrong_label, flagged), share(flagged, wrong_label)
    paper.say(
        f"{arm}: {100 * flagged.float().mean().item():.0f} % of the examples are flagged, precision "
        f"{precision.mean():.0f} %, recall {recall.mean():.0f} %."
    )
paper.say(
    "Compare the recalls rather than the precisions: a target that has memorised a wrong label peaks "
    "at that label and can no longer flag it, but the few that it still flags may well be right."
)

# %% [markdown]
# ### Exercise 2
#
# Look at $\beta=0.99$ in the figure above. Does long averaging itself do harm, or only the slow start, by which the term has hardly
# any weight when memorisation begins? Separate the two: let the targets be a proper average from the first
# visit on, $t/(1-\beta^k)$ after $k$ visits. (Hint: the same average results from a $\beta$ that changes with the epoch,
# $\beta_k=\beta(1-\beta^{k-1})/(1-\beta^k)$, and `train_arm` takes a function of the epoch for `beta`.)


# %% tags=["solution", "hide-cell"]
def corrected(k, beta=0.99):
    return beta * (1 - beta ** (k - 1)) / (1 - beta**k)


if paper.scale != "full":  # where it would cost another full run
    late = betas[0.99]
    fast = train_arm(
        data, partial(elr_loss, lam=lam_best), beta=corrected, every=cfg.epochs
    )
    paper.say(
        f"Beta 0.99 with the correction: {fast.test[:, -1].mean():.1f} % test accuracy, "
        f"{fast.memorised[:, -1].mean():.0f} % memorised. Without it: "
        f"{late.test[:, -1].mean():.1f} % and {late.memorised[:, -1].mean():.0f} %. Beta {BETA} "
        f"with its own short warm-up: {arms['ELR'].test[:, -1].mean():.1f} % and "
        f"{arms['ELR'].memorised[:, -1].mean():.0f} %. What the correction wins back is the part "
        "of the loss that the slow start caused."
    )

# %% [markdown]
# ### Exercise 3
#
# Not every remedy needs a memory. Generalised cross entropy {cite}`zhang2018gce` replaces $-\log p_y$ by
# $(1-p_y^{\,q})/q$, which lies between cross entropy ($q\to0$) and the mean absolute error ($q=1$) and gives less
# weight to examples that the network finds implausible. Write it as a loss for `train_arm`, take $q=0.7$, and compare it with
# the table.


# %% tags=["solution", "hide-cell"]
def gce_loss(logits, probs, y, t, q=0.7):
    return (1 - probs.gather(-1, y[..., None]).squeeze(-1) ** q) / q


if paper.scale != "full":
    gce = train_arm(data, gce_loss, every=cfg.epochs)
    paper.say(
        f"Generalised cross entropy: {gce.test[:, -1].mean():.1f} % test accuracy, "
        f"{gce.memorised[:, -1].mean():.0f} % memorised. ELR: "
        f"{arms['ELR'].test[:, -1].mean():.1f} % and {arms['ELR'].memorised[:, -1].mean():.0f} %. "
        "One setting, not tuned, hence no verdict."
    )

# %% [markdown]
# ## References
#
# The paper: {cite}`elr`. Early learning and memorisation: {cite}`arpit2017closer`, {cite}`zhang2017rethinking`. Targets by temporal ensembling: {cite}`laine2017temporal`.
# Other ways to train with noisy labels: {cite}`han2018coteaching`, {cite}`zhang2018gce`. Images: {cite}`xiao2017fashion`, and CIFAR-10 at full scale {cite}`krizhevsky2009`, with labels by people {cite}`wei2022cifar10n`.
