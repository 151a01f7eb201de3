"""The site, as built from `smoke` runs of every paper: its files, and what a real browser sees of it."""

import functools
import http.server
import os
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from book.tools import ROOT
from book.tools.papers.notebooks import papers, repository
from book.tools.runs.plan import Run
from book.tools.site import build as site
from book.tools.site.compare import comparisons
from book.tools.site.verdicts import accepted
from shared.data import catalog
from shared.record import describe, read_record

pytestmark = pytest.mark.xdist_group("site")  # one worker, so that the site is built once
PAPERS = papers()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "no Chromium on this machine: install Debian's `chromium`"


@pytest.mark.parametrize("slug", sorted(PAPERS)[:2])
def test_a_site_of_one_paper_links_to_no_page_that_it_lacks(html, slug):
    """`make book PAPERS=...` in a fresh clone."""
    files = site.stage("smoke", [slug])
    assert len([name for name in files if name.startswith("notebooks/")]) == 1
    links = 0
    for name, content in files.items():
        if name.endswith((".md", ".ipynb")):
            for target in re.findall(r"\]\(([^)\s#:]+\.ipynb)", content.decode()):
                links += 1
                assert os.path.normpath(Path(name).parent / target) in files, f"{name}: {target}"
    assert links, "the part's page links to its paper"


@pytest.fixture(scope="session")
def pages(html, request):
    """Every page of the table of contents (of the papers chosen), parsed: path -> soup."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    names += [f"book/results/{part}" for part in dict.fromkeys(PAPERS.values())]
    chosen = request.config.getoption("--papers").split()
    if chosen:
        names = [name for name in names if not name.startswith("notebooks/") or name.split("/")[2] in chosen]
        parts = {PAPERS[slug] for slug in chosen}
        names = [n for n in names if not n.startswith(("book/parts/", "book/results/")) or n.split("/")[2] in parts]
    return {name: BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser") for name in names}


def test_every_page_is_there_and_says_that_it_is_a_test(pages):
    assert len(pages) >= len(PAPERS) + 7
    for name, soup in pages.items():
        assert len(soup.get_text()) > 500, name
        assert "its numbers mean nothing" in soup.get_text(), f"{name} has no banner"


def test_every_local_link_leads_somewhere(html, pages):
    ids = {}
    broken = []
    for name, soup in pages.items():
        here = (html / name).parent
        for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
            for element in soup.find_all(tag):
                target = element.get(attribute)
                if not target or urlparse(target).scheme or target.startswith("//"):
                    continue
                path, _, anchor = target.partition("#")
                file = (here / unquote(path.split("?")[0])).resolve() if path else (html / f"{name}.html")
                if not file.exists():
                    broken.append(f"{name}: {target}")
                elif anchor and file.suffix == ".html":
                    if file not in ids:
                        text = file.read_text(encoding="utf-8")
                        ids[file] = set(re.findall(r'\bid="([^"]+)"', text))
                    if unquote(anchor) not in ids[file]:
                        broken.append(f"{name}: {target} (no such place)")
    assert not broken, broken[:10]


def test_nothing_is_loaded_from_elsewhere(pages):
    for name, soup in pages.items():
        loaded = [e.get("src") or e.get("href") for e in soup.find_all(["script", "img", "iframe"])]
        loaded += [
            e.get("href") for e in soup.find_all("link") if set(e.get("rel", [])) & {"stylesheet", "preload", "icon"}
        ]
        outside = [u for u in loaded if u and (urlparse(u).scheme in ("http", "https") or u.startswith("//"))]
        assert not outside, f"{name}: {outside}"
        assert not any("thebe" in str(script) for script in soup.head.find_all("script")), name
        files = [e["src"] for e in soup.find_all("script", src=True)]
        assert len(files) == len(set(files)), f"{name}: a script comes twice, which breaks it"


@pytest.mark.parametrize("slug", PAPERS)
def test_a_notebook_page(html, pages, slug):
    name = f"notebooks/{PAPERS[slug]}/{slug}"
    soup, info = pages[name], describe(slug)
    assert info["title"] in soup.h1.get_text()
    url, branch = repository()
    colab = [a["href"] for a in soup.find_all("a", href=True) if "colab.research.google.com" in a["href"]]
    want = f"https://colab.research.google.com/github/{url.split('github.com/')[1]}/blob/{branch}/{name}.ipynb"
    assert len(colab) >= 2 and set(colab) == {want} and (ROOT / f"{name}.ipynb").exists()
    run = soup.find(class_="book-run").get_text()
    for part in ("This page", "smoke", "seeds", "torch", "commit", "full", info["fidelity"]):
        assert part in run
    downloads = {Path(a["href"]).name: html / Path(name).parent / a["href"] for a in soup.select("a.download")}
    assert {f"{slug}.ipynb", f"{slug}.py", f"{slug}.json"} <= set(downloads)
    assert downloads[f"{slug}.ipynb"].read_bytes() == (ROOT / f"{name}.ipynb").read_bytes()
    numbers = [span.get_text() for span in soup.select("figcaption .caption-number")]
    assert [number.strip() for number in numbers] == [f"Fig. {k}" for k in range(1, len(numbers) + 1)] != []
    assert soup.select("a[href*='bibliography.html#']"), "no citation that opens"
    assert all(claim["sentence"] in soup.get_text() for claim in info["claims"])


def plain(text):
    """Without line breaks and typographic quotes."""
    return " ".join(text.split()).translate(str.maketrans("\u2018\u2019\u201c\u201d", "''\"\""))


def test_runs_at_full_are_shown_apart(pages):
    """Their claims stand on the results page, and the paper's own page says when they were run."""
    found = accepted("full")
    assert found
    for slug, part in PAPERS.items():
        line = pages[f"notebooks/{part}/{slug}"].find(class_="book-run").get_text()
        if slug not in found:
            assert "full: no accepted run" in line
            continue
        assert f"full: run on {found[slug]['provenance']['date'][:10]}" in line
        results = pages[f"book/results/{part}"]
        anchor = results.find(id=f"full-{slug.replace('_', '-')}")
        table = plain(anchor.find_next("table").get_text())
        claims = describe(slug)["claims"]
        tested = [c for c in claims if "full" not in c.get("untestable", {})]
        assert tested and not [c["id"] for c in tested if plain(c["sentence"]) not in table]
        assert not [c["id"] for c in claims if c not in tested and plain(c["sentence"]) in table]
        assert "As a file: records_full.json" in results.get_text()


