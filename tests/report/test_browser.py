"""The page in a real browser: no request, no error, and everything that can be pressed."""

import shutil
from collections.abc import Iterator

import pytest

from striate.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--headless"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser, trained) -> Iterator:
    """The report of a run, opened; in the end nothing was asked of a network, nothing failed."""
    path = write_report(trained.path, trained.data, trained.model)
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened.set_default_timeout(120_000)  # milliseconds; other tests use the machine too
    requests, complaints = [], []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    outside = [url for url in requests if not url.startswith("data:")]
    opened.close()
    assert outside == [path.as_uri()]
    assert complaints == []


def test_a_cell_opens_its_images_and_escape_closes_them(page) -> None:
    cell = page.locator("table.matrix td[class^=w] button").first
    panel = page.locator(f"#{cell.get_attribute('popovertarget')}")
    assert not panel.is_visible()
    cell.click()
    assert panel.is_visible()
    pictures = panel.locator("img")
    assert pictures.count() == int(cell.inner_text())
    assert pictures.first.evaluate("image => image.complete && image.naturalWidth > 0")
    assert panel.locator(".name").first.inner_text().startswith("train/")
    page.keyboard.press("Escape")
    assert not panel.is_visible()


def test_a_cell_opens_by_keyboard_and_arrows_walk(page) -> None:
    first = page.locator("table.matrix td.r9 button").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label is not None
    assert label != first.get_attribute("aria-label")
    page.keyboard.press("Enter")
    assert page.locator(".panel:popover-open").count() == 1
    page.locator(".panel:popover-open button").click()
    assert page.locator(".panel:popover-open").count() == 0


def test_the_table_of_classes_sorts_both_ways(page) -> None:
    heading = page.locator("table.sortable th", has_text="Recall")
    cells = page.locator("table.sortable tbody td[data-value]:nth-child(3)")

    def values() -> list[float]:
        found = cells.evaluate_all("cells => cells.map(cell => Number(cell.dataset.value))")
        assert len(found) == 10
        return found

    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    names = page.locator("table.sortable th", has_text="Class")
    names.locator("button").click()
    first = page.locator("table.sortable tbody th").first
    assert first.inner_text() == "0"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_never_scrolls_sideways(page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


CONTRAST = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (color) => {
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pixel.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  const texts = [...document.querySelectorAll(
    "h1, h2, h3, p, dt, dd, li, small, .matrix th, .matrix td, .numbers th, .numbers td")];
  return texts.filter((node) => node.textContent.trim() && node.checkVisibility()).map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return [contrast, node.textContent.trim().slice(0, 40)];
  }).sort((a, b) => a[0] - b[0]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(252, 251, 248)") == (scheme == "light")
    contrast, text = page.evaluate(CONTRAST)[0]
    assert contrast >= 4.5, text  # WCAG 2, level AA


def test_every_shade_of_the_matrix_can_be_read(page) -> None:
    shades = [f"{kind}{step}" for kind in "rw" for step in range(1, 10)]
    page.evaluate(
        """shades => document.querySelectorAll(".matrix tbody td:not(.sum)").forEach((cell, at) => {
             cell.className = shades[at % shades.length];
             cell.textContent = "8";
           })""",
        shades,
    )
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        contrast, _ = page.evaluate(CONTRAST)[0]
        assert contrast >= 4.5


def test_on_paper_everything_is_unfolded_and_light(page) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_a_point_of_a_curve_says_its_figure(page) -> None:
    mark = page.locator("#curves .validation .mark").first
    assert "epoch 1" in mark.locator("title").text_content()
    dot = mark.locator(".dot")
    assert dot.evaluate("dot => getComputedStyle(dot).opacity") == "0"
    mark.hover()
    assert dot.evaluate("dot => getComputedStyle(dot).opacity") == "1"
