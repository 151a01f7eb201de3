"""The contract of every notebook: order of its parts, pairing, claims, alt text, accepted records."""

import ast
import json
import re

import nbformat
import pytest
import yaml

from book.tools import ROOT
from book.tools.papers import keys, registered
from book.tools.papers import notebooks as books
from book.tools.papers.showing import offences
from book.tools.site import verdicts as judged
from book.tools.upkeep import pilot
from book.tools.upkeep.records import readme_text
from shared.record import describe, read_record, registration, slugs, verdicts

PAPERS = books.papers()
TEXTS = {slug: books.source(slug).read_text(encoding="utf-8") for slug in PAPERS}
NOTEBOOKS = {slug: books.notebook(text) for slug, text in TEXTS.items()}


def cells(slug, kind=None, tag=None):
    return [
        c
        for c in NOTEBOOKS[slug].cells
        if (kind is None or c.cell_type == kind) and (tag is None or tag in c.metadata.get("tags", []))
    ]


def own_code(slug):
    return [c for c in cells(slug, "code") if not {"setup", "parameters"} & set(c.metadata.get("tags", []))]


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
    lines = [line for c in own_code(slug) for line in c.source.splitlines() if line.strip()]
    code_lines = [line for line in lines if not line.lstrip().startswith("#")]
    assert 100 <= len(code_lines) <= 550, f"{len(code_lines)} lines of code; aim at 450"
    long = [line for line in lines if len(line) > 80]
    assert not long, f"lines that do not fit the page: {long[:3]}"


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
        assert not re.search(r"paper\.(say|table|report)\(|\bprint\(", cell.source), "a figure's cell shows it alone"
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
        if "ours" not in claim and set(claim.get("untestable") or {}) != {"smoke", "small", "full"}:
            assert claim["id"] in code, f"{claim['id']} is never recorded"
    assert info["seeds"]["small"] >= 5
    needs = {"sklearn": "scikit-learn", "pooch": "pooch", "networkx": "networkx", "seaborn": None}
    for module, package in needs.items():
        if package and re.search(rf"^(?:from|import) {module}\b", code, re.M):
            assert any(need.startswith(package) for need in info["needs"]), f"{package} is not under needs:"
    if "plots.heatmap(" in code:  # seaborn is no part of a bare runtime
        assert any(need.startswith("seaborn") for need in info["needs"]), "seaborn is not under needs:"


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
    assert record["results"]["resampled"], "say what a seed redraws: paper.resampled(...)"
    assert record["provenance"]["cpu_seconds"] <= 180, "small must stay within 180 s of one core"
    assert record["provenance"]["peak_memory_mib"] <= 2048


@pytest.mark.parametrize("slug", PAPERS)
def test_showing_cells_cannot_move_a_result(slug):
    found = offences([(c.source, set(c.metadata.get("tags", []))) for c in cells(slug, "code")])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("slug", PAPERS)
def test_a_reader_sees_the_training_step(slug):
    """A function of that name, or the method's own step where nothing is trained: seen, and short."""
    steps = [
        (node, c)
        for c in own_code(slug)
        for node in ast.parse(c.source).body
        if isinstance(node, ast.FunctionDef) and node.name == "training_step"
    ]
    prose = "\n".join(c.source for c in cells(slug, "markdown"))
    assert bool(steps) == ("### The training step" in prose), "the heading and the function go together"
    for node, cell in steps:
        assert node.end_lineno - node.lineno < 25, "a training step has at most 25 lines"
        assert not {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", [])), "the training step is folded"
    (made,) = [c for c in own_code(slug) if "= Paper(" in c.source]
    assert not {"hide-cell"} & set(made.metadata.get("tags", []))


@pytest.mark.parametrize("slug", PAPERS)
def test_claims_say_whose_they_are_where_they_stand_and_why_that_much_matters(slug):
    info = describe(slug)
    primary = [claim for claim in info["claims"] if claim.get("primary")]
    assert 1 <= len(primary) <= 3
    assert any("small" not in (claim.get("untestable") or {}) for claim in primary), "no primary claim is tested"
    for claim in info["claims"]:
        assert claim["kind"] == "exact" or claim.get("delta_why"), f"{claim['id']}: why does that delta matter?"
        assert claim.get("origin") == "book" or claim.get("where"), f"{claim['id']}: where does the paper say so?"
        assert claim.get("origin") != "book" or not claim["paper"], (
            f"{claim['id']}: a question of ours has no printed value"
        )
    assert info.get("checks"), "checks: names the tests that compare the method with a formula or a kept library"
    for check in info["checks"]:
        file, name = check.split("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{check} is not there"
    assert (ROOT / "tests" / "papers" / f"test_{slug}.py").exists()


@pytest.mark.parametrize("slug", PAPERS)
def test_the_claims_were_registered_before_the_record(slug):
    """Committed claims, and a pilot in the same regime in which every primary claim has power."""
    record = read_record(ROOT / "results" / "small" / f"{slug}.json")
    known, plan = record["provenance"]["registration"], registered.read_pilot(slug)
    assert known["commit"] and known["pilot"] == registered.digest(plan)
    assert known["claims"] == registration(describe(slug)), "claims changed after their record"
    assert plan["settings"] == record["results"]["settings"]
    assert min(plan["seeds"]) >= pilot.FIRST and plan["planned"] == len(record["results"]["seeds"])
    weak = [name for name, claim in plan["claims"].items() if claim["primary"] and not claim["powered"]]
    assert not weak, f"primary claims without power: {weak}"


def test_what_is_derived_from_the_records_is_fresh():
    records = judged.accepted()
    assert set(records) == set(PAPERS)
    assert (ROOT / "results/small/verdicts.csv").read_text(encoding="utf-8") == judged.csv_text(records)
    assert (ROOT / "README.md").read_text(encoding="utf-8") == readme_text(records), "run make records"
    assert not judged.stale_marks(records)


def test_no_record_is_left_of_a_paper_that_is_gone():
    assert {path.stem for path in (ROOT / "results/small").glob("*.json")} == set(PAPERS)
    assert {path.stem for path in (ROOT / "results/pilot").glob("*.json")} <= set(PAPERS)
    for path in [*(ROOT / "results").glob("small/*.json"), *(ROOT / "results").glob("full/*.json")]:
        assert path.stem in PAPERS and read_record(path)["results"]["scale"] == path.parent.name
        assert json.loads(path.read_text(encoding="utf-8"))["slug"] == path.stem


def test_the_public_address_is_the_same_everywhere():
    """It stands in _config.yml; the citation file has no way to derive it."""
    url, _ = books.repository()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == url
    assert url.split("github.com/")[1] in (ROOT / "README.md").read_text()
