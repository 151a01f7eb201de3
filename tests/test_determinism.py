"""Every notebook again: one at a time and in another order it gives the same results, to the bit."""

import re

import pytest

from book.tools import ROOT, keys, plan
from book.tools.notebooks import papers, source
from shared.record import describe, read_record
from tests.conftest import python

# The first runs are those of the site: as many at once as cores, the longest first.
pytestmark = pytest.mark.xdist_group("site")


HEAVY = {"torchvision", "sklearn", "pandas", "seaborn", "transformers"}
# What packages import by themselves.
BRINGS = {
    "scikit-learn": {"sklearn", "pandas"},
    "transformers": {"torchvision"},
    "seaborn": {"pandas"},
}
# Runs in the kernel before the notebook; what it writes at the end is all that the run has imported.
SPY = """import atexit, sys
atexit.register(lambda: open({path!r}, "w").write(" ".join(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.parametrize("slug", sorted(papers(), key=plan.seconds))
def test_a_second_run_gives_the_same_results_and_imports_nothing_needless(html, slug, tmp_path):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "spy.py").write_text(SPY.format(path=str(tmp_path / "modules")))
    ipynb = ROOT / "notebooks" / papers()[slug] / f"{slug}.ipynb"
    env = {"BOOK_SCALE": "smoke", "BOOK_OUT": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"), "BOOK_RESULT_HASH": keys.key(slug, "smoke")["result_hash"],
           **{f"{n}_NUM_THREADS": "1" for n in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}}  # fmt: skip
    out = str(tmp_path / "out.ipynb")
    python(ROOT, "-m", "papermill", "--no-progress-bar", "-k", "python3", str(ipynb), out, env=env, check=True)
    first, second = read_record(plan.outputs("smoke", slug)[1]), read_record(tmp_path / f"{slug}.json")
    assert first["provenance"]["date"] != second["provenance"]["date"], "the same run"
    assert second["results"] == first["results"]

    named = set(re.findall(r"^(?:from|import) (\w+)", source(slug).read_text(encoding="utf-8"), re.M))
    used = named | {re.match(r"[\w-]+", need)[0] for need in describe(slug)["needs"]}
    for package, imports in BRINGS.items():
        used |= imports if package in used else set()
    loaded = set((tmp_path / "modules").read_text().split())
    assert "numpy" in loaded and not (HEAVY & loaded) - used, "it pays for an import that it does not use"
