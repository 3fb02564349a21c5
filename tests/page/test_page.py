"""The page in a real browser: it opens from disk, asks nothing of the network, and its switches do what they say."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cornerstone.config.config import Config
from cornerstone.plan.layout import Layout
from cornerstone.present.page import write
from cornerstone.present.page.source import Source
from tests import pages
from tests.page import browser

pytest.importorskip("playwright", reason="the tests of the page need playwright (envs/dev.lock has it)")
if browser.path() is None:
    pytest.skip("the tests of the page need a Chromium (make test-page)", allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.page
expect.set_options(timeout=30_000)

SECONDS = 2.0
"""In which a page must be drawn. What counts is the browser's own work: the machine may be busy with other tests."""
DRAWN = "html[data-drawn=yes]"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A model of 60 players, as many as the default run's."""
    made = pages.save(pages.fetch(pages.config_of(tmp_path_factory.mktemp("one"), blocks=30)))
    write.write(made, pages.reader(made))
    return made


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = pages.save(pages.config_of(tmp_path_factory.mktemp("two"), models=2, blocks=3))
    write.write(made, pages.reader(made))
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser.path(), args=browser.options())
        yield launched
        launched.close()


class Visit:
    """A page that is open, with all that the browser said about it."""

    def __init__(self, chromium: Browser, path: str, fragment: str = "", scheme: Any = "light", **context: Any) -> None:
        self.context = chromium.new_context(
            color_scheme=scheme, viewport={"width": 1200, "height": 900}, accept_downloads=True, **context
        )
        self.context.set_default_timeout(60_000)  # however busy the machine is
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = f"file://{quote(str(Path(path).absolute()))}"
        self.page.goto(f"{self.address}{fragment}")

    def drawn(self) -> Page:
        self.page.wait_for_selector(DRAWN, state="attached")
        return self.page

    def fragment(self) -> str:
        return str(self.page.evaluate("location.hash"))

    def close(self) -> None:
        outside = [url for url in self.requests if not url.startswith((self.address, "data:", "blob:"))]
        self.context.close()
        assert self.problems == []
        assert outside == []


@pytest.fixture
def visit(chromium: Browser, config: Config) -> Iterator[Any]:
    opened: list[Visit] = []

    def open_page(fragment: str = "", path: str = "", **context: Any) -> Visit:
        opened.append(Visit(chromium, path or Layout(config).index, fragment, **context))
        return opened[-1]

    yield open_page
    for each in opened:
        each.close()


def labels(page: Page, chart: str) -> list[str]:
    """What the marks of a chart say to who can't see them."""
    found = page.locator(f'[id="chart-{chart}"] svg [aria-label]').evaluate_all("all => all.map(e => e.ariaLabel)")
    return [str(label) for label in found]


def values(page: Page, chart: str) -> list[str]:
    """The marks of a chart that are layers."""
    return [label for label in labels(page, chart) if "true rank" in label]


def test_it_is_drawn_in_two_seconds_from_disk(visit: Any) -> None:
    opened = visit()
    page = opened.drawn()
    assert opened.requests[0] == opened.address
    work = page.context.new_cdp_session(page)
    work.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    opened.drawn()
    metrics = {each["name"]: each["value"] for each in work.send("Performance.getMetrics")["metrics"]}
    assert 0.1 < metrics["TaskDuration"] < SECONDS, metrics


def test_the_answer_is_the_first_thing_on_the_screen(visit: Any) -> None:
    page = visit().drawn()
    box = page.locator("#answer .cards").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 600
    assert page.locator("#answer .verdict").first.inner_text() == "ffn0"


def test_the_map_has_a_mark_for_every_layer_and_task(visit: Any, config: Config) -> None:
    page = visit().drawn()
    said = values(page, "map")
    assert len(said) == 60 + 3 * 60  # marks, and cells of two tasks and their mean
    source = Source(config, "base")
    rows = source.headline[source.headline["task"] == "mean"].set_index("player")
    (ffn0,) = [label for label in said if label.startswith("ffn0, Mean over tasks")][:1]
    assert f"true rank {int(rows['rank_low']['ffn0'])} to {int(rows['rank_high']['ffn0'])}" in ffn0
    assert ffn0.endswith(", clearly above the median")


