"""Which papers a dear test is for."""

from types import SimpleNamespace

import pytest

from book.tools.papers.notebooks import papers
from tests import changed

ALL = list(papers())


def config(names=""):
    return SimpleNamespace(getoption=lambda _: names)


@pytest.fixture
def git(monkeypatch):
    monkeypatch.delenv("BOOK_TESTS", raising=False)
    monkeypatch.delenv("BOOK_BASE", raising=False)
    said = {"diff": "", "merge-base": "", "rev-parse": "abc"}
    monkeypatch.setattr(changed, "_git", lambda *words: said[words[0]])
    return said


def test_what_a_commit_touched_and_one_drawn(git):
    git["diff"] = f"notebooks/{papers()['elr']}/elr.py\ntests/papers/test_rcal.py\nREADME.md\nshared/train.py\n"
    found = changed.changed_papers(ALL, config())
    assert {"elr", "rcal"} <= set(found) and len(found) == 3


def test_over_the_commits_every_paper_is_drawn(git):
    drawn = set()
    for i in range(200):
        git["rev-parse"] = f"commit {i}"
        drawn |= set(changed.changed_papers(ALL, config()))
    assert drawn == set(ALL)


def test_a_name_that_ends_alike_is_another_paper(git):
    git["diff"] = "notebooks/noisy_labels/felr.py\nnotebooks/noisy_labels/elr.ipynb\n"
    assert len(changed.changed_papers(ALL, config())) == 1


def test_all_in_the_weekly_run_and_all_that_are_named(git, monkeypatch):
    assert changed.changed_papers(["elr", "rcal"], config("elr rcal")) == ["elr", "rcal"]
    monkeypatch.setenv("BOOK_TESTS", "all")
    assert changed.changed_papers(ALL, config()) == ALL


def test_the_base_is_where_the_branch_left_main(git, monkeypatch):
    git["merge-base"], git["rev-parse"] = "fork\n", "head\n"
    assert changed.base() == "fork"
    git["merge-base"] = "head\n"
    assert changed.base() == "HEAD~1", "on main itself the parent"
    monkeypatch.setenv("BOOK_BASE", "v1")
    assert changed.base() == "v1"
