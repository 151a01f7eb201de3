"""Plain Markdown in the committed .ipynb, and the way back into the .py: neither side of an edit is lost."""

import json

import nbformat
import pytest

from book.tools.papers import plain
from book.tools.papers.notebooks import notebook, papers, source
from tests.conftest import python
from tests.test_keys import TOY, edit


@pytest.mark.parametrize("slug", papers())
def test_the_committed_notebook_has_no_roles_and_maps_back(slug):
    text = source(slug).read_text(encoding="utf-8")
    book = nbformat.read(source(slug).with_suffix(".ipynb"), as_version=4)
    mine = notebook(text)
    assert [c["id"] for c in book.cells] == [c["id"] for c in mine.cells]
    for there, here in zip(book.cells, mine.cells):
        if there.cell_type == "markdown":
            assert "{cite}" not in there.source and ":::" not in there.source
            assert plain.with_myst(there.source).strip() == here.source.strip()
        else:
            assert there.source == here.source
    captions = [c.metadata["mystnb"]["figure"]["caption"] for c in mine.cells if "mystnb" in c.metadata]
    whole = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    assert all(caption in whole for caption in captions)


def test_the_set_up_cell_is_folded_in_jupyterlab():
    for slug in papers():
        book = nbformat.read(source(slug).with_suffix(".ipynb"), as_version=4)
        folded = [c.metadata["tags"][0] for c in book.cells if c.metadata.get("jupyter", {}).get("source_hidden")]
        assert folded == ["setup"]


def test_a_citation_is_a_name_with_a_link():
    text = plain.without_myst("As in {cite}`elr`, and others {cite}`arpit2017closer, zhang2017rethinking`.")
    assert '[Liu et al., 2020](https://arxiv.org/abs/2007.00151 "cite:elr")' in text
    assert text.count("](https://") == 3 and "{cite}" not in text and "Arpit et al., 2017" in text
    assert plain.with_myst(text) == "As in {cite}`elr`, and others {cite}`arpit2017closer,zhang2017rethinking`."
    full = plain.without_myst("## References\n\nThe paper: {cite}`elr`.")
    assert "Early-Learning Regularization Prevents Memorization of Noisy Labels" in full
    assert plain.with_myst(full) == "## References\n\nThe paper: {cite}`elr`."


def test_names_are_read_as_people_write_them():
    known = plain.bibliography()
    assert known["laine2017temporal"]["name"] == "Laine and Aila, 2017"
    assert "Jastrz" in known["arpit2017closer"]["who"] and "\\" not in known["arpit2017closer"]["who"]
    assert all("{" not in entry["title"] and "\\" not in entry["title"] for entry in known.values())


def test_an_unknown_key_is_named():
    with pytest.raises(plain.BookError, match="'nobody' is cited"):
        plain.without_myst("{cite}`nobody`")


IPYNB = TOY.replace(".py", ".ipynb")


def change(checkout, do):
    path = checkout / IPYNB
    book = json.loads(path.read_text())
    do(book)
    path.write_text(json.dumps(book))


def cell(book, start):
    return next(c for c in book["cells"] if "".join(c["source"]).startswith(start))


def pull(checkout, what="toy"):
    return python(checkout, "-m", "book.tools.papers.pull", what)


def test_edits_come_back_cell_by_cell(checkout):
    def do(book):
        idea = cell(book, "## The idea")
        idea["source"] = "## The idea\n\nWritten in Colab."
        cell(book, "g = streams")["source"] = "g = streams.torch(1, 'sanity')\n"
        book["cells"].insert(book["cells"].index(idea) + 1, {"cell_type": "markdown", "metadata": {}, "source": "New."})

    edit(checkout / TOY, "# What to tune first", "# Pending in the .py. What to tune first")  # another cell, not synced
    change(checkout, do)
    assert "was edited" in python(checkout, "-m", "book.tools.papers.sync").stderr
    done = pull(checkout)
    assert done.returncode == 0, done.stderr
    assert "edited: ## The idea" in done.stdout and "added: New." in done.stdout
    text = (checkout / TOY).read_text()
    assert "# Written in Colab." in text and "streams.torch(1, 'sanity')" in text
    assert "Pending in the .py." in text, "an edit of the .py was lost"
    assert text.index("Written in Colab") < text.index("# New.") < text.index("## The method")
    assert "Written in Colab." in (checkout / IPYNB).read_text()
    assert python(checkout, "-m", "book.tools.papers.sync").returncode == 0


