"""The downloads of `full`: each reader on small files of the true format, against another reader; hostile pickles."""

import hashlib
import io
import json
import pickle
import zipfile
from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from shared import data
from shared.data import DataError, load
from tests.test_data import ARCHIVE, small_cifar


class Evil:
    """A pickle that runs a command when it is opened carelessly."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_what_the_catalogue_says_of_several_files():
    several = {name: entry for name, entry in data.catalog().items() if "files" in entry}
    assert len(several) >= 4
    for name, entry in several.items():
        sums = "".join(part["sha256"] for part in entry["files"])
        assert entry["sha256"] == hashlib.sha256(sums.encode()).hexdigest(), name
        assert entry["bytes"] == sum(part["bytes"] for part in entry["files"])
        pinned = [part["url"].split("/")[5] for part in entry["files"]]
        assert {len(commit) for commit in pinned} == {40}, f"{name}: an address that may change"


# -- CIFAR-10N ---------------------------------------------------------------------------------------------------

LABELS = ("clean_label", "worse_label", "aggre_label", "random_label1", "random_label2", "random_label3")


def human_labels(extra=None):
    rng = np.random.default_rng(0)
    tables = {key: rng.integers(10, size=30) for key in LABELS}
    out = io.BytesIO()
    torch.save({**tables, **(extra or {})}, out)
    # as NumPy 1 wrote it
    old = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as given, zipfile.ZipFile(old, "w", zipfile.ZIP_STORED) as made:
        for item in given.infolist():
            made.writestr(item, given.read(item).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    return tables, old.getvalue()


def test_cifar10n(mirror):
    tables, content = human_labels()
    assert b"numpy.core.multiarray" in content
    mirror("cifar10n", {"CIFAR-10_human.pt": content})
    d = load("cifar10n", scale="full")
    assert set(vars(d)) == {"clean", "worse", "aggre", "random1", "random2", "random3"}
    for key, table in tables.items():
        assert torch.equal(getattr(d, key.replace("_label", "")), torch.from_numpy(table))


def test_cifar10n_runs_no_code_and_says_what_is_wrong(mirror, tmp_path):
    trace = tmp_path / "trace"
    _, content = human_labels({"more": Evil(trace)})
    mirror("cifar10n", {"CIFAR-10_human.pt": content})
    with pytest.raises(DataError, match="holds no tables of labels .* fetch it again from https"):
        load("cifar10n", scale="full")
    assert not trace.exists()
    mirror("cifar10n", {"CIFAR-10_human.pt": content[:500]})
    with pytest.raises(DataError, match="holds no tables of labels"):
        load("cifar10n", scale="full")


# -- citation graphs ---------------------------------------------------------------------------------------------


def planetoid(name, gap, rng):
    """The eight files of a graph with 20 labelled nodes, 540 more, and 40 test nodes (38 where `gap`)."""
    known, test, words, classes = 560, 40, 12, 4
    order = rng.permutation(np.arange(known, known + test))
    if gap:
        order = order[~np.isin(order, [known + 5, known + 17])]
    allx = sp.csr_matrix((rng.random((known, words)) < 0.3).astype(np.float32))
    tx = sp.csr_matrix((rng.random((len(order), words)) < 0.3).astype(np.float32))
    ally, ty = (np.eye(classes, dtype=np.int32)[rng.integers(classes, size=m)] for m in (known, len(order)))
    graph = defaultdict(list)
    for node in range(known + test):
        graph[node] = [int(end) for end in rng.integers(known + test, size=3)]
    graph[3] += [3, graph[3][0]]  # a loop and a link twice
    parts = {"x": allx[:20], "y": ally[:20], "tx": tx, "ty": ty, "allx": allx, "ally": ally, "graph": graph}
    files = {f"ind.{name}.{part}": pickle.dumps(content, protocol=2) for part, content in parts.items()}
    return files | {f"ind.{name}.test.index": ("\n".join(map(str, order)) + "\n").encode()}


@pytest.mark.parametrize(("name", "gap"), [("cora", False), ("citeseer", True)])
def test_citation_graphs_equal_those_of_torch_geometric(mirror, name, gap):
    from torch_geometric.io import read_planetoid_data
    from torch_geometric.utils import to_scipy_sparse_matrix, to_undirected

    folder = mirror(name, planetoid(name, gap, np.random.default_rng(1)))
    ours, theirs = load(name, scale="full"), read_planetoid_data(str(folder), name)
    counts = theirs.x.sum(1, keepdim=True)
    torch.testing.assert_close(ours.x, theirs.x / counts.clamp(min=1))
    known = ours.y >= 0
    assert torch.equal(ours.y[known], theirs.y[known]) and int((~known).sum()) == (2 if gap else 0)
    links = to_undirected(theirs.edge_index, num_nodes=len(ours.y))
    A = to_scipy_sparse_matrix(links, num_nodes=len(ours.y)).tolil()
    A.setdiag(0)
    assert ((A.tocsr() > 0) != (ours.A > 0)).nnz == 0 and set(ours.A.data) == {1.0}
    for part in ("train", "val", "test"):
        mask = torch.zeros(len(ours.y), dtype=torch.bool)
        mask[torch.from_numpy(getattr(ours, part))] = True
        assert torch.equal(mask, theirs[f"{part}_mask"]), part
    assert (ours.y[ours.test] >= 0).all()


def test_citation_graphs_run_no_code(mirror, tmp_path):
    files = planetoid("cora", False, np.random.default_rng(0))
    trace = tmp_path / "trace"
    mirror("cora", files | {"ind.cora.graph": pickle.dumps(Evil(trace), protocol=2)})
    with pytest.raises(DataError, match="which is no part of a table"):
        load("cora", scale="full")
    assert not trace.exists()


@pytest.mark.parametrize("part", ["allx", "graph"])
def test_a_broken_citation_graph_is_one_sentence(mirror, part):
    files = planetoid("cora", False, np.random.default_rng(0))
    mirror("cora", files | {f"ind.cora.{part}": files[f"ind.cora.{part}"][:90]})
    with pytest.raises(DataError, match=f"ind.cora.{part} is no readable table"):
        load("cora", scale="full")


# -- crowds and released votes -----------------------------------------------------------------------------------


def crowd_files():
    files = {
        "color.txt": "0 1 3\n2 1 0\n0 0 2\n0 1 5\n1 2 4\n",  # worker, item, answer; worker 0 answers item 1 twice
        "color_truth.txt": "0 2\n1 3\n2 4\n",
        "color_conf.txt": "0 1\n1 0\n2 5\n",
        "dog.txt": "1\t1\t4\n1\t2\t3\n2\t2\t1\n",  # item, worker, answer, all from 1
        "dog_truth.txt": "1\t4\n1\t4\n2\t1\n",
        "web.txt": "1 1 5\n2 1 1\n3 2 2\n",
        "web_truth.txt": "1 5\n3 2\n",
        "trec.txt": "1 1 1\n2 1 2\n",
        "trec_truth.txt": "2 2\n",
    }
    return {name: content.encode() for name, content in files.items()}


def test_crowds(mirror):
    mirror("crowd_sets", crowd_files())
    d = load("crowd_sets", scale="full")
    assert d.color.votes.tolist() == [[2, -1, -1], [5, -1, 0], [-1, 4, -1]]
    assert d.color.truth.tolist() == [2, 3, 4] and d.color.confuser.tolist() == [1, 0, 5] and d.color.classes == 6
    assert d.dog.votes.tolist() == [[3, 2], [-1, 0]] and d.dog.truth.tolist() == [3, 0] and d.dog.confuser is None
    assert d.web.votes.tolist() == [[4, -1], [0, -1], [-1, 1]] and d.web.truth.tolist() == [4, -1, 1]
    assert d.trec.votes.tolist() == [[0], [1]] and d.trec.truth.tolist() == [-1, 1] and d.trec.classes == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"1 1 4\n1 x 3\n", "no table of whole numbers"), (b"1 1\n", "has 2 columns"), (b"0 1 4\n", "numbers below 1")],
)
def test_a_broken_crowd_is_one_sentence(mirror, content, says):
    mirror("crowd_sets", crowd_files() | {"dog.txt": content})
    with pytest.raises(DataError, match=rf"dog.txt.*{says}.*fetch it again"):
        load("crowd_sets", scale="full")


def error_files(classes=None):
    rng, files = np.random.default_rng(0), {}
    for name, k in {"cifar10": 10, "20news": 20}.items():
        for kind, table in (
            ("original_labels", rng.integers(k, size=8).astype(np.uint16)),
            ("pyx", rng.dirichlet(np.ones(classes or k), size=8)),
        ):
            out = io.BytesIO()
            np.save(out, table)
            files[f"{name}_test_set_{kind}.npy"] = out.getvalue()
        votes = {"given": 3, "guessed": 1, "neither": 0, "both": 1}
        people = [{"id": 6, "given_original_label": 1, "our_guessed_label": 2, "mturk": votes}]
        files[f"{name}_mturk.json"] = json.dumps(people).encode()
    return files


def test_released_label_errors(mirror):
    files = error_files()
    mirror("label_errors", files)
    d = load("label_errors", scale="full")
    for name, part, k in (("cifar10", d.cifar10, 10), ("20news", d.news, 20)):
        assert part.labels.tolist() == np.load(io.BytesIO(files[f"{name}_test_set_original_labels.npy"])).tolist()
        assert part.labels.dtype == np.int64 and part.probs.shape == (8, k)
        assert part.checked.tolist() == [6] and part.guess.tolist() == [2] and part.votes.tolist() == [[3, 1, 0, 1]]


def test_broken_label_errors_are_one_sentence(mirror):
    mirror("label_errors", error_files(classes=3))
    with pytest.raises(DataError, match="do not fit each other"):
        load("label_errors", scale="full")
    mirror("label_errors", error_files() | {"cifar10_mturk.json": b'[{"id": 1}]'})
    with pytest.raises(DataError, match="cifar10 are not as they were published"):
        load("label_errors", scale="full")


def cifar_files(rows):
    """The archive of CIFAR-10 with a few images."""
    return {ARCHIVE: small_cifar(rows=rows)[0]}


def cifar_human_files(rng, rows):
    """Labels that people gave to the training images of `cifar_files`, two in five of them drawn anew."""
    clean = np.concatenate(small_cifar(rows=rows)[1][:5]).astype(np.int64)
    worse = np.where(rng.random(len(clean)) < 0.4, rng.integers(10, size=len(clean)), clean)
    return {"CIFAR-10_human.pt": human_labels({"clean_label": clean, "worse_label": worse})[1]}
