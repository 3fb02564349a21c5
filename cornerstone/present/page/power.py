"""The forecast of how many documents would decide: shown where the file is there, which another step makes."""

from __future__ import annotations

import json
from pathlib import Path

from cornerstone.errors import StoreError

FILE = "power.json"
"""In the folder of a model: `{"sentences": [...]}`, each about as many documents as would be enough."""


def sentences(folder: Path) -> list[str]:
    """What the forecast of a model says; nothing where there is no forecast.

    Raises:
        StoreError: the file is there and holds no sentences.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["sentences"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} holds no sentences ({error}). Delete it and run the workflow again.") from error
    return [str(sentence) for sentence in found]
