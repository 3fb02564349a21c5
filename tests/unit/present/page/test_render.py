"""The files: whole, self-contained, escaped; the libraries are the published ones."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cornerstone.config.config import Config
from cornerstone.config.pairs import name_of
from cornerstone.errors import StoreError
from cornerstone.plan.layout import Layout
from cornerstone.present.figures import kinds
from cornerstone.present.page import comparison, model, render, vendor, write
from cornerstone.present.page.source import Source
from cornerstone.present.tables import TABLES
from tests import pages

LARGEST = 3_000_000
"""Bytes of a page."""


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1] += data


def elements(text: str) -> Elements:
    parser = Elements()
    parser.feed(text)
    return parser


@pytest.fixture(scope="module")
def page(config: Config) -> str:
    return write.page_of(config, "base", pages.reader(config))


def test_all_that_a_page_needs_is_inside(page: str) -> None:
    found = elements(page).found
    for tag, attributes in found:
        for key in ("src", "href", "data", "poster", "srcset", "action"):
            address = attributes.get(key) or ""
            assert not address.startswith(("http", "//")), (tag, address)
            assert key != "src" or not address or address.startswith("data:"), (tag, address)
    (policy,) = [a["content"] for t, a in found if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert len(page.encode()) < LARGEST


def test_texts_of_documents_cannot_break_the_page(page: str) -> None:
    parsed = elements(page)
    assert len(parsed.scripts) == 5  # data, three libraries, the page's own
    data = json.loads(parsed.scripts[0])
    assert any(pages.HOSTILE in document["prompt"] for document in data["flips"]["documents"])
    assert "<b>“q”" not in page


def test_the_answer_stands_in_the_page_itself(page: str) -> None:
    for words in ("Which layers are cornerstones?", "ffn0", "declared headline", "typical interval", "@inproceedings"):
        assert words in page


def test_links_to_files_are_relative_to_the_page(config: Config, page: str) -> None:
    links = [a["href"] or "" for t, a in elements(page).found if t == "a"]
    ids = {a["id"] for _, a in elements(page).found if "id" in a}
    layout = Layout(config)
    folder = Path(layout.results)
    drawn = [path for kind in kinds(layout.shown("base")) for path in layout.figure("base", kind)]
    made_later = {
        *drawn,
        *(path for table in TABLES for path in layout.table(table.name)),
        layout.package,
        layout.report,
    }
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (folder / link).is_file() or str(folder / link) in made_later, link


def test_what_else_lies_there_changes_nothing(config: Config, compared: Config, page: str) -> None:
    """A run that was killed leaves some of what is made beside the page. The page is that of a straight run."""
    both = render.page("compare.html.j2", comparison.context(compared), comparison.data(compared))
    kept = ("datapackage.json", "report.html", "figures/base/values-column.pdf", "figures/base/other.pdf")
    for results in (Layout(config).results, Layout(compared).results):
        for name in (*kept, f"figures/compare/{name_of(compared.pairs[0])}/depth-column.pdf"):
            Path(results, name).parent.mkdir(parents=True, exist_ok=True)
            Path(results, name).write_bytes(b"%PDF")
    try:
        assert write.page_of(config, "base", pages.reader(config)) == page
        assert render.page("compare.html.j2", comparison.context(compared), comparison.data(compared)) == both
    finally:
        for results in (Layout(config).results, Layout(compared).results):
            shutil.rmtree(Path(results, "figures"))
            for name in kept[:2]:
                Path(results, name).unlink()


def test_the_figure_at_paper_width_is_linked_where_it_is_planned(source: Source, config: Config) -> None:
    there = kinds(Layout(config).shown("base"))
    for chart, kind in (("map", "values"), ("removed", "deletion"), ("pairs", "interactions")):
        expected = f"figures/base/{kind}-column.pdf" if kind in there else None
        assert model.figures(source)[chart] == expected
    assert model.figures(source)["map"] is not None


def test_ids_are_there_once(page: str) -> None:
    ids = [a["id"] for _, a in elements(page).found if "id" in a]
    assert len(ids) == len(set(ids))


def test_the_libraries_are_the_published_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noted = vendor.checksums()
    assert set(noted) == {path.name for path in vendor.FOLDER.iterdir()} - {"SHA256SUMS"}
    assert {name for name in noted if name.startswith("LICENSE")} >= {
        f"LICENSE.{name}.txt" for name in ("vega", "vega-lite", "vega-embed", "bundled")
    }
    assert all("</script" not in text for text in vendor.scripts())
    for path in vendor.FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "vega-lite.min.js").write_text("changed")
    monkeypatch.setattr(vendor, "FOLDER", tmp_path)
    with pytest.raises(StoreError, match=r"vega-lite\.min\.js"):
        vendor.scripts()


def data_sets(spec: Any) -> set[str]:
    """The names of the data sets that a specification draws."""
    if isinstance(spec, dict):
        own = {spec["data"]["name"]} if "data" in spec else set()
        return own.union(*(data_sets(value) for value in spec.values())) if spec else own
    return set().union(*(data_sets(value) for value in spec)) if isinstance(spec, list) else set()


def test_charts_hold_no_data_and_name_what_they_draw(source: Source) -> None:
    drawn = model.drawings(source)
    assert list(drawn) == ["map", "top", "tasks", "pairs", "removed"]
    assert data_sets(drawn["map"]["accuracy"]["depth"]) == {"values", "heat"}
    assert data_sets(drawn["removed"]) == {"rows", "lines", "here"}
    assert '"url"' not in json.dumps(drawn)
    assert drawn["top"]["margin"]["layer"][1]["encoding"]["x"]["title"] == ["nats per character"]
    heat = {name: drawn["map"][name]["depth"]["vconcat"][1]["layer"][0]["encoding"]["color"] for name in drawn["map"]}
    assert heat["accuracy"]["legend"]["title"] == ["points of accuracy", "(colours end at the 97th percentile)"]
    assert heat["margin"]["legend"]["title"] == [
        "share of the row's 97th percentile",
        "(tasks: nats per character; mean: standard deviations)",
    ]


def test_several_models_have_a_page_each_and_an_overview(compared: Config) -> None:
    write.write(compared, pages.reader(compared))
    layout = Layout(compared)
    names = [Path(path).name for path in layout.pages]
    assert names == ["index.html", "base.html", "tuned-1.5b.html", "compare.html"]
    texts = {path.name: path.read_text() for path in map(Path, layout.pages)}
    for other in names[1:]:
        assert f'href="{other}"' in texts["index.html"]
    assert 'href="tuned-1.5b.html"' in texts["base.html"]
    assert "second less first" in texts["compare.html"].lower()
    assert all(len(text.encode()) < LARGEST for text in texts.values())


def test_one_model_has_one_page(config: Config) -> None:
    assert [Path(path).name for path in Layout(config).pages] == ["index.html"]


def test_a_template_that_lacks_something_fails() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render.page("overview.html.j2", {"models": []})


def test_nothing_of_the_settings_is_lost(source: Source) -> None:
    import yaml

    from cornerstone.config.config import load
    from cornerstone.present.page import provenance

    again = load(yaml.safe_load(provenance.settings(source)))
    assert again.run == ["base"]
    assert again.models["base"] == source.config.models["base"]
    assert again.estimators == source.config.estimators
    assert not re.search(r"null", provenance.settings(source))


def test_commands_of_another_configuration_name_its_settings(source: Source, config: Config) -> None:
    """Results that lie elsewhere than in `results` were made from another file than config.yaml."""
    first, prune, score = model.commands(source).splitlines()
    assert first.startswith("# settings.yaml")
    assert prune.endswith(" --config settings.yaml")
    assert score.endswith("{coalition}.json --configfile settings.yaml")
    own = config.model_copy(update={"paths": config.paths.model_copy(update={"results": "results"})})
    assert "settings" not in model.commands(Source(own, "base"))
