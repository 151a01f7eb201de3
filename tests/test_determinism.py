"""Every notebook again: one at a time and in another order it gives the same results, to the bit."""

import pytest

from book.tools import ROOT, keys, plan
from book.tools.notebooks import papers
from shared.paper import read_record
from tests.conftest import python

# The first runs are those of the site: as many at once as cores, the longest first.
pytestmark = pytest.mark.xdist_group("site")


@pytest.mark.parametrize("slug", sorted(papers(), key=plan.seconds))
def test_a_second_run_gives_the_same_results(html, slug, tmp_path):
    ipynb = ROOT / "notebooks" / papers()[slug] / f"{slug}.ipynb"
    env = {"BOOK_SCALE": "smoke", "BOOK_OUT": str(tmp_path), "BOOK_RESULT_HASH": keys.key(slug, "smoke")["result_hash"],
           **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}}  # fmt: skip
    out = str(tmp_path / "out.ipynb")
    python(ROOT, "-m", "papermill", "--no-progress-bar", "-k", "python3", str(ipynb), out, env=env, check=True)
    first, second = read_record(plan.outputs("smoke", slug)[1]), read_record(tmp_path / f"{slug}.json")
    assert first["provenance"]["date"] != second["provenance"]["date"], "the same run"
    assert second["results"] == first["results"]
