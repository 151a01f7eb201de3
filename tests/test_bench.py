"""The benchmark's generated books are books."""

import pytest

from book.tools.upkeep import generated
from tests.conftest import python
from tests.test_book import BOOK, ran


@pytest.mark.slow
def test_a_book_of_runs_that_cost_nothing_goes_through_the_scheduler(tmp_path):
    tree = generated.trivial(tmp_path / "book", 3)
    first = python(tree, *BOOK, "--no-site", check=True)
    assert ran(first) == {"toy000", "toy001", "toy002"} and "3 of 3 done" in first.stdout
    assert ran(python(tree, *BOOK, "--no-site", check=True)) == set()
