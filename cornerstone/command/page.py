"""`cornerstone open`: the page of the results, in a browser where there is one."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.plan.layout import Layout


def open_page(config: Config, model: str | None = None, terminal: bool = True) -> Said:
    """Open the page of the results; where there is no terminal, only say where it is.

    Args:
        config: the configuration.
        model: the page of one model, where there are several.
        terminal: whether somebody looks.

    Raises:
        StoreError: there is no page.
    """
    root = Path(config.paths.results)
    names = [f"{model}.html"] if model else ["index.html", Path(Layout(config).summary).name]
    page = next((root / name for name in names if (root / name).is_file()), None)
    if page is None:
        raise StoreError(f"{root / names[0]} is not there. Run `cornerstone run` to make it.")
    shown = terminal and webbrowser.open(page.resolve().as_uri())
    return Said(str(page), {"page": str(page), "opened": bool(shown)})