def test_every_picture_has_alt_text(pages):
    for name, soup in pages.items():
        for image in soup.select("article img, .bd-article img"):
            assert len(image.get("alt", "").split()) >= 3, f"{name}: {image.get('src')}"


def test_the_results_pages_have_every_claim(pages):
    for part in set(PAPERS.values()):
        page = pages[f"book/results/{part}"]
        rows = page.select("table#claims tbody tr")
        claims = [claim for slug, p in PAPERS.items() if p == part for claim in describe(slug)["claims"]]
        assert len(rows) == len(claims)
        kinds = [row["data-kind"] for row in rows]
        assert kinds == sorted(kinds, key=["primary", "claim", "our question"].index), "what titles rest on comes first"
        drawn = page.select("tbody svg.interval-drawing")
        assert len(drawn) > len(rows) / 2 and all(re.match("Effect .*; delta ", svg["aria-label"]) for svg in drawn)
        assert page.select("thead svg") and page.select("tfoot svg"), "the drawings have an axis at both ends"
    primary = [c for slug in PAPERS for c in describe(slug)["claims"] if c.get("primary")]
    assert len(pages["book/results"].select("table#claims tbody tr")) == len(primary)


def test_which_method_has_every_comparison(pages):
    """Each setting is a row with the record's own means, best first, and a way to the function for one's own data."""
    rows = pages["book/which_method"].select("table#methods tbody tr")
    wanted = [
        c for slug in PAPERS for c in comparisons(slug, describe(slug), read_record(Run.of(slug, "smoke").record))
    ]
    assert len(rows) == len(wanted) > len(PAPERS) / 2
    for row, c in zip(rows, wanted):
        listed = [item.get_text() for item in row.select("ol.ranked li .words")]
        assert [m.method in text for m, text in zip(c.measured, listed)] == [True] * len(c.measured)
        assert row.select(f"a[href$='{c.slug}.html#on-your-own-data']")


