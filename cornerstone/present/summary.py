"""What was found, on one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from cornerstone import reading
from cornerstone.analysis import paper
from cornerstone.config.config import Config
from cornerstone.config.pairs import Pair, name_of
from cornerstone.files import read_csv, write_noted
from cornerstone.game.functions import LOGARITHMS
from cornerstone.present.comparisons import findings as findings_of_pair
from cornerstone.present.figures import figure
from cornerstone.present.noise import sentences


@dataclass(frozen=True)
class Compared:
    """What was found of two models side by side.

    Attributes:
        concentration: its concentration.csv.
        agreement: its agreement.csv; None where the models have different players.
        figures: pictures, each named after the kind of its figure.
    """

    concentration: pd.DataFrame
    agreement: pd.DataFrame | None
    figures: Sequence[Path]


def compared(
    pairs: Sequence[Pair], concentration: Sequence[str], agreement: Sequence[str], figures: Sequence[str]
) -> dict[Pair, Compared]:
    """What was found of each pair, from the files of all; a file's folder is named after its pair.

    Args:
        pairs: of models.
        concentration: concentration.csv of each.
        agreement: agreement.csv of those with equal players.
        figures: pictures of all.
    """
    agreed = {Path(path).parent.name: read_csv(Path(path)) for path in agreement}
    found = {}
    for pair, share in zip(pairs, concentration, strict=True):
        drawn = [Path(path) for path in figures if Path(path).parent.name == name_of(pair)]
        found[pair] = Compared(read_csv(Path(share)), agreed.get(name_of(pair)), drawn)
    return found


def write(
    config: Config,
    cornerstones: Mapping[str, pd.DataFrame],
    baselines: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Sequence[Path]],
    tables: Sequence[Path],
    target: Path,
    comparisons: Mapping[Pair, Compared] = MappingProxyType({}),
    noise: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    functions: Mapping[tuple[str, str], pd.DataFrame] = MappingProxyType({}),
) -> None:
    """Write what was found as one Markdown page: cornerstones with intervals, figures, tables.

    Args:
        config: the configuration.
        cornerstones: model -> cornerstones.csv.
        baselines: model -> baselines.csv.
        figures: model -> pictures, each named after the kind of its figure.
        tables: Markdown files.
        target: the page; pictures are named relative to its folder.
        comparisons: what was found of each pair of models (`compared`).
        noise: model -> noise.csv, where it was measured.
        functions: (model, value function other than accuracy) -> cornerstones.csv by that.
    """
    level = config.intervals.level
    parts = ["# What was found\n"]
    for model in config.run:
        words = findings(cornerstones[model], baselines[model], config.headline.name, level)
        parts += [f"## {model}\n", words]
        parts += [
            f"By {function}: {_named(frame, level)}\n" for (of, function), frame in functions.items() if of == model
        ]
        if model in noise:
            parts.append(f"{sentences(config, noise[model], cornerstones[model], baselines[model])}\n")
        for picture in figures[model]:
            caption = figure(picture.stem).caption(model, baselines[model], level)
            place = picture.relative_to(target.parent).as_posix()
            parts.append(f"![{picture.stem}]({place})\n\n*{caption}*\n")
    for (first, second), compared in comparisons.items():
        both = f"{first} and {second}"
        parts += [f"## {both}\n", findings_of_pair(compared.concentration, compared.agreement, level)]
        for picture in compared.figures:
            caption = figure(picture.stem).caption(first, baselines[first], level, both)
            parts.append(f"![{picture.stem}]({picture.relative_to(target.parent).as_posix()})\n\n*{caption}*\n")
    parts += [reading.text(path) for path in tables]
    write_noted(target, "\n".join(parts))


def findings(cornerstones: pd.DataFrame, baselines: pd.DataFrame, estimator: str, level: float) -> str:
    """Say in words which layers matter and how sure that is.

    Args:
        cornerstones: cornerstones.csv of a model.
        baselines: its baselines.csv.
        estimator: its name.
        level: coverage of the intervals.
    """
    top = cornerstones.sort_values("rank").head(5)
    unit = "points" if _logarithms(baselines) else "points of accuracy"
    lines = [
        f"Highest layer Shapley values, mean over {len(baselines)} tasks "
        f"({baselines['documents'].sum()} documents; estimator: {estimator}), in {unit} with {level:.0%} intervals "
        "over documents:\n",
        "| rank | layer | value | interval |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {rank} | {player} | {100 * value:.1f} | {100 * low:.1f} to {100 * high:.1f} |"
        for rank, player, value, low, high in top[["rank", "player", "value", "low", "high"]].to_numpy().tolist()
    ]
    verdict = _verdict(cornerstones, level)
    published = paper.CORNERSTONES.get(str(cornerstones["model"].iloc[0]))
    if published:
        verdict += f" The paper names {', '.join(published)}."
    lines += ["", f"{verdict}\n", f"{_baselines(baselines)}\n"]
    return "\n".join(lines)


def _logarithms(baselines: pd.DataFrame) -> list[str]:
    """The metrics among those of the tasks that are worth the logarithm of a perplexity."""
    return [metric for metric in LOGARITHMS if metric in set(baselines.get("metric", ()))]


def _baselines(baselines: pd.DataFrame) -> str:
    """What the original model scores, and what is left without any sublayer, in words."""
    original, empty = (100 * baselines[column].mean() for column in ("original", "empty"))
    if logarithms := _logarithms(baselines):
        return (
            f"Points are hundredths of {'-' if logarithms[0] == 'bits_per_byte' else '-ln of '}{logarithms[0]}. The "
            f"original model has {original:.1f}; without any sublayer: {empty:.1f}."
        )
    known = baselines["chance"].dropna()
    guessed = f"; chance: {100 * known.mean():.1f} %" if len(known) == len(baselines) else ""
    return f"Mean accuracy of the original model: {original:.1f} %; without any sublayer: {empty:.1f} %{guessed}."


def _named(cornerstones: pd.DataFrame, level: float) -> str:
    """Which layers are significantly among the highest, and which above the median layer, in words."""
    named = {
        column: ", ".join(cornerstones.loc[cornerstones[column].astype(bool), "player"])
        for column in ("cornerstone", "above_median")
    }
    return (
        f"Cornerstones, significantly among the three highest layers ({level:.0%}, adjusted for testing every layer): "
        f"**{named['cornerstone'] or 'none'}**. Significantly above the median layer: "
        f"{named['above_median'] or 'none'}."
    )


def _verdict(cornerstones: pd.DataFrame, level: float) -> str:
    """What `_named` says, and what the layers are worth that one half of the documents chose, on the other half."""
    first = _named(cornerstones, level)
    if cornerstones["chosen"].isna().all():
        return f"{first} There are too few documents to choose layers on one half and value them on the other."
    chosen = cornerstones[cornerstones["chosen"].astype(bool)]
    held = "; ".join(
        f"{player} {100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        for player, value, low, high in chosen[["player", "held_out", "held_out_low", "held_out_high"]]
        .to_numpy()
        .tolist()
    )
    return f"{first} Highest on one half of the documents, and their values on the other half: {held}."
