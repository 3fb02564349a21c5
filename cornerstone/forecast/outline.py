"""A model without its weights: the shapes of its layers and its tokenizer, which is all that planning needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.assets.fetch import asset_key
from cornerstone.config.models import Model
from cornerstone.engine.loading import skeleton
from cornerstone.engine.network import Network
from cornerstone.errors import AssetError, first_line
from cornerstone.files import sha256, write_text
from cornerstone.log import say

FILES = ("*.json", "tokenizer*", "*.model", "*.txt")
"""Files of a hub repository that an outline needs: config and tokenizer, a few megabytes at most."""
LEFT_OUT = ("*/*", "*.index.json")


@dataclass(frozen=True)
class Outline:
    """A model whose parameters have shapes and no values.

    Attributes:
        network: the model as the engine sees it, on torch's `meta` device.
        tokenizer: its tokenizer.
    """

    network: Network
    tokenizer: Any


def fetch(name: str, model: Model, resources: Path, marker: Path) -> None:
    """Download config and tokenizer of a hub model, at its pinned commit, and describe them in `marker` (JSON).

    Raises:
        AssetError: no network, no such commit, or a gated repository and no login.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    folder = resources / "outlines" / f"{name}-{asset_key(model)}"
    say(f"downloading config and tokenizer of {model.id} at {model.revision} from the hub; no weights")
    try:
        snapshot_download(
            model.id,
            revision=model.revision,
            local_dir=folder,
            allow_patterns=list(FILES),
            ignore_patterns=list(LEFT_OUT),
        )
    except GatedRepoError as error:
        raise AssetError(
            f"{model.id} is gated: config and tokenizer, too, are only for those who accepted its licence. Accept "
            f"it at https://huggingface.co/{model.id}, log in (`hf auth login`), and run `snakemake plan` again."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise AssetError(
            f"could not download config and tokenizer of {model.id} at {model.revision} from the hub: "
            f"{first_line(error)}. Run `snakemake plan` where there is network access; for a gated model log in first "
            "(`hf auth login`)."
        ) from error
    if not (folder / "config.json").is_file():
        raise AssetError(f"{model.id} at {model.revision} has no config.json. Choose a revision that has one.")
    facts = {"path": str(folder), "source": model.source, "id": model.id, "revision": model.revision}
    facts |= {"config_sha256": sha256(folder / "config.json"), "asset": asset_key(model)}
    write_text(marker, json.dumps(facts, indent=2) + "\n")


def read(folder: Path, entry: Model) -> Outline:
    """The outline of a model from its config.json and tokenizer; weights that lie beside them are not read.

    Raises:
        ModelError: unknown architecture, unreadable files, or another model than the config describes.
    """
    model, tokenizer = skeleton(folder, entry.dtype)
    return Outline(Network(model, entry.all_players(), entry.blocks, entry.feed_forward), tokenizer)
