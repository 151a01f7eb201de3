"""Arrays of a reader's own: what is taken as it is, and what is refused in one sentence."""

import numpy as np
import pytest
import torch

from shared.own import labels, rows


@pytest.mark.parametrize("x", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])])
def test_rows_are_a_copy_of_the_numbers(x):
    found = rows(x, like=np.zeros((7, 2)))
    assert found.dtype == np.float32 and found.tolist() == [[1, 2], [3, 4]]
    found[0, 0] = 9
    assert float(x[0][0]) == 1
    assert rows(np.zeros((3, 1, 4, 4))).shape == (3, 1, 4, 4)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        ([[1, 2], [3]], "as many in each row"),
        ([["a", "b"]], "needs numbers"),
        ([[None, 1]], "missing or infinite"),
        ([1, 2, 3], "not the shape (3,)"),
        (np.zeros((0, 2)), "not the shape (0, 2)"),
        (np.zeros((2, 0)), "not the shape (2, 0)"),
        ([[np.nan, 1]], "missing or infinite"),
        ([[1, np.inf]], "missing or infinite"),
        ([[1, 2, 3]], "rows of shape (3,), not (2,)"),
    ],
)
def test_rows_refuse(x, says):
    with pytest.raises(ValueError) as told:
        rows(x, like=np.zeros((5, 2)) if says.startswith("rows") else None, name="z")
    assert says in str(told.value) and str(told.value).startswith("z ")


@pytest.mark.parametrize(
    ("y", "codes", "names"),
    [
        ([0, 1, 1], [0, 1, 1], [0, 1]),
        (np.array([7.0, 2.0, 7.0]), [1, 0, 1], [2, 7]),
        (["cat", "dog", "cat"], [0, 1, 0], ["cat", "dog"]),
        ([True, False, True], [1, 0, 1], [False, True]),
        ([-1, 1, -1], [0, 1, 0], [-1, 1]),
        (torch.tensor([2, 0, 1]), [2, 0, 1], [0, 1, 2]),
    ],
)
def test_labels_are_numbered_and_named(y, codes, names):
    found, called = labels(y, 3)
    assert found.tolist() == codes and called.tolist() == names and found.dtype == np.int64
    assert called[found].tolist() == np.asarray(y).tolist()


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([0, 1], "3 rows, labels of shape (2,)"),
        ([[0], [1], [1]], "labels of shape (3, 1)"),
        ([0, 0.5, 1], "whole numbers or words"),
        ([0, np.nan, 1], "none of them missing"),
        ([0, np.inf, 1], "whole numbers"),
        (["a", None, "b"], "none of them missing"),
        ([3, 3, 3], "two classes or more"),
    ],
)
def test_labels_refuse(y, says):
    with pytest.raises(ValueError) as told:
        labels(y, 3)
    assert says in str(told.value)


def test_a_range_is_kept():
    assert rows([[0, 1]], within=(0, 1)).tolist() == [[0, 1]]
    for x in ([[0, 1.5]], [[-0.1, 1]]):
        with pytest.raises(ValueError, match="numbers from 0 to 1, please"):
            rows(x, within=(0, 1))


def test_no_rows_have_no_classes():
    with pytest.raises(ValueError, match="two classes"):
        labels([], 0)
