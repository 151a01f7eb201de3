"""Learning curves: the fit against scipy, the bound where its hypothesis holds, taggers against naive versions."""

import io
import zipfile

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit, least_squares

from tests.conftest import definitions

lc = definitions("learning_curves")


def sizes(n=30):
    return 500.0 * torch.arange(1, n + 1, dtype=torch.float64)


def noisy(n=30, noise=0.3, seed=0, a=20.0, b=0.5, c=94.0):
    x = sizes(n)
    g = torch.Generator().manual_seed(seed)
    return x, c - a * (x / x[0]) ** -b + noise * torch.randn(n, generator=g).double()


def ones(y):
    return torch.ones_like(y)


def test_the_line_is_least_squares_of_a_straight_line_with_a_positive_slope():
    x, y = noisy(9)
    g = torch.stack([(x / x[0]) ** -0.3, (x / x[0]) ** -1.2, (x / x[0]) ** 0.5])
    error, a, c = lc.line(y, ones(y), g)
    for k, shape in enumerate(g):
        slope, level = np.polyfit(shape, y, 1)
        if slope < 0:
            assert float(a[k]) == pytest.approx(-slope) and float(c[k]) == pytest.approx(level)
            assert float(error[k]) == pytest.approx(float(((y - level - slope * shape) ** 2).sum()), rel=1e-6)
        else:
            assert float(a[k]) == pytest.approx(1e-9) and float(c[k]) == pytest.approx(float(y.mean()), abs=1e-6)
    part = ones(y)
    part[6:] = 0
    short = lc.line(y[:6], part[:6], g[:, :6])
    for whole, cut in zip(lc.line(y, part, g), short):
        assert torch.allclose(whole, cut), "a weight of zero leaves a point out"


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_is_as_good_as_that_of_scipy(seed):
    x, y = noisy(4 + 7 * seed, seed=seed, b=(0.1, 0.3, 0.6, 1.0, 2.0, 0.02)[seed])
    u = (x / x[0]).numpy()

    def law(u, a, b, c):
        return c - a * u**-b

    bounds = (1e-9, 0.01, -np.inf), (np.exp(20), 3, np.inf)
    best = np.inf
    for b in (0.1, 0.5, 1.5):
        try:
            theirs, _ = curve_fit(law, u, y, p0=(20, b, 95), bounds=bounds, method="trf", max_nfev=20_000)
        except RuntimeError:
            continue
        best = min(best, float(((law(u, *theirs) - y.numpy()) ** 2).sum()))
    ours = lc.fit(x, y, ones(y))
    error = float(((lc.curve(ours, x, x[0]) - y) ** 2).sum())
    assert error <= best * (1 + 1e-4) + 1e-9
    assert ours[0] > 0 and 0.01 - 1e-9 <= ours[1] <= 3 + 1e-9


def test_all_levels_at_once_are_each_level_alone():
    x, y = noisy(12)
    many = lc.fit(x, *lc.prefixes(torch.stack([y, y - 3])))
    assert many.shape == (2, 10, 3)
    for level in (3, 7, 12):
        one = lc.fit(x[:level], y[:level], ones(y[:level]))
        drawn = lc.curve(one, x[:level], x[0])
        assert torch.allclose(lc.curve(many[0, level - 3], x[:level], x[0]), drawn, atol=1e-3)


def test_edges_of_the_fit():
    x = sizes(3)
    exact = lc.fit(x, 95 - 20 * (x / x[0]) ** -0.7, ones(x))
    assert torch.allclose(exact, torch.tensor([20, 0.7, 95.0]).double(), atol=1e-3), "three points, no error"
    x = sizes(20)
    for y in (x * 0 + 61, 80 - x / 500, x * 0, x * 0 + 100):  # flat, decreasing, at either end
        found = lc.fit(x, y, ones(y))
        assert torch.isfinite(found).all() and float(found[0]) > 0
        assert float(found[2]) == pytest.approx(float(y.mean()), abs=1e-3)
    straight = lc.fit(x, 50 + x / 500, ones(x))  # no asymptote in sight: b at its lower bound
    assert float(straight[1]) == pytest.approx(0.01, rel=1e-3) and float(straight[2]) > 100


def test_the_anchor_is_an_observation_at_infinity():
    x, y = noisy(15)
    anchor = torch.tensor(90.0).double()
    ours = lc.fit(x, y, ones(y), anchor, steps=200)
    u = (x / x[0]).numpy()

    def gaps(p):
        return np.append(p[2] - p[0] * u ** -p[1] - y.numpy(), p[2] - 90)

    theirs = least_squares(gaps, (20, 0.5, 94), bounds=((1e-9, 0.01, 0), (1e8, 3, 1e4)), xtol=1e-14, ftol=1e-14).x
    assert np.allclose(ours, theirs, rtol=1e-2)
    free = lc.fit(x, y, ones(y))
    assert 90 <= float(ours[2]) < float(free[2]), "it pulls"
    same = lc.fit(x, y, ones(y), free[2])
    assert torch.allclose(lc.curve(same, x, x[0]), lc.curve(free, x, x[0]), atol=1e-2), "an anchor that agrees"


