"""The files: `index.html`, a page for each model where there are several, and `compare.html`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cornerstone import __version__
from cornerstone.config.config import Config
from cornerstone.files import write_noted
from cornerstone.plan.layout import Layout
from cornerstone.present.page import answer, comparison, model, render
from cornerstone.present.page.flips import Read
from cornerstone.present.page.source import Source


def page_of(config: Config, name: str, read: Read) -> str:
    """The page of one model, as HTML.

    Args:
        config: the configuration.
        name: the model.
        read: reads the result of a coalition.

    Raises:
        StoreError, AssetError: a file that the page shows is missing or damaged.
    """
    source = Source(config, name)
    others = _links(config, besides=name) if len(config.run) > 1 else []
    return render.page("model.html.j2", {**model.context(source, read), "others": others}, model.data(source, read))


def overview(config: Config) -> str:
    """The answers of all models on one page, as HTML."""
    layout = Layout(config)
    entries = [
        {
            "name": name,
            "href": Path(layout.page(name)).name,
            "header": answer.header(Source(config, name)),
            "cards": answer.cards(Source(config, name)),
            "warnings": answer.warnings(Source(config, name)),
        }
        for name in config.run
    ]
    compared = Path(layout.compare_page).name if config.pairs else ""
    level = f"{config.intervals.level:.0%}"
    context = {"models": entries, "compared": compared, "version": __version__, "level": level}
    return render.page("overview.html.j2", context)


def write(config: Config, read: Read) -> None:
    """Write all pages, each whole or not at all.

    Raises:
        StoreError, AssetError: a file that a page shows is missing or damaged.
    """
    layout = Layout(config)
    for name in config.run:
        write_noted(Path(layout.page(name)), page_of(config, name, read))
    if len(config.run) > 1:
        write_noted(Path(layout.index), overview(config))
    if config.pairs:
        shown = render.page("compare.html.j2", comparison.context(config), comparison.data(config))
        write_noted(Path(layout.compare_page), shown)


def _links(config: Config, besides: str) -> list[dict[str, Any]]:
    """The other pages: name and address."""
    layout = Layout(config)
    links = [{"name": name, "href": Path(layout.page(name)).name} for name in config.run if name != besides]
    return [*links, {"name": "side by side", "href": Path(layout.compare_page).name}] if config.pairs else links
