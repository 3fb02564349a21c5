"""`cornerstone open`: the page of the results, in a browser where there is one."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import ConfigError, StoreError
from cornerstone.plan.layout import Layout


def open_page(config: Config, model: str | None = None, terminal: bool = True) -> Said:
    """Open the page of the results; where there is no terminal, only say where it is.

    Args:
        config: the configuration.
        model: the page of one model, where there are several.
        terminal: whether somebody looks.

    Raises:
        ConfigError: no such model was run.
        StoreError: there is no page.
    """
    if model is not None and model not in config.run:
        raise ConfigError(
            f"there is no page of a model '{model}'; choose one of those that are run: {', '.join(config.run)}."
        )
    layout = Layout(config)
    pages = [Path(layout.page(model))] if model else [Path(layout.index), Path(layout.summary)]
    page = next((page for page in pages if page.is_file()), None)
    if page is None:
        raise StoreError(f"{pages[0]} is not there. Run `cornerstone run` to make it.")
    shown = terminal and webbrowser.open(page.resolve().as_uri())
    return Said(str(page), {"page": str(page), "opened": bool(shown)})
