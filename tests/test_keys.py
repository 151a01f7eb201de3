"""What a result hash sees and what it does not."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from book.tools.papers import keys
from tests.conftest import python

CODE = '''
"""Docstring."""
import torch


def f(x, *, y=1):  # a comment
    """What f does."""
    return f"{x!r:>{y}}" + 'a' "b"


class C[T_]:
    pass
'''.replace("[T_]", "")


def test_layout_comments_and_docstrings_are_not_in_it():
    other = 'import torch\ndef f(x,*,y = 1):\n  """Else."""\n  return (f\'{x!r:>{y}}\' + "ab")\nclass C: pass\n'
    assert keys.canonical(CODE) == keys.canonical(other)


@pytest.mark.parametrize(
    ("old", "new"), [("y=1", "y=2"), ("!r", "!s"), ("import torch", "import numpy"), ("f(x,", "g(x,")]
)
def test_every_change_of_meaning_is_in_it(old, new):
    assert old in CODE
    assert keys.canonical(CODE) != keys.canonical(CODE.replace(old, new))


def test_a_string_that_is_no_docstring_is_in_it():
    assert keys.canonical("x = 'a'") != keys.canonical("x = 'b'")


OTHERS = [p for v in ("3.12", "3.13", "3.14") for p in [shutil.which(f"python{v}")] if p and ".pyenv/shims" not in p]
OTHERS += [str(p) for p in sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python"))]


@pytest.mark.skipif(not OTHERS, reason="no newer Python on this machine")
@pytest.mark.parametrize("interpreter", OTHERS)
def test_the_same_on_other_pythons(interpreter):
    function = Path(keys.__file__).read_text().split("def canonical")[1].split("\n@functools")[0]
    program = f"import ast\ndef canonical{function}\nimport sys\nprint(canonical(sys.stdin.read()))"
    code = CODE + Path(keys.__file__).read_text() + Path(keys.__file__).with_name("notebooks.py").read_text()
    done = subprocess.run([interpreter, "-c", program], input=code, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == keys.canonical(code)


def test_imports_are_found_wherever_they_stand():
    code = "from shared import plots, train\ndef f():\n    from shared.data import load\nimport shared.claims as c\nimport torch"
    assert keys.imported(code) == {"shared", "shared.plots", "shared.train", "shared.data", "shared.claims"}
    seen = keys.closure(code, ["fashion_mnist"])
    # plots and claims show and judge
    wanted = {"shared.train", "shared.data", "shared.data.fashion_mnist", "shared.values"}  # the last through records
    assert set(seen) - keys.SILENT == wanted
    # scales and values come in through the paper module, which seeds everything and takes what goes into a record
    computing = set(keys.closure("from shared.paper import Paper", [])) - keys.SILENT
    assert computing == {"shared.scales", "shared.values"}


def test_words_of_errors_are_not_in_it():
    code = "def f(x):\n    assert x, 'no x'\n    if x < 0:\n        raise ValueError(f'x is {x}')\n"
    assert keys.canonical(code) == keys.canonical(code.replace("no x", "give x").replace("x is {x}", "bad x"))
    assert keys.canonical(code) != keys.canonical(code.replace("x < 0", "x < 1"))
    assert keys.canonical(code) != keys.canonical(code.replace("ValueError", "TypeError"))


def hashes(checkout, which="result_hash"):
    code = (
        "import json; from book.tools.papers.keys import key; "
        f"print(json.dumps({{s: key(s, 'small')['{which}'] for s in ('toy', 'toy_two')}}))"
    )
    return json.loads(python(checkout, "-c", code, check=True).stdout)


def edit(path, old, new):
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


TOY, TWO = "notebooks/noisy_labels/toy.py", "notebooks/trust/toy_two.py"


def test_which_edits_concern_which_paper(checkout):
    """One checkout, edited step by step: each edit makes exactly the papers stale that it concerns."""
    steps = [
        (TOY, "# ## The idea", "# ## The idea\n#\n# More prose.", set()),
        (TOY, "epochs=(2, 10, 10)", "epochs=(2, 11, 11)", {"toy"}),
        (TOY, "figsize=(6.6, 2.0)", "figsize=(6.6, 2.5)", set()),  # cells that only show
        (TOY, "On Fashion-MNIST a linear", "On clothes a linear", set()),
        (TOY, "float().mean().item()\n\n\nprint", "float().mean().item() + 0\n\n\nprint", set()),
        (TOY, "of the labels were changed", "of labels were changed", set()),
        ("notebooks/noisy_labels/toy.yml", "A linear classifier", "A classifier", set()),
        ("notebooks/noisy_labels/toy.yml", "small: 8", "small: 9", {"toy"}),
        ("shared/corrupt.py", '"""Symmetric label noise.', '"""Noise that is symmetric.', set()),
        ("shared/corrupt.py", "noisy = y.clone()", "noisy = y.clone() + 0", {"toy"}),
        ("shared/train.py", "momentum: float = 0.9", "momentum: float = 0.8", {"toy", "toy_two"}),
        ("shared/scales.py", "random.seed(seed)", "random.seed(seed + 1)", {"toy", "toy_two"}),  # through shared.paper
        ("shared/data/fashion_mnist.py", "np.concatenate([file", "np.concatenate([*[], file", {"toy", "toy_two"}),
        ("shared/data/cifar10.py", "1 + 3 * 32 * 32", "1 + 32 * 32 * 3", set()),
        ("shared/plots.py", '"#0072B2"', '"#0072B3"', set()),
        ("shared/paper.py", "Settings by scale", "Settings", set()),
        ("shared/show.py", "primary claim: ", "primary: ", set()),
        ("shared/claims.py", "0.95", "0.99", set()),
        ("shared/train.py", "logits.argmax(1) == y", "y == logits.argmax(1)", {"toy", "toy_two"}),
        ("shared/values.py", "factor * scores.mean(1)", "scores.mean(1) * factor", {"toy", "toy_two"}),
    ]
    before = hashes(checkout)
    for file, old, new, stale in steps:
        edit(checkout / file, old, new)
        after = hashes(checkout)
        assert {slug for slug in after if after[slug] != before[slug]} == stale, f"{file}: {old} -> {new}"
        before = after
    catalog = checkout / "shared/data/catalog.json"
    entries = json.loads(catalog.read_text())
    entries["fashion_mnist"]["sha256"] = "0" * 64
    catalog.write_text(json.dumps(entries))
    assert all(hashes(checkout)[slug] != before[slug] for slug in before)


def test_a_page_has_a_hash_of_its_own(checkout):
    """What only shows makes a page run again and leaves its record fresh; prose does neither."""
    pages, results = hashes(checkout, "page_hash"), hashes(checkout)
    for file, old, new, stale in [
        (TOY, "figsize=(6.6, 2.0)", "figsize=(6.6, 2.5)", {"toy"}),
        (TOY, "# ## The idea", "# ## The idea\n#\n# More prose.", set()),
        ("shared/plots.py", '"#0072B2"', '"#0072B3"', {"toy", "toy_two"}),
        ("shared/corrupt.py", "noisy = y.clone()", "noisy = y.clone() + 0", set()),
    ]:
        edit(checkout / file, old, new)
        after = hashes(checkout, "page_hash")
        assert {slug for slug in after if after[slug] != pages[slug]} == stale, f"{file}: {old} -> {new}"
        pages = after
    after = hashes(checkout)
    assert {slug for slug in after if after[slug] != results[slug]} == {"toy"}, "the corruption counts for results"
