"""The page in a browser: it loads without errors, filters, resolves, fits and obeys the keyboard."""

import shutil

import pytest
from helpers.documents import report_of
from helpers.searches_of_trials import LOSS, TOKENS, document, files, trial
from helpers.study_of_rows import study_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: apt-get install chromium"),
]
TROUBLE = "<img src=x onerror=alert(1)>\"'</script>"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    plan, rows, loader = study_of(3, 2, 3, maps=True, title=TROUBLE)
    out = tmp_path_factory.mktemp("page")
    space = (TOKENS | {"label": TROUBLE}, LOSS | {"values": ["on", TROUBLE]})
    trials = [trial(n, {"tokens": 1 + n, "loss": ("on", TROUBLE)[n % 2]}, value=0.5 + n / 50) for n in range(8)]
    search = files(document(space=space, backbone=TROUBLE, name="quick") | {"name": TROUBLE}, trials, name="quick")
    page = report_of(
        plans=[plan],
        rows=rows,
        examples=loader,
        out=out,
        damaged={TROUBLE: TROUBLE, f"rows/{'0' * 40}.json": ""},
        searches=[search],
    )
    return page.as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(params=[390, 1440])
def page(request, browser, address):
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    errors = []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("dialog", lambda _: errors.append("a script of the user's ran"))
    opened.goto(address)
    yield opened
    opened.close()
    assert errors == []


def test_the_page_fits_and_a_number_leads_to_its_cells(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("document.querySelectorAll('main details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("td.ours a").first.click()
    page.wait_for_selector("#behind-body tbody tr")
    assert page.locator("#behind-body tbody tr").count() == 6
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('behind').open")


def test_heatmaps_are_filtered_and_toggled_by_key(page):
    page.evaluate("document.getElementById('heatmaps').scrollIntoView()")
    page.wait_for_selector("#gallery figure")
    assert page.inner_text("#found") == "24 of 24 maps"
    page.select_option("select[name=category]", "category01")
    assert page.inner_text("#found") == "12 of 24 maps"
    assert page.locator("#gallery canvas").count() == 12
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("2")
    assert page.locator("#gallery canvas").count() == 0
    assert page.locator("#gallery img[alt='ground truth']").count() == 12


def test_tables_are_copied_and_keys_move_on(page):
    page.locator("[data-copy=md]").first.click()
    page.wait_for_function("study.copied")
    assert page.evaluate("study.copied").startswith("| Arm | part |")
    page.locator("[data-copy=tex]").first.click()
    page.wait_for_function("study.copied.includes('toprule')")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")
    page.keyboard.press("j")
    assert page.evaluate("location.hash") == "#large"
