"""The contract of every notebook: order of its parts, pairing, claims, alt text, accepted records."""

import ast
import json
import re

import nbformat
import pytest
import yaml

from book.tools import ROOT, keys, pages
from book.tools import notebooks as books
from book.tools.records import readme_text
from shared.paper import describe, read_record, slugs, verdicts

PAPERS = books.papers()
TEXTS = {slug: books.source(slug).read_text(encoding="utf-8") for slug in PAPERS}
NOTEBOOKS = {slug: books.notebook(text) for slug, text in TEXTS.items()}


def cells(slug, kind=None, tag=None):
    return [
        c
        for c in NOTEBOOKS[slug].cells
        if (kind is None or c.cell_type == kind) and (tag is None or tag in c.metadata.get("tags", []))
    ]


def test_folders_toc_and_yml_files_name_the_same_papers():
    assert PAPERS, "no paper at all"
    on_disk = {path.stem: path.parent.name for path in (ROOT / "notebooks").glob("*/*.py")}
    assert on_disk == PAPERS
    assert set(slugs()) == set(PAPERS)
    assert all(describe(slug)["part"] == part for slug, part in PAPERS.items())
    listed = [p["chapters"][0]["file"] for p in yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]]
    for part in set(PAPERS.values()):
        assert f"book/parts/{part}" in listed, f"the part {part} has papers but no introduction"


@pytest.mark.parametrize("slug", PAPERS)
def test_the_pair_is_byte_stable(slug):
    py = books.source(slug)
    assert books.with_generated_cells(TEXTS[slug], slug) == TEXTS[slug], "run make sync"
    assert py.with_suffix(".ipynb").read_text(encoding="utf-8") == books.ipynb_text(TEXTS[slug]), "run make sync"
    assert books.ipynb_text(TEXTS[slug]) == books.ipynb_text(TEXTS[slug])


@pytest.mark.parametrize("slug", PAPERS)
def test_the_committed_notebook_is_valid_and_has_no_outputs(slug):
    book = nbformat.read(books.source(slug).with_suffix(".ipynb"), as_version=4)
    nbformat.validate(book)
    assert not any(c.get("outputs") or c.get("execution_count") for c in book.cells)
    assert len({c["id"] for c in book.cells}) == len(book.cells)


@pytest.mark.parametrize("slug", PAPERS)
def test_order_of_the_parts(slug):
    kinds = [(c.cell_type, c.metadata.get("tags", [])) for c in NOTEBOOKS[slug].cells]
    assert [k for k, _ in kinds[:3]] == ["markdown", "code", "code"]
    assert [t[0] for _, t in kinds[:3]] == ["card", "setup", "parameters"]
    headings = [line for c in cells(slug, "markdown") for line in c.source.splitlines() if line.startswith("## ")]
    fixed = [h for h in headings if h in books.HEADINGS]
    assert fixed == list(books.HEADINGS), f"headings must be {books.HEADINGS} in this order"
    assert sum(line.startswith("# ") for c in cells(slug, "markdown") for line in c.source.splitlines()) == 1


@pytest.mark.parametrize("slug", PAPERS)
def test_the_parameters_cell_holds_literals_only(slug):
    (cell,) = cells(slug, tag="parameters")
    found = {}
    for node in ast.parse(cell.source).body:
        assert isinstance(node, ast.Assign) and len(node.targets) == 1
        found[node.targets[0].id] = ast.literal_eval(node.value)
    assert found == {"scale": None, "seeds": None}


@pytest.mark.parametrize("slug", PAPERS)
def test_code_is_plain_python(slug):
    """No magics, no shell, no progress bars, nothing of this machine: the code is hashed and runs anywhere."""
    for cell in cells(slug, "code"):
        ast.parse(cell.source)
        cell.source.encode("latin-1")  # no fancy Unicode: it breaks PDF and terminals
    code = "\n".join(c.source for c in cells(slug, "code"))
    assert not re.search(r"\btqdm\b|\\x1b\[|/home/|/root/|/tmp/w", code)
    own = [c for c in cells(slug, "code") if not {"setup", "parameters"} & set(c.metadata.get("tags", []))]
    lines = sum(1 for c in own for line in c.source.splitlines() if line.strip())
    assert 100 <= lines <= 700, f"{lines} lines of code"


@pytest.mark.parametrize("slug", PAPERS)
def test_prose_is_long_enough_and_results_are_not_typed(slug):
    prose = "\n".join(c.source for c in cells(slug, "markdown") if "card" not in c.metadata.get("tags", []))
    words = len(re.findall(r"[A-Za-z]{2,}", prose))
    assert 900 <= words <= 4000, f"{words} words"
    experiment = prose.split("## The experiment")[1].split("## What differs")[0]
    typed = re.findall(r"\b\d+\.\d+ ?(?:%|points)", experiment)
    assert not typed, f"typed results: {typed}; show them with paper.say"


