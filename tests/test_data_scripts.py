"""The scripts behind the embedded data: same input, same bytes; wrong input, one sentence and nothing written."""

import gzip
import shutil

import pytest

from shared import data
from tests.conftest import ROOT, python

SCRIPT = "data_scripts/debtags_vocabulary.py"


@pytest.fixture
def source(tmp_path):
    """A folder with the script's input, which its output is a verbatim copy of."""
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copy(data.HERE / data.catalog()["debtags_vocabulary"]["file"], folder / "vocabulary")
    return folder


def test_the_same_bytes_again(source, tmp_path):
    done = python(ROOT, SCRIPT, "--source", str(source), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    entry = data.catalog()["debtags_vocabulary"]
    made = tmp_path / "out" / entry["file"].split("/")[-1]
    assert made.read_bytes() == (data.HERE / entry["file"]).read_bytes()
    checked = python(ROOT, SCRIPT, "--source", str(source), "--check")
    assert checked.returncode == 0 and "same" in checked.stdout


def test_packed_input_is_as_good(source, tmp_path):
    plain = source / "vocabulary"
    (source / "vocabulary.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert python(ROOT, SCRIPT, "--source", str(source), "--out", str(tmp_path / "out")).returncode == 0


@pytest.mark.parametrize("damage", ["altered", "truncated", "not packed"])
def test_wrong_input_is_one_sentence_and_writes_nothing(source, tmp_path, damage):
    file = source / "vocabulary"
    content = file.read_bytes()
    if damage == "not packed":
        file.unlink()
        (source / "vocabulary.gz").write_bytes(content)
    else:
        file.write_bytes(b"x" + content[1:] if damage == "altered" else content[:-1])
    done = python(ROOT, SCRIPT, "--source", str(source), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and "vocabulary" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("out/*"))