def test_each_switch_changes_the_map_and_the_address(visit: Any) -> None:
    opened = visit()
    page = opened.drawn()

    def changed(act: Callable[[], object], words: str, part: str) -> None:
        before = values(page, "map")
        act()
        page.wait_for_function(f"() => document.querySelector('#chart-map svg').outerHTML.includes('{words}')")
        assert values(page, "map") != before
        assert part in opened.fragment()

    changed(lambda: page.get_by_role("button", name="margin").click(), ">standard deviations<", "value=margin")
    changed(lambda: page.locator("#map [data-switch=task]").select_option("alpha"), "ffn0, alpha", "task=alpha")
    before = page.locator("#chart-map svg").inner_html()
    page.locator("[data-switch=estimator]").select_option("window-k1")
    expect(page.locator("#chart-map svg")).not_to_have_js_property("innerHTML", before)
    assert "estimator=window-k1" in opened.fragment()
    page.get_by_role("button", name="by value").click()
    page.wait_for_function("() => document.querySelector('#chart-map svg').outerHTML.includes('place by value')")
    assert "order=value" in opened.fragment()
    assert values(page, "map")[0].startswith(("attn0", "ffn0"))
    expect(page.get_by_role("button", name="by value")).to_have_attribute("aria-pressed", "true")