@pytest.mark.parametrize("slug", PAPERS)
def test_every_figure_has_caption_name_and_alt_text(slug):
    drawing = [c for c in cells(slug, "code") if "plt.show(" in c.source]
    assert drawing, "no figure"
    names = []
    for cell in drawing:
        meta = cell.metadata.get("mystnb", {})
        figure, alt = meta.get("figure", {}), meta.get("image", {}).get("alt", "")
        assert len(figure.get("caption", "").split()) >= 8, f"a figure without a caption: {cell.source[:80]}"
        assert len(alt.split()) >= 8, f"a figure without alt text: {cell.source[:80]}"
        assert cell.source.count("plt.show(") == 1
        names.append(figure.get("name", ""))
    assert all(name.startswith(f"fig-{slug}-") for name in names) and len(set(names)) == len(names)


@pytest.mark.parametrize("slug", PAPERS)
def test_exercises_have_folded_solutions(slug):
    prose = "\n".join(c.source for c in cells(slug, "markdown"))
    count = len(re.findall(r"^### Exercise \d", prose, re.M))
    assert 2 <= count <= 4
    solutions = cells(slug, "code", "solution")
    assert len(solutions) >= count and all("hide-cell" in c.metadata["tags"] for c in solutions)


@pytest.mark.parametrize("slug", PAPERS)
def test_every_claim_is_recorded_by_the_code(slug):
    code = "\n".join(c.source for c in cells(slug, "code"))
    info = describe(slug)
    for claim in info["claims"]:
        if set(claim.get("untestable") or {}) != {"smoke", "small", "full"}:
            assert claim["id"] in code, f"{claim['id']} is never recorded"
    assert info["seeds"]["small"] >= 5
    needs = {"sklearn": "scikit-learn", "pooch": "pooch", "networkx": "networkx", "seaborn": None}
    for module, package in needs.items():
        if package and re.search(rf"^(?:from|import) {module}\b", code, re.M):
            assert any(need.startswith(package) for need in info["needs"]), f"{package} is not under needs:"


@pytest.mark.parametrize("slug", PAPERS)
def test_citations_exist(slug):
    entries = set(re.findall(r"@\w+\{([^,\s]+)", (ROOT / "book/references.bib").read_text(encoding="utf-8")))
    prose = "\n".join(c.source for c in cells(slug, "markdown"))
    cited = {key.strip() for group in re.findall(r"\{cite[^}]*\}`([^`]+)`", prose) for key in group.split(",")}
    assert slug in cited and cited <= entries


@pytest.mark.parametrize("slug", PAPERS)
def test_the_accepted_record_is_fresh(slug):
    """The committed numbers belong to today's code; `make records` accepts a new run."""
    record = read_record(ROOT / "results" / "small" / f"{slug}.json")
    info = describe(slug)
    want = keys.key(slug, "small")
    assert record["provenance"]["result_hash"] == want["result_hash"], f"stale: run make records PAPERS={slug}"
    assert record["results"]["seeds"] == want["seeds"]
    assert set(verdicts(info, record)) == {claim["id"] for claim in info["claims"]}
    for claim_values in record["results"]["claims"].values():
        assert claim_values
    assert record["results"]["resampled"], "say what a seed redraws: paper.resampled(...)"
    assert record["provenance"]["seconds"] <= 180, "small must stay within 180 s"
    assert record["provenance"]["peak_memory_mib"] <= 2048


def test_what_is_derived_from_the_records_is_fresh():
    records = pages.accepted()
    assert set(records) == set(PAPERS)
    assert (ROOT / "results/small/verdicts.csv").read_text(encoding="utf-8") == pages.csv_text(records)
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme_text(records), "run make records"
    assert not pages.stale_marks(records)


def test_no_record_is_left_of_a_paper_that_is_gone():
    assert {path.stem for path in (ROOT / "results/small").glob("*.json")} == set(PAPERS)
    for path in (ROOT / "results").rglob("*.json"):
        assert path.stem in PAPERS and read_record(path)["results"]["scale"] == path.parent.name
        assert json.loads(path.read_text(encoding="utf-8"))["slug"] == path.stem


def test_the_public_address_is_the_same_everywhere():
    """It stands in _config.yml; the citation file has no way to derive it."""
    url, _ = books.repository()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == url
    assert url.split("github.com/")[1] in (ROOT / "README.md").read_text()
