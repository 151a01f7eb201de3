"""Data: checksums, folds, downloads through a mirror, and what is said when something is wrong."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from book.tools import ROOT
from shared import data
from shared.data import DataError, disjoint_folds, folds, load, vader_texts, wordnet


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No cached content, and nothing counted as loaded."""
    data._read.cache_clear()
    monkeypatch.setattr(data, "loaded", {})
    yield
    data._read.cache_clear()


def test_every_embedded_set_is_whole_and_listed_with_its_licence():
    assert len(data.verify()) >= 4
    for name, entry in data.catalog().items():
        for field in ("title", "rows", "licence", "source", "sha256"):
            assert entry[field], f"{name} lacks {field}"
        if entry["kind"] == "embedded":
            assert (data.HERE / entry["file"]).stat().st_size == entry["bytes"]
            assert (data.HERE.parents[1] / entry["script"]).exists()


def test_fashion_mnist_parts_are_disjoint_within_and_between_seeds():
    images = {}
    for seed in range(5):
        d = load("fashion_mnist", seed=seed, train=2000, val=300, test=500)
        assert d.x_train.shape == (2000, 1, 28, 28) and d.x_train.dtype == torch.float32
        assert d.x_train.min() >= 0 and d.x_train.max() == 1 and d.y_test.dtype == torch.int64
        assert len(d.y_train.unique()) == 10
        images[seed] = {x.numpy().tobytes() for x in torch.cat([d.x_train, d.x_val, d.x_test])}
    assert data.loaded == {"fashion_mnist": data.catalog()["fashion_mnist"]["sha256"]}
    both = [len(images[a] & images[b]) for a in images for b in images if a < b]
    assert max(both) <= 2  # a few pictures occur twice in the set itself
    again = load("fashion_mnist", seed=3, train=2000, val=300, test=500)
    assert {x.numpy().tobytes() for x in torch.cat([again.x_train, again.x_val, again.x_test])} == images[3]


def test_fashion_mnist_labels_belong_to_their_images():
    """The label of an image is the same whichever fold it comes in, and a nearest mean finds most of them."""
    d = load("fashion_mnist", seed=0, train=5000, test=1000)
    means = torch.stack([d.x_train[d.y_train == c].mean(0).flatten() for c in range(10)])
    guess = torch.cdist(d.x_test.flatten(1), means).argmin(1)
    assert (guess == d.y_test).float().mean() > 0.6