def test_a_view_is_sent_by_its_address(visit: Any) -> None:
    page = visit("#attn3&value=margin&task=beta&remove=15&direction=most&orders=all").drawn()
    expect(page.get_by_role("button", name="margin")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#map [data-switch=task]")).to_have_value("beta")
    expect(page.locator("#layer-title")).to_have_text("attn3")
    assert page.evaluate("document.querySelector('#layer').getBoundingClientRect().top") < 300
    expect(page.locator("#remove-count")).to_have_text("15 of 60")
    expect(page.get_by_label("every order")).to_be_checked()
    wrong = visit("#nobody&value=none&task=%3Cb%3E").drawn()
    expect(wrong.locator("#layer-title")).to_have_text("ffn0")


def test_hovering_names_the_layer_and_a_click_opens_its_card(visit: Any) -> None:
    opened = visit()
    page = opened.drawn()
    mark = page.locator("#chart-map svg [aria-label^='attn5, Mean over tasks']").first
    mark.hover(force=True)
    expect(page.locator("#vg-tooltip-element")).to_contain_text("attn5")
    mark.click(force=True)
    expect(page.locator("#layer-title")).to_have_text("attn5")
    assert opened.fragment().startswith("#attn5")
    page.get_by_role("button", name="next").click()
    expect(page.locator("#layer-title")).to_have_text("ffn5")
    page.evaluate("location.hash = '#attn1'")
    expect(page.locator("#layer-title")).to_have_text("attn1")


def test_the_card_of_a_layer_leads_to_documents(visit: Any) -> None:
    page = visit("#ffn0").drawn()
    first = page.locator("#flips details").first
    first.locator("summary").click()
    expect(first.locator("pre")).to_contain_text(pages.HOSTILE)  # as text
    expect(first.locator("table")).to_contain_text("log-likelihood with it")
    assert page.evaluate("document.querySelectorAll('#flips b').length") == 0
    shown = page.locator("#flips details summary").all_inner_texts()
    page.get_by_label("sort by").select_option("task")
    assert sorted(page.locator("#flips details summary").all_inner_texts()) == sorted(shown)
    expect(page.locator("#layer-drops")).to_contain_text("Mean over tasks")


def test_the_slider_names_what_goes(visit: Any) -> None:
    opened = visit()
    page = opened.drawn()
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    count = int(page.locator("#remove-count").inner_text().split()[0])
    expect(page.locator("#remove-words .names li")).to_have_count(count)
    expect(page.locator("#remove-command")).to_contain_text("snakemake --cores 2")
    expect(page.locator("#remove-command")).to_contain_text(
        re.compile(r"\ncornerstone prune \S+ --layers [a-z0-9,]+ --out \S+ --config settings.yaml\n")
    )
    assert f"remove={count}" in opened.fragment()
    page.get_by_role("button", name="most important first").click()
    assert page.locator("#remove-words .names li").first.inner_text() == "ffn0"
    # Attention has 3,072 entries, feed-forward 6,144, each a norm of 32; embedding and head 512 x 32 each.
    names = page.locator("#remove-words .names li").all_inner_texts()
    gone = sum(3072 + 32 if name.startswith("attn") else 6144 + 32 for name in names)
    whole = 30 * (3072 + 6144 + 64) + 32 + 2 * 512 * 32
    saved = page.locator("#remove-words tr", has_text="parameters").locator("td").all_inner_texts()
    assert saved == ["parameters", f"{whole:,}", f"{whole - gone:,}", f"{gone:,}", f"{100 * gone / whole:.0f} %"]
    page.get_by_role("button", name="parameters").click()
    expect(page.locator("#chart-removed .role-axis-title").first).to_have_text("parameters saved (%)")
    assert "along=parameters" in opened.fragment()


def test_tables_are_copied(visit: Any) -> None:
    opened = visit(permissions=["clipboard-read", "clipboard-write"])
    page = opened.drawn()
    page.get_by_text("Table 2: top three and cornerstones", exact=True).click()
    for name, expected in (("TSV", "top three\tcornerstones\t"), ("LaTeX", "\\begin{table")):
        page.get_by_role("button", name=f"copy as {name}: Table 2: top three and cornerstones").click()
        expect(page.locator("#said")).to_have_text("copied")
        assert expected in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("chart", ["map", "top", "tasks", "removed", "pairs"])
def test_every_chart_is_saved(visit: Any, chart: str, tmp_path: Path) -> None:
    page = visit().drawn()
    figure = page.locator(f"figure[data-chart={chart}]")
    for kind in ("svg", "png", "csv"):
        with page.expect_download() as waiting:
            figure.locator(f"[data-save={kind}]").click()
        saved = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(saved)
        assert saved.name == f"base-{chart}.{kind}"
        content = saved.read_bytes()
        if kind == "svg":
            assert content.startswith(b"<svg")
            assert b"<path" in content
        elif kind == "png":
            assert content.startswith(b"\x89PNG")
            assert len(content) > 3000
        else:
            rows = list(csv.reader(content.decode().splitlines()))
            assert len(rows) > 3
            assert {len(row) for row in rows} == {len(rows[0])}
    figure.locator("summary").click()
    expect(figure.locator("tbody tr")).to_have_count(len(rows) - 1)


@pytest.mark.parametrize(
    ("name", "scheme", "unfolded"),
    [("one", "light", True), ("one", "dark", False), ("index", "dark", False), ("compare", "light", False)],
)
def test_nothing_serious_is_in_the_way_of_anybody(
    visit: Any, config: Config, compared: Config, name: str, scheme: str, unfolded: bool
) -> None:
    paths = {"one": Layout(config).index, "index": Layout(compared).index, "compare": Layout(compared).compare_page}
    opened = visit(path=paths[name], scheme=scheme)
    page = opened.page if name == "index" else opened.drawn()
    if unfolded:
        page.locator("details.fold, details.flip, [data-chart=top] details").evaluate_all(
            "all => all.forEach(each => { each.open = true; })"
        )
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_dark_paper_has_dark_charts(visit: Any) -> None:
    light, dark = (visit(scheme=scheme).drawn() for scheme in ("light", "dark"))
    query = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(query) != dark.evaluate(query)
    fill = "document.querySelector('#chart-map svg .role-axis-label text').getAttribute('fill')"
    assert light.evaluate(fill) != dark.evaluate(fill)


def test_without_scripts_there_are_texts_tables_and_no_dead_switches(visit: Any) -> None:
    page = visit(java_script_enabled=False).page
    expect(page.locator("#answer .verdict").first).to_have_text("ffn0")
    expect(page.locator("#trust table")).to_be_visible()
    expect(page.get_by_text("Without JavaScript there are no switches")).to_be_visible()
    expect(page.locator("#layer")).to_be_hidden()
    assert page.get_by_role("button").count() == 0


def test_paper_has_no_switches(visit: Any) -> None:
    page = visit().drawn()
    page.emulate_media(media="print")
    expect(page.locator("#map .controls")).to_be_hidden()
    expect(page.locator("#chart-map svg")).to_be_visible()


def test_a_narrow_screen_is_filled_and_no_wider(visit: Any) -> None:
    page = visit().drawn()
    page.set_viewport_size({"width": 420, "height": 800})
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_models_are_set_side_by_side(visit: Any, compared: Config) -> None:
    page = visit(path=Layout(compared).compare_page).drawn()
    name = "base--tuned-1.5b"  # a dot means something else in a CSS selector
    page.wait_for_selector(f'[id="chart-ranks-{name}"] svg')
    said = [label for label in labels(page, f"difference-{name}") if "points of accuracy" in label]
    assert any(label.startswith("ffn0: ") for label in said)
    before = page.locator(f'[id="chart-difference-{name}"] svg').inner_html()
    page.get_by_role("button", name="drop when removed alone").click()
    page.wait_for_function(
        "before => document.querySelector('[id=\"chart-difference-base--tuned-1.5b\"] svg').innerHTML !== before",
        arg=before,
    )
    assert [label for label in labels(page, f"difference-{name}") if "points of accuracy" in label] != said