@pytest.mark.parametrize("slug", PAPERS)
def test_every_claim_is_a_card_that_results_link_to(pages, slug):
    page, info = pages[f"notebooks/{PAPERS[slug]}/{slug}"], describe(slug)
    cards = {card["id"]: card.get_text() for card in page.select(".book-card")}
    assert set(cards) == {f"claim-{claim['id'].replace('_', '-')}" for claim in info["claims"]}
    for claim in info["claims"]:
        text = plain(cards[f"claim-{claim['id'].replace('_', '-')}"])
        assert plain(claim["sentence"]) in text and ("our question" in text) == (claim.get("origin") == "book")
        link = f"notebooks/{PAPERS[slug]}/{slug}.html#claim-{claim['id'].replace('_', '-')}"
        assert pages[f"book/results/{PAPERS[slug]}"].select(f"table#claims a[href$='{link}']"), link
    primary = [claim for claim in info["claims"] if claim.get("primary")]
    box = page.select(".book-answer-box")
    assert len(box) == bool(primary)
    assert all(plain(claim["sentence"]) in plain(box[0].get_text()) for claim in primary)


@pytest.mark.parametrize("slug", PAPERS)
def test_no_page_shows_warnings(html, slug):
    """What a library writes to stderr would stand on the page, with a path of the machine that ran it."""
    book = nbformat.read(Run.of(slug, "smoke").notebook, as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    said = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not said, said[0][:500]


def test_the_data_page_has_every_set_with_licence(pages):
    text = pages["book/data"].get_text()
    assert all(name in text and entry["licence"] in text for name, entry in catalog().items())


# -- in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--allow-file-access-from-files",  # so that a test may look at the pixels of a picture
    ]
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()