def test_anchored_trends_follow_their_rule():
    x, y = noisy(9, seed=3)
    y = y[None]
    trends = lc.fit(x, *lc.prefixes(y))
    held = lc.anchored(x, y, trends)
    before = trends[0, 0, 2]
    for i in range(1, 7):
        n = i + 3
        one = lc.fit(x[:n], y[0, :n], ones(x[:n]), (2 * trends[0, i, 2] + before) / 3)
        before = one[2]
        assert float(held[0, i, 2]) == pytest.approx(float(before), rel=1e-3)
    assert torch.equal(held[:, 0], trends[:, 0])


def test_two_levels_by_hand():
    alphas = np.array([300.0, 120, 104, 103.9, 103.8, 99.9, 99.8, 99.7, 99.6])  # levels 3 to 11
    assert lc.two_levels(alphas, 0.5, look=2) == (5, 8)
    assert lc.two_levels(alphas, 0.5, look=3) == (8, 8), "five slow steps are needed in a row"
    assert lc.two_levels(alphas, 0.5, look=4) == (None, None)
    assert lc.two_levels(alphas, 0.5, look=2, latest=6) == (5, None), "above 100 until then"
    assert lc.two_levels(alphas, 1e9, look=1) == (3, 8)
    assert lc.two_levels(alphas[:1], 0.5) == (None, None)


def test_crossings():
    unit, x_now = 500.0, torch.tensor(7777.0).double()
    p = torch.tensor([20, 0.5, 95.0]).double()
    assert lc.crossing(p, p, x_now, unit) == x_now, "identical curves"
    above = p + torch.tensor([0, 0, 1.0])
    assert lc.crossing(p, above, x_now, unit) == x_now, "no crossing"
    # 20 v - 95 = 30 v^2 - 96 with v = u^-0.5: two crossings, the last where v is smallest
    other = torch.tensor([30, 1.0, 96]).double()
    roots = np.roots([30, -20, -1])
    roots = roots[(roots > 0) & (roots < 1)]
    assert float(lc.crossing(other, p, x_now, unit)) == pytest.approx(unit * roots.min() ** -2, rel=1e-3)
    many = lc.crossing(torch.stack([p, other]), torch.stack([p, p]), x_now.expand(2), unit)
    assert many.shape == (2,) and many[0] == x_now


def share_within(trends, unit=500.0):
    """Of the levels whose trend crosses the one before, the share at which the layer is a bound."""
    x = torch.logspace(np.log10(unit), 9, 3000).double()
    last, kept = lc.curve(trends[-1], x, unit), []
    for now, before in zip(trends[1:], trends):
        q = lc.crossing(now, before, torch.tensor(1.0).double(), unit)
        if q > 1:
            gap = (lc.curve(now, x, unit) - last).abs()[x >= q * 1.001]
            kept.append(bool((gap <= lc.layer(now, q, unit) + 1e-6).all()))
    return np.mean(kept), len(kept)


def test_the_bound_holds_where_the_hypothesis_does():
    c = 98 - 6 * torch.linspace(0, 1, 30).double()
    b = torch.full_like(c, 0.4)
    a = (c - 85) * 8**0.4  # all pass 85 % at eight portions; beyond it each lies below the one before
    assert share_within(torch.stack([a, b, c], -1)) == (1, 29)
    # Asymptotes fall here as well, but the final curve passes the crossings lower: no bound.
    steps = torch.linspace(1, 0, 30).double()
    share, n = share_within(torch.stack([25 + 12 * steps, 0.7 - 0.25 * steps, 92 + 6 * steps], -1))
    assert share < 1 and n > 20
    p = torch.tensor([20, 0.5, 95.0]).double()
    assert float(lc.layer(p, torch.tensor(2000.0).double(), 500.0)) == pytest.approx(20 * 4**-0.5)


# -- taggers -----------------------------------------------------------------------------------------------------

H, C = 40, 3


