"""The file of a model's mean contributions: made by the first job that needs it, read by all others.

It is a safetensors file beside the model's results, named after what decides its numbers. Two jobs may make
it at once: what the first one writes is what both use. It stays as it is if the reference documents are made again: all
results of a model are to have the same means.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cornerstone import reading
from cornerstone.assets.documents import read
from cornerstone.config.config import Config
from cornerstone.config.models import ReferenceDocuments
from cornerstone.engine.averaging import mean_contributions, reference, text_of
from cornerstone.engine.batching import batches_for
from cornerstone.engine.encoding import encode
from cornerstone.engine.means import Means
from cornerstone.engine.network import Network
from cornerstone.errors import StoreError, UnreadableError, first_line
from cornerstone.files import write_once
from cornerstone.game.coalitions import full
from cornerstone.log import log
from cornerstone.plan.fingerprint import of_means
from cornerstone.plan.layout import Layout
from cornerstone.schedule.groups import Division
from cornerstone.schedule.memory import Room

_CONTRIBUTIONS, _HEADS = "contributions", "heads."


def of(config: Config, model: str, network: Network, tokenizer: Any, room: Room) -> Means | None:
    """What stands in the place of a model's removed sublayers; None where nothing does.

    Args:
        config: the configuration.
        model: its name.
        network: the model, proven.
        tokenizer: the model's.
        room: what memory the job has.

    Raises:
        AssetError: the reference documents are missing.
        StoreError: the file is damaged, or means are not finite.
        ConfigError: too little memory for one document.
    """
    asked = config.models[model].reference
    if asked is None:
        return None
    path = Path(Layout(config).means(model, of_means(config, model)))
    if not path.is_file():
        made, about = _made(config, model, asked, network, tokenizer, room)
        if not _finite(made):
            raise StoreError(
                f"mean contributions of {model} are no finite numbers. Half precision may have overflowed: set dtype: "
                "bfloat16 or float32 in its entry."
            )
        write_once(path, lambda temporary: _write(made, about, temporary))
    return _read(path, network)


def _made(
    config: Config, model: str, asked: ReferenceDocuments, network: Network, tokenizer: Any, room: Room
) -> tuple[Means, dict[str, str]]:
    """Mean contributions, and what the file says of them: over what, and a digest of these documents."""
    data = read(Path(Layout(config).documents_for(model, asked.task)))
    chosen = reference(data.documents, asked.limit)
    texts = [text_of(document.requests, document.gold) for document in chosen]
    packed = encode(network.model, tokenizer, texts, [document.doc_id for document in chosen], data.rolling)
    batches = batches_for(network.model, packed, config.models[model].batch_tokens)
    counts = tuple(batch.tokens for batch in batches)
    division = Division(counts, network.hidden_size * network.dtype.itemsize, room)
    runs = division.grouping([full(network.players)], network.stages).runs(counts)
    about = f"{len(chosen)} documents of {asked.task}, the last of their order"
    if asked.task in config.scored_tasks:
        scored = config.limit(model, asked.task)
        twice = len(chosen) - (len(data.documents) - min(scored or len(data.documents), len(data.documents)))
        if twice > 0:
            about += f" ({min(twice, len(chosen))} of them are scored, too)"
    log(f"{model}: mean contributions of its sublayers over {about}")
    told = {"means_over": about, "documents": replace(data, documents=chosen).digest}
    return mean_contributions(network, batches, runs), told


def _write(means: Means, about: dict[str, str], path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {_CONTRIBUTIONS: means.contributions, **{f"{_HEADS}{p}": mean for p, mean in means.heads.items()}}
    save_file(tensors, path, about)


def _read(path: Path, network: Network) -> Means:
    from safetensors.torch import load_file

    try:
        with reading.foreign(path, "safetensors file"):
            tensors = load_file(path)
        means = Means(
            tensors[_CONTRIBUTIONS],
            {int(key.removeprefix(_HEADS)): mean for key, mean in tensors.items() if key.startswith(_HEADS)},
        )
        problem = "" if _fits(means, network) else "it is of another model, or damaged"
    except UnreadableError as error:
        problem = f"it {error.problem}"
    except (KeyError, ValueError) as error:
        problem = f"it is damaged ({first_line(error)})"
    if problem:
        raise StoreError(f"{path} can't be used: {problem}. Delete it; the next job makes it again.")
    return means


def _fits(means: Means, network: Network) -> bool:
    sublayers = sum(len(stage.switches) for stage in network.stages)
    heads = {place: each.count for place in range(sublayers) if (each := network.heads(place)) is not None}
    return (
        means.contributions.shape == (sublayers, network.hidden_size)
        and means.heads.keys() == heads.keys()
        and all(mean.ndim == 1 and len(mean) % heads[place] == 0 for place, mean in means.heads.items())
        and _finite(means)
    )


def _finite(means: Means) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in (means.contributions, *means.heads.values()))