@pytest.mark.parametrize("size", [28, 14, 7, 4, 2, 1])
def test_small_images_are_means_of_squares_of_the_same_rows(size):
    parts = dict(train=40, test=9)
    d, small = load("fashion_mnist", seed=4, **parts), data.images("small", 4, size, **parts)
    k = 28 // size
    for part, n in parts.items():
        assert torch.equal(getattr(small, f"y_{part}"), getattr(d, f"y_{part}"))
        x, whole = getattr(small, f"x_{part}"), getattr(d, f"x_{part}")
        assert x.shape == (n, 1, size, size) and x.dtype == torch.float32 and 0 <= x.min() <= x.max() <= 1
        for i, j in ((0, 0), (size - 1, size // 2)):
            want = whole[:, 0, i * k : (i + 1) * k, j * k : (j + 1) * k].mean((1, 2))
            torch.testing.assert_close(x[:, 0, i, j], want)
    assert data.images("smoke", 4, **parts).x_train.shape == (40, 1, 14, 14)
    assert data.loaded == {"fashion_mnist": data.catalog()["fashion_mnist"]["sha256"]}


@pytest.mark.parametrize("sizes", [[40, 10], [13, 5, 4], [100]])
def test_folds_of_groups(sizes):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 150).tolist()
    pieces = disjoint_folds(groups, sizes)
    used = []
    for seed in range(3 * pieces):
        parts = folds(groups, sizes, seed)
        assert [len(p) for p in parts] == sizes
        owners = [{groups[i] for i in part} for part in parts]
        assert all(not owners[a] & owners[b] for a in range(len(parts)) for b in range(a))
        rows = np.concatenate(parts)
        assert len(set(rows)) == len(rows)
        used.append(rows)
    first = np.concatenate(used[:pieces])
    assert len(set(first)) == len(first)
    assert not np.array_equal(used[0], used[pieces])  # the next turn is shuffled anew


def test_folds_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit a pool of 10 rows"):
        folds(range(10), [8, 3], 0)
    assert disjoint_folds(range(10), [3, 2]) == 2


def test_debian_sets_belong_together():
    p, v = load("debian_packages"), load("debian_minilm")
    assert len(p.name) == len(set(p.name)) == len(v) == len(p.tags) == len(p.depends)
    assert torch.allclose(v.norm(dim=1), torch.ones(len(v)), atol=1e-5)
    with np.load(data.HERE / data.catalog()["debian_minilm"]["file"]) as file:
        codes = torch.from_numpy(file["codes"].astype(np.float64))
    cosines = (v.double() * codes).sum(1) / codes.norm(dim=1)
    assert (cosines > 1 - 1e-6).all()
    assert all(0 <= j < len(v) for row in p.depends for j in row)
    assert max(map(len, p.long)) <= 600
    vocabulary = load("debtags_vocabulary")
    common = {tag for tags in p.tags for tag in tags}
    assert len(common & set(vocabulary)) > 0.95 * len(common)
    chess = [i for i, tags in enumerate(p.tags) if "game::board:chess" in tags]
    near = v[chess] @ v[chess].T
    assert near.mean() > (v[chess] @ v.T).mean() + 0.2  # texts about chess lie together


def test_wordnet_items_classes_and_tree_belong_together():
    import networkx as nx

    w = load("wordnet")
    n, classes = len(w.id), len(w.x_names)
    assert n == len(set(w.id)) == len(w.gloss) == len(w.words) == len(w.hypernym) == len(w.x) == len(w.text)
    assert (np.bincount(w.label, minlength=classes) == n // classes).all()
    assert torch.allclose(w.x.norm(dim=1), torch.ones(n), atol=1e-5)
    for text, label in zip(w.text, w.label):
        words = text.lower().split()
        assert len(words) >= 3 and not {name.lower() for name in w.node_words[label]} & set(words)
    tree = nx.Graph((i, int(over)) for i, over in enumerate(w.parent) if over >= 0)
    assert nx.is_tree(tree) and w.node_words[int(np.flatnonzero(w.parent < 0)[0])] == ["entity"]
    far = dict(nx.all_pairs_shortest_path_length(tree))
    assert all(w.distance[a, b] == far[a][b] for a in range(0, classes, 7) for b in range(classes))
    # A definition lies near the name of its class, and rows of another order would not.
    near = (w.x @ w.x_names.T).argmax(1).numpy()
    assert (near == w.label).mean() > 0.2 > 10 * (near == np.roll(w.label, n // 2)).mean()


def test_words_are_struck_out_of_definitions():
    assert wordnet.without('a Dog of dogs or hotdog; "dog!"', ["dog"]) == "a of or hotdog"
    assert (
        wordnet.without("wading bird or birds, dishes and puppies", ["wading bird", "dish", "puppy"]) == "or birds, and"
    )
    with pytest.raises(ValueError, match="circle"):
        wordnet.tree_distance([1, 0])
    with pytest.raises(ValueError, match="more than one root"):
        wordnet.tree_distance([-1, -1])
    assert wordnet.tree_distance([2, 2, -1, 0]).tolist() == [[0, 2, 1, 1], [2, 0, 1, 3], [1, 1, 0, 2], [1, 3, 2, 0]]


def test_vader_rows_hits_and_vectors_belong_together():
    r, v = load("vader_ratings"), load("vader_minilm")
    assert len(r.domain) == len(r.id) == len(r.hit) == len(r.ratings) == 23_703
    assert sum(map(len, r.ratings)) == 536_520
    assert set(r.domain[: len(v)]) == {"movie", "tweet"} and not set(r.domain[len(v) :]) & {"movie", "tweet"}
    assert torch.allclose(v.norm(dim=1), torch.ones(len(v)), atol=1e-5)
    movie = np.flatnonzero(r.domain == "movie")
    sizes = np.bincount(r.hit[movie])
    assert (sizes[:-1] == 30).all() and (r.hit[r.domain != "movie"] == -1).all()
    # One place, one person: how a rater deviates in one half of a hit agrees with the other half; not so for tweets.

    def halves(rows):
        table = np.stack([r.ratings[i] for i in rows]).astype(float)
        rest = table - table.mean(1, keepdims=True)
        return np.corrcoef(rest[::2].mean(0), rest[1::2].mean(0))[0, 1]

    hits = [movie[r.hit[movie] == h] for h in range(100)]
    hits = [rows for rows in hits if len({len(r.ratings[i]) for i in rows}) == 1]
    tweets = np.flatnonzero((r.domain == "tweet") & (np.array([len(x) for x in r.ratings]) == 20))
    assert len(hits) > 50 and np.mean([halves(rows) for rows in hits]) > 0.5
    if len(tweets) >= 300:
        assert abs(np.mean([halves(tweets[i : i + 30]) for i in range(0, 300, 30)])) < 0.25
    # Rows of texts and vectors are the same: neighbours in meaning are rated alike.
    mean = torch.tensor([float(x.mean()) for x in r.ratings[: len(v)]])
    near = (v[:3000] @ v[:3000].T - 2 * torch.eye(3000)).argmax(1)
    right, shifted = (torch.corrcoef(torch.stack([m, m[near]]))[0, 1] for m in (mean[:3000], mean[1:3001]))
    assert right > 0.15 and abs(shifted) < 0.07


def small_vader(folder, change=""):
    """A source distribution of the true layout with two texts a domain; the texts in order."""
    inner, texts = io.BytesIO(), []
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for stem in vader_texts.FILES.values():
            mine = [f"caf\u00e9 {stem} {i}{change}" for i in (1, 2)]
            truth = "".join(f"{i}\t0.5\t{t}\n" for i, t in enumerate(mine, 1)).encode("cp1252")
            given = "".join(f"{i}\t0.5\t0.1\t[{i}, -2]\n" for i in (1, 2)).encode("utf-8-sig")
            for end, content in (("GroundTruth", truth), ("anonDataRatings", given)):
                info = tarfile.TarInfo(f"hutto_ICWSM_2014/{stem}_{end}.txt")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            texts += mine
    with tarfile.open(folder / "vaderSentiment-3.3.2.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
        info.size = len(inner.getvalue())
        archive.addfile(info, io.BytesIO(inner.getvalue()))
    return texts


def test_the_rated_texts_come_from_a_mirror_and_stay_in_the_cache(tmp_path, monkeypatch):
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    texts = small_vader(mirror)
    entry = {**data.catalog()["vader_texts"], "sha256": hashlib.sha256(json.dumps(texts).encode()).hexdigest()}
    monkeypatch.setattr(data, "catalog", lambda: {"vader_texts": entry})
    monkeypatch.setenv("BOOK_DATA_MIRROR", str(mirror))
    monkeypatch.setenv("BOOK_DATA_CACHE", str(cache))
    assert load("vader_texts") == texts
    rows = vader_texts.parse((mirror / "vaderSentiment-3.3.2.tar.gz").read_bytes())
    assert [row[0] for row in rows[::2]] == list(vader_texts.FILES) and rows[1][3] == [2, -2]
    for file in mirror.iterdir():
        file.unlink()
    data._read.cache_clear()
    assert load("vader_texts") == texts  # from the cache
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    data._read.cache_clear()
    with pytest.raises(DataError, match="BOOK_DATA_MIRROR has no vaderSentiment"):
        load("vader_texts")
    small_vader(mirror, change="!")
    with pytest.raises(DataError, match="does not hold the expected texts"):
        load("vader_texts")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: load("fashion_minst"), "did you mean 'fashion_mnist'"),
        (lambda: load("fashion_mnist"), "is a pool"),
        (lambda: load("debian_packages", train=5), "do not apply"),
        (lambda: data.images("small", 0, 5, train=5), "28, 14, 7, 4, 2 or 1; got 5"),
        (lambda: data.images("small", 0, 0, train=5), "got 0"),
        (lambda: data.images("small", 0, 56, train=5), "got 56"),
        (lambda: data.images("small", 0, 14.0, train=5), "got 14.0"),
        (lambda: data.images("small", 0), "is a pool"),
        (lambda: data.images("small", 0, train=15_000), "do not fit"),
        (lambda: folds([], [1], 0), "do not fit a pool of 0 rows"),
        (lambda: folds(range(5), [], 0), "at least one part"),
        (lambda: folds(range(5), [0, 2], 0), "do not fit"),
        (lambda: folds(range(5), [2], -1), "whole number from 0"),
    ],
)
def test_wrong_calls_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_download_is_refused_below_full():
    with pytest.raises(DataError, match="at scale 'full' only"):
        load("cifar10", scale="small")


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_a_damaged_embedded_file_is_named_with_the_way_back(tmp_path, monkeypatch, damage):
    entry = data.catalog()["debtags_vocabulary"]
    copy = tmp_path / entry["file"]
    copy.parent.mkdir()
    content = bytearray((data.HERE / entry["file"]).read_bytes())
    content[100] ^= 1
    if damage != "missing":
        copy.write_bytes(bytes(content) if damage == "altered" else bytes(content[:1000]))
    monkeypatch.setattr(data.fetching, "HERE", tmp_path)
    monkeypatch.setattr(data, "catalog", lambda: {"debtags_vocabulary": entry})
    says = "is missing" if damage == "missing" else "is damaged"
    with pytest.raises(DataError, match=rf"{says}.*git checkout.*data_scripts"):
        load("debtags_vocabulary")
    assert data.loaded == {}


def test_a_file_that_cannot_be_read_is_not_called_missing(tmp_path, monkeypatch):
    """The cause is named: whoever lacks a permission would restore the file in vain."""
    entry = data.catalog()["debtags_vocabulary"]

    def refused(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(data.fetching.Path, "read_bytes", refused)
    with pytest.raises(DataError, match="cannot be read .Permission denied.: change its permissions"):
        data.embedded(entry)
    monkeypatch.setenv("BOOK_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="cannot be read .Permission denied."):
        data.fetch(data.catalog()["cifar10"])


def test_a_folder_in_a_files_place_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "cifar-10-binary.tar.gz").mkdir()
    monkeypatch.setenv("BOOK_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="cannot be read .Is a directory"):
        data.fetch(data.catalog()["cifar10"])


# -- downloads ---------------------------------------------------------------------------------------------------


def small_cifar(rows=7, member="cifar-10-batches-bin/{}", cut=0):
    """An archive of CIFAR-10's true format with a few random images a batch; bytes, labels and pixels."""
    rng = np.random.default_rng(0)
    out, labels, pixels = io.BytesIO(), [], []
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for file in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            y, x = (
                rng.integers(10, size=(rows, 1), dtype=np.uint8),
                rng.integers(256, size=(rows, 3072), dtype=np.uint8),
            )
            content = np.hstack([y, x]).tobytes()[: rows * 3073 - cut]
            info = tarfile.TarInfo(member.format(file))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
            labels.append(y[:, 0])
            pixels.append(x.reshape(rows, 3, 32, 32))
    return out.getvalue(), labels, pixels


ARCHIVE = "cifar-10-binary.tar.gz"


def test_cifar10_from_a_mirror(mirror):
    content, labels, pixels = small_cifar()
    mirror("cifar10", {ARCHIVE: content})
    d = load("cifar10", scale="full")
    assert d.x_train.shape == (35, 3, 32, 32) and d.x_train.dtype == torch.uint8
    assert torch.equal(d.y_train, torch.from_numpy(np.concatenate(labels[:5]).astype(np.int64)))
    assert torch.equal(d.x_test, torch.from_numpy(pixels[5]))


def test_a_wrong_checksum_is_refused(mirror):
    mirror("cifar10", {ARCHIVE: small_cifar()[0]}, right=False)
    with pytest.raises(DataError, match="wrong checksum: fetch it again"):
        load("cifar10", scale="full")


def test_an_incomplete_archive_is_refused(mirror):
    mirror("cifar10", {ARCHIVE: small_cifar(cut=5)[0]})
    with pytest.raises(DataError, match="not of 3073-byte records"):
        load("cifar10", scale="full")


def test_a_hostile_archive_writes_nothing(mirror, tmp_path):
    """Members that point outside are read like any other, never extracted."""
    mirror("cifar10", {ARCHIVE: small_cifar(member="../../escaped/{}")[0]})
    before = sorted(p.name for p in tmp_path.parent.rglob("*"))
    load("cifar10", scale="full")
    assert sorted(p.name for p in tmp_path.parent.rglob("*")) == before


def test_an_empty_mirror_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="has no cifar-10-binary.tar.gz: put it into"):
        load("cifar10", scale="full")


def test_no_network_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    entry = {**data.catalog()["cifar10"], "url": "http://127.0.0.1:9/cifar-10-binary.tar.gz"}
    monkeypatch.setattr(data, "catalog", lambda: {"cifar10": entry})
    monkeypatch.delenv("BOOK_DATA_MIRROR", raising=False)
    monkeypatch.setenv("BOOK_DATA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="cannot be reached .*BOOK_DATA_MIRROR"):
        load("cifar10", scale="full")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The server of a small CIFAR-10: `sends` are its bytes, `promises` the length that it announces, `stalls` whether it then waits."""
    import http.server
    import threading

    content, *_ = small_cifar()
    now = SimpleNamespace(content=content, sends=content, promises=None, stalls=False, cache=tmp_path / "cache")
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if "gone" in self.path:
                return self.send_error(404)
            self.send_response(200)
            if now.promises:
                self.send_header("Content-Length", str(now.promises))
            self.end_headers()
            self.wfile.write(now.sends)
            if now.stalls:
                over.wait(60)

        def log_message(self, *_):
            pass

    at = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=at.serve_forever, daemon=True).start()
    now.entry = {**data.catalog()["cifar10"], "sha256": hashlib.sha256(content).hexdigest(),
                 "url": f"http://127.0.0.1:{at.server_port}/cifar-10-binary.tar.gz"}  # fmt: skip
    monkeypatch.setattr(data, "catalog", lambda: {"cifar10": now.entry})
    monkeypatch.delenv("BOOK_DATA_MIRROR", raising=False)
    monkeypatch.setenv("BOOK_DATA_CACHE", str(now.cache))
    yield now
    over.set()
    at.shutdown()
    data._read.cache_clear()
    assert len(load("cifar10", scale="full").y_train) == 35  # from the cache, the server is gone
    data._read.cache_clear()


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_server_that_refuses_and_a_cache_that_is_none_are_told_apart(server, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setitem(server.entry, "url", server.entry["url"].replace("cifar-10", "gone"))
        with pytest.raises(DataError, match="refused by its server .status 404.: put gone"):
            load("cifar10", scale="full")
    assert not files(server.cache)
    with monkeypatch.context() as patch:
        (tmp_path / "file").write_text("")
        patch.setenv("BOOK_DATA_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(DataError, match="The cache .*file/cache cannot be used .*BOOK_DATA_CACHE"):
            load("cifar10", scale="full")
    assert len(load("cifar10", scale="full").y_train) == 35


def test_an_altered_download_leaves_nothing(server):
    """Other bytes than the catalogue promises; then the right ones, which are cached."""
    server.sends = server.content[: len(server.content) // 2]
    with pytest.raises(DataError, match="wrong checksum: nothing was kept"):
        load("cifar10", scale="full")
    assert not files(server.cache)
    server.sends = server.content
    assert len(load("cifar10", scale="full").y_train) == 35


def test_a_download_that_breaks_off_leaves_nothing(server):
    """The connection is closed in the middle of what was announced."""
    server.sends, server.promises = server.content[: len(server.content) // 2], len(server.content)
    with pytest.raises(DataError, match="cannot be reached .*put cifar-10-binary.tar.gz into a folder"):
        load("cifar10", scale="full")
    assert not files(server.cache)
    server.sends = server.content
    assert len(load("cifar10", scale="full").y_train) == 35


def test_a_process_killed_in_a_download_leaves_nothing_that_counts(server):
    server.sends, server.promises, server.stalls = server.content[:9000], len(server.content), True
    program = "import json, sys; from shared import data; data.fetch(json.loads(sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", program, json.dumps(server.entry)], cwd=ROOT)
    limit = time.monotonic() + 60
    while not any(path.stat().st_size for path in files(server.cache)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert child.poll() is None, "it did not wait for the rest"
    child.kill()
    child.wait()
    begun = files(server.cache)
    assert begun and not (server.cache / "cifar-10-binary.tar.gz").exists()
    server.sends, server.stalls = server.content, False
    assert len(load("cifar10", scale="full").y_train) == 35