def drawn(runs=2, n=50, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(H, (runs, n, 15), generator=g), torch.randint(C, (runs, n), generator=g)


def counts(x, y):
    n = np.zeros((H, C))
    for row, tag in zip(x.tolist(), y.tolist()):
        for f in row:
            n[f, tag] += 1
    return n


def test_taggers_against_naive_versions():
    x, y = drawn()
    bayes, perceptron, logistic = lc.NaiveBayes(2, H, C), lc.Perceptron(2, H, C), lc.Logistic(2, H, C)
    for tagger in (bayes, perceptron, logistic):
        tagger.learn(x[:, :25], y[:, :25])  # two portions are as good as one
        tagger.learn(x[:, 25:], y[:, 25:])
    for r in range(2):
        n, prior = counts(x[r], y[r]), np.bincount(y[r], minlength=C)
        weight, bias = bayes.weights(r)
        naive = np.log((n + 0.1) / (prior + 0.1 * H / 15))
        assert np.allclose(weight, naive, atol=1e-5) and np.allclose(bias, np.log(prior + 0.1), atol=1e-5)

        w, total = np.zeros((H, C)), np.zeros((H, C))
        for row, tag in zip(x[r].numpy(), y[r].tolist()):
            guess = int(w[row].sum(0).argmax())
            if guess != tag:
                for f in row:
                    w[f, tag] += 1
                    w[f, guess] -= 1
            total += w
        assert np.allclose(perceptron.weights(r)[0] * (len(x[r]) + 1) / len(x[r]), total / len(x[r]), atol=1e-4)

        w, squares = torch.zeros(H, C), torch.full((H, C), 1e-6)
        for part in (slice(0, 25), slice(25, 50)):
            w = w.clone().requires_grad_()
            scores = torch.stack([w[row].sum(0) for row in x[r, part]])
            torch.nn.functional.cross_entropy(scores, y[r, part]).backward()
            squares = squares + w.grad**2
            w = w.detach() - 0.05 * w.grad / squares.sqrt()
        assert torch.allclose(logistic.weights(r)[0], w, atol=1e-4)


def test_the_lexicon_knows_words_and_falls_back_on_the_most_frequent_tag():
    x = torch.arange(15).repeat(1, 4, 1)
    x[0, :, 0] = torch.tensor([20, 20, 20, 21])
    lexicon = lc.Lexicon(1, H, C)
    lexicon.learn(x, torch.tensor([[1, 1, 2, 2]]))
    lexicon.learn(x[:, :1], torch.tensor([[0]]))
    lexicon.learn(x[:, 3:], torch.tensor([[2]]))
    test = torch.arange(15).repeat(3, 1)
    test[:, 0] = torch.tensor([20, 21, 33])
    assert lc.accuracies(lexicon, test, torch.tensor([1, 2, 2]), [[0, 1, 2]]) == [100]


def test_features_and_folds():
    words, of, place = [["The", "dog", "barks"], ["dog"]], np.array([0, 0, 1]), np.array([1, 2, 0])
    x = lc.hashed(words, of, place, 2**20)
    assert x.shape == (3, 15) and x.min() >= 0 and x.max() < 2**20
    assert np.array_equal(x[0, :7], x[2, :7]), "the same word has the same own features"
    assert not np.array_equal(x[0, 7:], x[2, 7:]), "neighbours differ"
    assert len(set(x[0].tolist())) == 15
    of = np.repeat(np.arange(30), 3)
    parts = [lc.draw(of, 100, fold, 15, 60) for fold in range(3)]
    for test, order in parts:
        assert len(test) == 15 and len(order) == len(set(order.tolist())) == 60
        assert not set(of[test]) & set(of[order]), "no sentence on both sides"
    assert len(set(np.concatenate([test for test, _ in parts]).tolist())) == 45, "folds do not overlap"


def test_rivals_have_the_published_shapes():
    x = sizes(8)
    u = (x / x[0]).numpy()
    found = lc.shapes(x)
    assert np.allclose(found["logarithm"], -np.log(u))
    rates = np.logspace(-3, 1.5, 60)
    assert np.allclose(found["exponential"][7], np.exp(-rates[7] * u))
    power = np.linspace(0.05, 2, 40)[3]
    assert np.allclose(found["WBL4"][3 * 60 + 7], np.exp(-rates[7] * u**power))
    a, b, c = 30.0, 1 / rates[7], 95.0  # MMF4: (a b + c x^d) / (b + x^d)
    mmf = (a * b + c * u**power) / (b + u**power)
    assert np.allclose(c - (c - a) * found["MMF4"][3 * 60 + 7].numpy(), mmf)


def test_steadiness_by_hand():
    class T:
        work = np.array([3, 5])

    p = torch.zeros(2, 5, 3).double()
    p[0, :, 2] = torch.tensor([9.0, 8, 8, 9, 7])
    p[1, :, 2] = torch.tensor([9.0, 10, 8, 9, 9.5])
    assert np.allclose(lc.steady(p, T), [75, 0])


# -- on your own data ----------------------------------------------------------------------------------------------


def test_own_data_foresees_a_curve_and_takes_lists():
    x = list(range(100, 1501, 100))
    y = [90 - 30 * (v / 100) ** -0.6 for v in x]
    told = lc.forecast(x, y, 10_000)
    assert told["accuracy"] == pytest.approx(90 - 30 * 100**-0.6, abs=0.01) and told["ready"]
    assert told["asymptote"] == pytest.approx(90, abs=0.05) and told["layer"] > 0
    rough = lc.forecast(x, [50, 60, 40, 70, 30, 80, 50, 60, 40, 70, 30, 80, 50, 60, 40], 10_000)
    assert rough["layer"] is None or rough["ready"]
    steep = lc.forecast(x, [20 + v / 100 for v in x], 10_000)
    assert not steep["ready"] and steep["layer"] is None


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(sizes=[1, 2, 3, 4]), "five sizes"),
        (dict(sizes=[1, 2, 3, 3, 4]), "rise"),
        (dict(sizes=[0, 1, 2, 3, 4]), "rise"),
        (dict(sizes=[1, 2, np.nan, 4, 5]), "rise"),
        (dict(target=0.5), "no smaller"),
        (dict(accuracies=[0.1, 0.2, 0.3, 0.4, 0.5]), "percentages"),
        (dict(accuracies=[10, 20, np.nan, 40, 50]), "percentages"),
        (dict(accuracies=[10, 20, 30, 40, 150]), "percentages"),
    ],
)
def test_own_data_refuses_bad_input(change, words):
    given = dict(sizes=[1, 2, 3, 4, 5], accuracies=[10, 20, 30, 35, 38], target=9) | change
    with pytest.raises(ValueError, match=words):
        lc.forecast(**given)