def test_a_cell_that_both_sides_edited_is_refused_and_shown(checkout):
    edit(checkout / TOY, "What is hard, what people did before", "Mine")
    change(checkout, lambda book: cell(book, "## The idea").update(source="## The idea\n\nTheirs."))
    before = (checkout / TOY).read_text(), (checkout / IPYNB).read_text()
    done = pull(checkout)
    assert done.returncode == 1 and "edited in the .py and in the .ipynb" in done.stderr
    assert "Theirs." in done.stderr and "Mine" in done.stderr
    assert ((checkout / TOY).read_text(), (checkout / IPYNB).read_text()) == before


def test_a_generated_cell_is_not_edited_there(checkout):
    change(checkout, lambda book: cell(book, "# Toy").update(source="# My title"))
    before = (checkout / TOY).read_text()
    done = pull(checkout)
    assert done.returncode == 1 and "the card cell is generated: edit the yml" in done.stderr
    assert (checkout / TOY).read_text() == before


@pytest.mark.parametrize("how", ["timing", "no ids", "badge", "trailing", "editors", "kernel", "line ends"])
def test_a_notebook_that_was_only_opened_and_saved_is_not_an_edit(checkout, how):
    def do(book):
        if how == "timing":
            for c in book["cells"]:
                c["metadata"]["execution"] = {"iopub.status.busy": "2030"}
                if c["cell_type"] == "code":
                    c["outputs"], c["execution_count"] = [], 3
        elif how == "no ids":
            book["nbformat_minor"] = 4
            for c in book["cells"]:
                c.pop("id")
        elif how == "badge":
            badge = '<a href="x"><img src="https://colab.research.google.com/assets/colab-badge.svg"/></a>'
            book["cells"].insert(0, {"cell_type": "markdown", "metadata": {"id": "view-in-github"}, "source": badge})
        elif how == "editors":  # what VS Code and Colab put beside the cells
            book["metadata"] |= {"vscode": {"interpreter": {"hash": "0"}}, "colab": {"provenance": []}}
            for c in book["cells"]:
                c["metadata"] |= {"vscode": {"languageId": "python"}, "outputId": "0", "colab": {"height": 1}}
        elif how == "kernel":
            book["metadata"]["kernelspec"] = {"display_name": "my env", "language": "python", "name": "my-env"}
        elif how == "line ends":
            for c in book["cells"]:
                c["source"] = "".join(c["source"]).replace("\n", "\r\n")
        else:
            for c in book["cells"]:
                c["source"] = "".join(c["source"]) + "\n"

    path = checkout / IPYNB
    committed, before = path.read_bytes(), (checkout / TOY).read_text()
    change(checkout, do)
    if how == "line ends":  # those of the file too
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    done = python(checkout, "-m", "book.tools.papers.sync")
    assert done.returncode == 0, done.stderr
    assert (checkout / TOY).read_text() == before and path.read_bytes() == committed


def test_an_edit_on_windows_comes_back(checkout):
    """A mark at the start of the file and other line ends, in the file and in its cells: edits are seen, none is lost."""
    change(checkout, lambda book: cell(book, "## The idea").update(source="## The idea\r\n\r\nWritten\r\nthere."))
    path = checkout / IPYNB
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert "was edited" in python(checkout, "-m", "book.tools.papers.sync").stderr
    done = pull(checkout)
    assert done.returncode == 0 and done.stdout.count("edited: ") == 1, done.stdout + done.stderr
    assert "# Written\n# there." in (checkout / TOY).read_text()
    assert b"\r" not in (checkout / TOY).read_bytes()


def test_a_notebook_that_cannot_be_read_is_not_overwritten(checkout):
    path = checkout / IPYNB
    path.write_text("<<<<<<< ours\n" + path.read_text())
    before = path.read_bytes()
    done = python(checkout, "-m", "book.tools.papers.sync")
    assert done.returncode == 1 and "cannot be read as a notebook" in done.stderr and path.read_bytes() == before
    path.write_text("")
    assert python(checkout, "-m", "book.tools.papers.sync").returncode == 0


def test_a_file_that_is_no_notebook_is_told(checkout, tmp_path):
    path = tmp_path / "toy.ipynb"
    path.write_text("not json")
    done = pull(checkout, str(path))
    assert done.returncode == 1 and "cannot be read as a notebook" in done.stderr
