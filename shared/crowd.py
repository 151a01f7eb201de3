"""Crowds: several workers answer the same items. Simulators of workers, and two classic ways to aggregate answers.

Votes are an (items, workers) integer array: classes 0 to K-1, and -1 where a worker did not answer an item.
Randomness comes from a numpy Generator that the caller owns.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

MISSING = -1


def vote_counts(votes: np.ndarray, classes: int) -> np.ndarray:
    """How often each class was answered: (items, workers) votes -> (items, classes) int64.

    Raises:
        ValueError: votes that are no whole numbers from -1 to classes - 1, or no classes.
    """
    votes = np.asarray(votes)
    if votes.ndim != 2 or votes.dtype.kind not in "iu" or classes < 1:
        raise ValueError(
            f"Votes are an (items, workers) array of whole numbers for one class or more, got {votes.dtype} "
            f"{votes.shape}, {classes} classes."
        )
    if votes.size and not MISSING <= votes.min() <= votes.max() < classes:
        raise ValueError(f"Votes must lie in 0..{classes - 1}, or be {MISSING} where there is none.")
    items, workers = np.nonzero(votes != MISSING)
    cells = items * classes + votes[items, workers].astype(np.int64)
    return np.bincount(cells, minlength=len(votes) * classes).reshape(len(votes), classes)


def majority_vote(votes: np.ndarray, classes: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """The most frequent answer of each item.

    Args:
        votes: (items, workers), -1 where there is none.
        classes: number of classes K.
        rng: breaks ties at random; without it the lowest class wins, which favours low classes. An item without
            any vote is a tie of all classes.

    Returns:
        (items,) int64 labels.
    """
    counts = vote_counts(votes, classes).astype(float)
    if rng is not None:
        counts += rng.random(counts.shape) / 2  # less than one vote
    return counts.argmax(1)


def dawid_skene(
    votes: np.ndarray,
    classes: int,
    iterations: int = 100,
    tolerance: float | None = 1e-5,
    one_coin: bool = False,
    floor: float = 1e-10,
) -> SimpleNamespace:
    """Dawid and Skene's EM (1979): every worker has a confusion matrix, and the truth of an item is latent.

    Started from the vote shares of the items (an item without votes: all classes alike) and the workers' matrices
    that belong to these; each iteration is an E step, which makes the posterior, and then an M step, which makes
    matrices and prior.

    Args:
        votes: (items, workers), -1 where there is none; at least one item.
        classes: number of classes K, at least two.
        iterations: how many at most. 0 returns the vote shares as posterior; 1 is one round: majority vote weighted
            once by the workers' matrices. Each round makes the posterior sharper: after many, its second-largest
            entry says little about a second answer.
        tolerance: stop when the log-likelihood per vote rises by less, at the earliest after two iterations; None
            runs all.
        one_coin: each worker has one accuracy instead of a matrix, and wrong answers are equally likely.
        floor: smallest entry of a confusion matrix or prior, so that no logarithm is infinite. It is no
            smoothing: a worker who never answered item class a with b gets `floor` there.

    Returns:
        posterior (items, K); confusion (workers, K, K), [w, a, b] = P(answer b | truth a), flat for a truth that
        the worker never met; prior (K,); loglik, the log-likelihood per vote before each iteration's M step, so its
        length is the number of iterations that were run. An item without votes gets the prior (of the M step before).

    Raises:
        ValueError: as `vote_counts`; fewer than two classes, no items, fewer than no iterations, or a floor that is
            not between 0 and 1 / K.

    Source: A. P. Dawid, A. M. Skene, Applied Statistics 28 (1979), https://doi.org/10.2307/2346806
    """
    from scipy import sparse
    from scipy.special import logsumexp

    votes = np.asarray(votes)
    counts = vote_counts(votes, classes)
    if not len(votes) or classes < 2 or iterations < 0 or not 0 < floor < 1 / classes:
        raise ValueError(
            f"Dawid-Skene needs an item, two classes, iterations from 0 and a floor between 0 and 1 / {classes}; got "
            f"{len(votes)} items, {classes} classes, {iterations} iterations, floor {floor}."
        )
    items, workers = np.nonzero(votes != MISSING)
    total, W = max(len(items), 1), votes.shape[1]
    columns = workers * classes + votes[items, workers]
    # (items, workers * K): a one where this worker gave this answer
    answers = sparse.csr_matrix((np.ones(len(items)), (items, columns)), shape=(len(votes), W * classes))
    transposed = answers.T.tocsr()
    votes_of = np.bincount(workers, minlength=W)

    def maximise(posterior):
        joint = (transposed @ posterior).reshape(W, classes, classes)  # [w, answer, truth]
        if one_coin:
            hits = np.trace(joint, axis1=1, axis2=2) / np.maximum(votes_of, 1)
            hits = np.where(votes_of > 0, hits, 1 / classes).clip(floor, 1 - floor)[:, None, None]
            even = np.eye(classes)[None]
            confusion = hits * even + (1 - hits) / (classes - 1) * (1 - even)
        else:
            joint = joint.clip(floor)
            confusion = (joint / joint.sum(1, keepdims=True)).transpose(0, 2, 1)
        return confusion, posterior.mean(0).clip(floor)

    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    posterior = np.where(counts.sum(1, keepdims=True) > 0, share, 1 / classes)
    confusion, prior = maximise(posterior)
    loglik: list[float] = []
    for _ in range(iterations):
        log_conf = np.log(confusion).transpose(0, 2, 1).reshape(W * classes, classes)
        joint = np.log(prior) + answers @ log_conf
        norm = logsumexp(joint, axis=1, keepdims=True)
        posterior = np.exp(joint - norm)
        loglik.append(float(norm.sum() / total))
        confusion, prior = maximise(posterior)
        if tolerance is not None and len(loglik) > 1 and loglik[-1] - loglik[-2] < tolerance:
            break
    return SimpleNamespace(posterior=posterior, confusion=confusion, prior=prior, loglik=loglik)


# -- simulators ------------------------------------------------------------------------------------------------


def _classes(y: np.ndarray, classes: int) -> np.ndarray:
    """`y` as an array of whole numbers (items,), each in 0..classes-1; ValueError for anything else."""
    y = np.asarray(y)
    if classes < 2 or y.ndim != 1 or (y.size and (y.dtype.kind not in "iu" or not 0 <= y.min() <= y.max() < classes)):
        raise ValueError(f"Give one class per item, a whole number in 0..{classes - 1}, of two classes at least.")
    return y.astype(np.int64)


def draw_votes(probs: np.ndarray, rng: np.random.Generator, rate: float = 1.0) -> np.ndarray:
    """One answer per item and worker from its own distribution, each given with probability `rate`.

    Args:
        probs: (items, workers, K), rows that sum to one; axes of length 1 are stretched by numpy's rules only
            if the caller does so (`np.broadcast_to`).
        rng: random numbers. rate: share of answers that are observed, 0 to 1.

    Returns:
        (items, workers) int64 votes, -1 where missing.
    """
    probs = np.asarray(probs, float)
    if probs.ndim != 3 or not 0 <= rate <= 1 or not np.allclose(probs.sum(-1), 1) or (probs < 0).any():
        raise ValueError("Give (items, workers, K) probabilities that sum to one, and a rate from 0 to 1.")
    cut = probs.cumsum(-1)[..., :-1]
    votes = (rng.random(probs.shape[:2])[..., None] >= cut).sum(-1)
    return np.where(rng.random(votes.shape) < rate, votes, MISSING)


def one_coin_votes(y: np.ndarray, accuracy: np.ndarray, classes: int, rng, rate: float = 1.0) -> np.ndarray:
    """Workers who are right with their own accuracy, on every class alike, and else pick a wrong class evenly.

    Args:
        y: (items,) true classes. accuracy: (workers,) from 0 to 1. rng, rate: see `draw_votes`.

    Returns:
        (items, workers) votes.

    Raises:
        ValueError: classes or accuracies out of range, fewer than two classes.
    """
    hit = np.asarray(accuracy, float)[None, :, None]
    true = np.eye(classes)[_classes(y, classes)][:, None, :]
    return draw_votes(hit * true + (1 - hit) / (classes - 1) * (1 - true), rng, rate)


def confusion_votes(y: np.ndarray, confusion: np.ndarray, rng, rate: float = 1.0) -> np.ndarray:
    """Dawid and Skene's workers: answers are drawn from the row of the true class.

    Args:
        y: (items,) true classes. confusion: (workers, K, K), [w, a, b] = P(answer b | truth a).
        rng, rate: see `draw_votes`.

    Returns:
        (items, workers) votes.

    Raises:
        ValueError: classes out of range, matrices of another shape or whose rows do not sum to one.
    """
    confusion = np.asarray(confusion, float)
    if confusion.ndim != 3 or confusion.shape[1] != confusion.shape[2]:
        raise ValueError(f"Confusion matrices are (workers, K, K), got {confusion.shape}.")
    return draw_votes(confusion[:, _classes(y, confusion.shape[1])].transpose(1, 0, 2), rng, rate)


def top_two_probs(g: np.ndarray, h: np.ndarray, q: np.ndarray, p: np.ndarray, classes: int) -> np.ndarray:
    """Answer probabilities of the top-two model (Jeong and Chung 2023, arXiv:2301.00006).

    With probability p a worker considers the item and then answers its truth g with probability q and its most
    confusing answer h with 1 - q; else the answer is a guess among all classes.

    Args:
        g, h: (items,) true and most confusing class, different. q: (items,). p: (workers,).

    Returns:
        (items, workers, classes).

    Raises:
        ValueError: g equal to h somewhere, classes out of range, q or p outside [0, 1].
    """
    g, h, q = _classes(g, classes), _classes(h, classes), np.asarray(q, float)[:, None]
    if (g == h).any():
        raise ValueError("The most confusing answer of an item must differ from its truth.")
    if not all(((0 <= v) & (v <= 1)).all() for v in (q, np.asarray(p, float))):
        raise ValueError("The probabilities q and p lie between 0 and 1.")
    one_hot = np.eye(classes)
    considered = q * one_hot[g] + (1 - q) * one_hot[h]  # (items, classes)
    p = np.asarray(p, float)[None, :, None]
    return (1 - p) / classes + p * considered[:, None, :]


def top_two_votes(g, h, q, p, classes: int, rng, rate: float = 1.0) -> np.ndarray:
    """Votes of the top-two model; arguments as in `top_two_probs` and `draw_votes`. Returns (items, workers)."""
    return draw_votes(top_two_probs(g, h, q, p, classes), rng, rate)
