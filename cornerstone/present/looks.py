"""The verdicts of looks, as their files say them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.files import MADE_AGAIN, check
from cornerstone.plan.layout import Layout


def read(config: Config, model: str) -> dict[str, Any] | None:
    """What the present look says of a model (see looks/<documents>.json in docs/outputs.md); None where there is none.

    Raises:
        StoreError: the file is damaged, was changed, or is of another `until`.
    """
    path = Path(Layout(config).look(model))
    try:
        check(path)
        found = reading.parsed(path)
        if found["made_from"]["settings"] != config.made_for(model) or not isinstance(
            found["settled"] and found["last"], bool
        ):
            raise StoreError(f"{path} was made for other settings of `until`. {MADE_AGAIN}")
        return {**found, "text": str(found["text"])}
    except UnreadableError as error:
        if error.missing:
            return None
        raise StoreError(error.then(MADE_AGAIN)) from error
    except (KeyError, TypeError):
        raise StoreError(f"{path} is no verdict of a look. {MADE_AGAIN}") from None


def lines(config: Config) -> list[str]:
    """What the present look says of each model, in words; nothing where the config has no `until`.

    Raises:
        StoreError: see `read`.
    """
    if config.until is None:
        return []
    verdicts = {model: read(config, model) for model in config.run}
    begun = {model: f"{model}: not looked at {config.look(model).documents:,} documents yet" for model in config.run}
    return [found["text"] if found else begun[model] for model, found in verdicts.items()]