# -- data ------------------------------------------------------------------------------------------------------------


def test_the_example_sentences():
    from shared.data import load

    d = load("wordnet_examples")
    assert len(d.sentence) == len(d.position) == len(d.tag) == 44_016
    assert set(d.tag) == {0, 1, 2, 3} and d.position.min() >= 0
    words = [text.split(" ") for text in d.sentence]
    assert all(0 <= i < len(s) and len(s) > 1 for s, i in zip(words, d.position))
    of = {}
    for s, i, tag in zip(words, d.position, d.tag):
        of.setdefault(s[i].lower(), set()).add(d.names[tag])
    assert of["slowly"] == {"adv"} and {"noun", "verb"} <= of["work"] and "adj" in of["best"]


# `full` cut down for a test of its path: settings that it has in another form than `smoke`, or that take long.
FULL = {
    "corpora": ["brown", "ewt"],
    "step": [40, 30],
    "levels": [15, 15],
    "n_test": [60, 60],
    "features": 2**10,
}


def tagged(rng, n=120):
    """Sentences of words with tags that their endings tell."""
    kinds = {"NOUN": "nn", "VERB": "vb", "ADJ": "jj"}
    ends = {"NOUN": "ness", "VERB": "ing", "ADJ": "ful"}
    rows = []
    for _ in range(n):
        tags = rng.choice(list(kinds), rng.integers(6, 14))
        rows.append([(f"w{rng.integers(30)}{ends[t]}", str(t), kinds[t]) for t in tags])
    return rows


def full_files(rng):
    """Tiny files of the true formats of what `full` downloads: set -> {file: content}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        lines = ["\t" + " ".join(f"{w}/{kind}" for w, _, kind in s) for s in tagged(rng)]
        archive.writestr("brown/ca01", "\n\n".join(lines) + "\n")
        archive.writestr("brown/README", "no text of the corpus / really")
    parts = {}
    for name in ("dev", "test"):
        blocks = [
            "# text = x\n1-2\tx\t_\t_\t_\t_\t_\t_\t_\t_\n"
            + "\n".join(f"{i}\t{w}\t_\t{tag}\t_\t_\t_\t_\t_\t_" for i, (w, tag, _) in enumerate(s, 1))
            for s in tagged(rng, 70)
        ]
        parts[f"en_ewt-ud-{name}.conllu"] = ("\n\n".join(blocks) + "\n\n").encode()
    return {"brown": {"brown.zip": out.getvalue()}, "ewt": parts}


def test_readers_of_the_corpora(mirror):
    from shared.data import DataError, load

    files = full_files(np.random.default_rng(0))
    mirror("brown", files["brown"])
    d = load("brown", scale="full")
    expected = tagged(np.random.default_rng(0))
    assert d.words == [[w for w, _, _ in s] for s in expected] and d.tags[0] == [kind for *_, kind in expected[0]]
    mirror("ewt", files["ewt"])
    d = load("ewt", scale="full")
    assert len(d.words) == 140 and set(sum(d.tags, [])) == {"NOUN", "VERB", "ADJ"}, "ranges are left out"
    mirror("ewt", files["ewt"] | {"en_ewt-ud-dev.conllu": b"1\tonly\tthree\n"})
    with pytest.raises(DataError, match="no treebank"):
        load("ewt", scale="full")
    mirror("brown", {"brown.zip": b"no archive"})
    with pytest.raises(DataError, match="no readable archive"):
        load("brown", scale="full")
