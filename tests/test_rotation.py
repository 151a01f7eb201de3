"""Re-run a rotation of the papers at `small` and compare with the accepted records: no number can be typed."""

import hashlib
import subprocess

import pytest

from book.tools import ROOT
from book.tools.papers import keys
from book.tools.papers.notebooks import papers
from book.tools.upkeep import drift
from shared.record import read_record
from tests.conftest import python

BUDGET = 240.0  # seconds of one core


def rotation() -> list[str]:
    """Papers to re-run for this commit: in an order that the commit draws, while their time fits the budget."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    order = sorted(papers(), key=lambda slug: hashlib.sha256((commit + slug).encode()).hexdigest())
    chosen, spent = [], 0.0
    for slug in order:
        cost = read_record(ROOT / "results/small" / f"{slug}.json")["provenance"]["seconds"]
        if not chosen or spent + cost <= BUDGET:
            chosen.append(slug)
            spent += cost
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("slug", rotation())
def test_a_new_run_gives_the_accepted_results(slug, tmp_path):
    accepted = read_record(ROOT / "results/small" / f"{slug}.json")
    want = keys.key(slug, "small")
    ipynb = ROOT / "notebooks" / papers()[slug] / f"{slug}.ipynb"
    out = tmp_path / "out.ipynb"
    env = {"BOOK_SCALE": "small", "BOOK_OUT": str(tmp_path), "BOOK_RESULT_HASH": want["result_hash"],
           "PYTHONHASHSEED": "0", **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}}  # fmt: skip
    python(ROOT, "-m", "papermill", "--no-progress-bar", "-k", "python3", str(ipynb), str(out), env=env, check=True)
    new = read_record(tmp_path / f"{slug}.json")
    if drift.alike(accepted["provenance"], new["provenance"]):
        assert new["results"] == accepted["results"], (
            "same machine, same versions: the results must be the same to the bit"
        )
        return
    # Another processor rounds differently: effects stay in their intervals, and only verdicts at a border may move.
    moved = [sentence for kind, sentence in drift.changes(slug, accepted, new) if kind != "border"]
    assert not moved, "\n".join(moved)


def test_the_rotation_fits_its_budget_and_reaches_every_paper(monkeypatch):
    assert rotation()
    reached, real = set(), subprocess.run
    for i in range(60):
        fake = subprocess.CompletedProcess([], 0, f"commit {i}", "")
        monkeypatch.setattr(subprocess, "run", lambda *_, fake=fake, **__: fake)
        reached |= set(rotation())
    monkeypatch.setattr(subprocess, "run", real)
    assert reached == set(papers())