@pytest.fixture
def visit(browser, html, request):
    """Open a page from disk with the network cut off; console errors and failed requests fail the test."""
    contexts, problems, seen = [], [], []

    def go(name, width=1280, scheme="light", query=""):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.route(re.compile(r"^https?://"), lambda route: route.abort())
        context.add_init_script(f"localStorage.setItem('mode', '{scheme}'); localStorage.setItem('theme', '{scheme}')")
        page = context.new_page()
        page.on("console", lambda m: problems.append(f"{name}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
        # A page that is left at once leaves its icon behind; that the icon is there is a test of links.
        left = lambda r: r.url.endswith("favicon.png") and "ABORTED" in (r.failure or "")  # noqa: E731
        page.on("requestfailed", lambda r: None if left(r) else problems.append(f"{name}: failed {r.url}"))
        page.goto(f"file://{html}/{name}.html{query}")
        page.wait_for_load_state("load")
        contexts.append(context)
        seen.append(page)
        return page

    yield go
    failed = problems or getattr(request.node, "failed", False)
    for page in seen:
        if failed:
            shots = ROOT / "_build/screenshots"
            shots.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=shots / f"{request.node.name.replace('/', '-')[:80]}.png", full_page=True)
    for context in contexts:
        context.close()
    assert not problems, problems


PAGES = ["book/index", "book/which_method", "book/results", "book/how_to_read", "book/glossary", "book/data", "book/reference",
         *(f"notebooks/{part}/{slug}" for slug, part in PAPERS.items()),
         *sorted({f"book/{what}/{part}" for part in PAPERS.values() for what in ("parts", "results")})]  # fmt: skip

LOOK = """() => {
  const column = document.querySelector('.bd-article') || document.querySelector('article');
  const box = column.getBoundingClientRect();
  const bad = [];
  for (const image of column.querySelectorAll('img')) {
    if (image.closest('details:not([open])')) continue;
    const r = image.getBoundingClientRect();
    if (!image.complete || image.naturalWidth < 50) bad.push('not loaded: ' + image.src);
    else if (r.width < 40 || r.height < 20) bad.push('not visible: ' + image.src);
    else if (r.left < box.left - 2 || r.right > box.right + 2) bad.push('outside its column: ' + image.src);
    const canvas = document.createElement('canvas');
    canvas.width = 40; canvas.height = 40;
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0, 40, 40);
    const data = pen.getImageData(0, 0, 40, 40).data;
    if (new Set(data).size < 4) bad.push('blank: ' + image.src);
    for (let i = 3; i < data.length; i += 4) if (data[i] < 255) { bad.push('see-through: ' + image.src); break; }
  }
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 2) bad.push('the page is ' + wide + ' px too wide');
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_on_screens(visit, name, scheme):
    """One load, three widths: a page that follows its window is what a reader who turns a phone has."""
    page = visit(name, 390, scheme)
    for picture in page.query_selector_all("article img"):
        if picture.is_visible():
            picture.scroll_into_view_if_needed()
    for width in (390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert not page.evaluate(LOOK), f"{name} at {width} px"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_formulas_are_set_without_a_network(visit):
    for slug, part in PAPERS.items():
        page = visit(f"notebooks/{part}/{slug}")
        page.wait_for_selector("mjx-container", timeout=15000)
        assert page.locator("mjx-merror").count() == 0
        assert page.locator("mjx-container[tabindex]").count() == 0, "a formula is no tab stop"
        assert not re.search(r"\\\(|\\\[", page.locator("article").first.inner_text())


def test_the_claims_filter(visit):
    slug = next(slug for slug, part in PAPERS.items() if part == "noisy_labels")
    page = visit("book/results/noisy_labels")
    rows = page.locator("table#claims tbody tr")
    total = rows.count()
    assert page.locator("table#claims tbody tr:visible").count() == total
    page.locator("[data-filter=text]").fill(describe(slug)["claims"][0]["sentence"][:40])
    shown = page.locator("table#claims tbody tr:visible")
    assert 1 <= shown.count() < total
    assert page.locator("[data-count]").inner_text() == f"{shown.count()} of {total} claims"
    page.locator("[data-filter=text]").fill("")
    page.locator("[data-filter=paper]").select_option(slug)
    assert page.locator("table#claims tbody tr:visible").count() == len(describe(slug)["claims"])


def test_a_reader_finds_methods_for_images_with_wrong_labels(visit):
    """A share that a paper measured, else the nearest one, problem by problem, and it is said."""
    page = visit("book/which_method", query="?data=images&wrong-labels=20&clean-labels=none+needed")
    shown = page.locator("table#methods tbody tr:visible")
    assert 0 < shown.count() < page.locator("table#methods tbody tr").count()
    found = {(row.get_attribute("data-problem"), row.get_attribute("data-wrong-labels")) for row in shown.all()}
    assert ("wrong labels and rare classes", "20") in found
    nearest = {share for problem, share in found if problem == "wrong labels"}
    assert len(nearest) == 1 and nearest <= {"10", "20", "30", "40"}
    far = abs(int(*nearest) - 20) > 5
    assert ("the nearest share is shown" in page.locator("[data-count]").inner_text()) == far
    page.locator("[data-filter=text]").fill("no such method")
    assert shown.count() == 0 and "choose fewer filters" in page.locator("[data-count]").inner_text()


def test_the_address_keeps_the_filter(visit):
    page = visit("book/results/noisy_labels", query="?verdict=holds&fidelity=method")
    shown = page.locator("table#claims tbody tr:visible")
    assert 0 < shown.count() < page.locator("table#claims tbody tr").count()
    assert all(row.get_attribute("data-verdict") == "holds" for row in shown.all())
    assert page.locator("[data-filter=verdict]").input_value() == "holds"


def test_the_papers_filter_and_sort(visit):
    page = visit("book/index")
    shown = page.locator("table#papers tbody tr:visible")
    assert shown.count() == len(PAPERS)
    page.locator("[data-filter=fidelity]").select_option("reconstruction")
    assert shown.count() == sum(describe(slug)["fidelity"] == "reconstruction" for slug in PAPERS) < len(PAPERS)
    page.locator("[data-filter=fidelity]").select_option("")
    for text in (describe("elr")["title"].upper()[:30], describe("elr").get("short", "elr")):
        page.locator("[data-filter=text]").fill(text)
        assert shown.count() >= 1 and "elr" in shown.first.locator("a").first.get_attribute("href")
    page.locator("[data-filter=text]").fill("")
    page.locator("[data-filter=verdict]").select_option("undecided")
    for row in shown.all():
        assert "undecided" in row.inner_text()
    page.locator("[data-filter=verdict]").select_option("")
    button = page.get_by_role("button", name="run")
    seconds = lambda: [float(c.get_attribute("data-sort")) for c in page.locator("#papers td.number").all()]  # noqa: E731
    button.focus()
    page.keyboard.press("Enter")
    assert seconds() == sorted(seconds()) and page.locator("th[aria-sort=ascending]").inner_text().startswith("run")
    page.keyboard.press("Enter")
    assert seconds() == sorted(seconds(), reverse=True)


def test_the_front_page_is_light(browser, html):
    """From a server on loopback, with an empty cache: few requests, few bytes, few nodes. Seconds are the bench's."""
    handler = functools.partial(Quiet, directory=str(html))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        context = browser.new_context()
        page = context.new_page()
        loaded = []
        page.on("response", lambda response: loaded.append(response))
        page.goto(f"http://127.0.0.1:{server.server_port}/book/index.html", wait_until="load")
        size = sum(int(r.headers.get("content-length", 0)) for r in loaded)
        nodes = page.evaluate("document.querySelectorAll('*').length")
        context.close()
    finally:
        server.shutdown()
        server.server_close()
    assert len(loaded) < 60 and size < 6e6 and nodes < 2500 + 60 * len(PAPERS), (len(loaded), size, nodes)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_claims_sort_by_effect_and_exact_ones_come_last(visit):
    page = visit("book/results/noisy_labels")
    page.get_by_role("button", name="effect in units of delta").click()
    keys = [c.get_attribute("data-sort") for c in page.locator("#claims td[data-sort]").all()]
    numbers = [float(key) for key in keys if key]
    assert len(set(numbers)) > 10 and numbers == sorted(numbers) and not any(keys[len(numbers) :])


@pytest.mark.parametrize(
    ("query", "slug"), [("conformal", "lp_icp"), ("Niles-Weed", "elr"), ("Debtags", "lp_icp"), ("SimCLR", "simclr_v2")]
)
def test_search_finds_a_paper_by_method_author_and_data(visit, query, slug):
    page = visit("search")
    page.goto(page.url.split("?")[0] + f"?q={query}")
    page.wait_for_selector("#search-results li a", timeout=15000)
    links = [a.get_attribute("href") for a in page.query_selector_all("#search-results li a")]
    assert any(slug in link for link in links), links


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(visit, scheme):
    """One page of each kind."""
    from axe_playwright_python.sync_playwright import Axe

    slug = next(iter(PAPERS))
    kinds = ["book/index", "book/results", "book/which_method", "book/glossary", "book/data", "book/reference"]
    part = PAPERS[slug]
    for name in [*kinds, f"book/results/{part}", f"book/parts/{part}", f"notebooks/{PAPERS[slug]}/{slug}"]:
        found = Axe().run(visit(name, scheme=scheme), options={"preload": False}).response["violations"]
        grave = [
            f"{name}: {v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}"
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert not grave, grave


def test_print_opens_solutions_and_leaves_out_the_frame(visit):
    slug, part = next(iter(PAPERS.items()))
    page = visit(f"notebooks/{part}/{slug}", scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light", "paper is white"
    folded = page.locator("details.hide").first
    inside = folded.locator("> :not(summary)").first
    assert folded.evaluate("e => getComputedStyle(e).overflow") == "visible", "a browser prints an empty box"
    assert inside.evaluate("e => getComputedStyle(e).animationName") == "none", "it begins at opacity 0"
    assert page.locator("details.hide:not([open])").count() == 0
    assert (
        not page.locator(".bd-sidebar-primary").first.is_visible() and not page.locator(".bd-header").first.is_visible()
    )
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_weight_of_notebook_pages(html, pages):
    for slug, part in PAPERS.items():
        soup = pages[f"notebooks/{part}/{slug}"]
        page = html / "notebooks" / part / f"{slug}.html"
        pictures = {
            (page.parent / unquote(i["src"])).resolve() for i in soup.select("article img") if "://" not in i["src"]
        }
        weight = page.stat().st_size + sum(p.stat().st_size for p in pictures if p.exists())
        assert weight < 1.5e6, f"{slug}: {weight / 1e6:.2f} MB"


def test_the_reference_links_functions_to_the_pages_that_use_them(pages):
    rows = pages["book/reference"].select("table tr")
    row = next(r for r in rows if r.get_text().strip().startswith("corrupt.symmetric"))
    assert any("elr.html" in a["href"] for a in row.select("a"))


def test_solutions_are_folded_and_open(visit):
    slug, part = next(iter(PAPERS.items()))
    page = visit(f"notebooks/{part}/{slug}")
    folded = page.locator("details.hide").first
    assert folded.get_attribute("open") is None
    folded.locator("summary").first.click()
    assert folded.get_attribute("open") is not None
