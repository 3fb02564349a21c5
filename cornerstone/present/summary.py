"""What was found, on one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cornerstone.analysis import paper
from cornerstone.config.config import Config
from cornerstone.files import write_text
from cornerstone.game.functions import LOGARITHMS
from cornerstone.present.figures import figure


def write(
    config: Config,
    cornerstones: Mapping[str, pd.DataFrame],
    baselines: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Sequence[Path]],
    tables: Sequence[Path],
    target: Path,
) -> None:
    """Write what was found as one Markdown page: cornerstones with intervals, figures, tables.

    Args:
        config: the configuration.
        cornerstones: model -> cornerstones.csv.
        baselines: model -> baselines.csv.
        figures: model -> pictures, each named after the kind of its figure.
        tables: Markdown files.
        target: the page; pictures are named relative to its folder.
    """
    level = config.intervals.level
    parts = ["# What was found\n"]
    for model in config.run:
        words = findings(cornerstones[model], baselines[model], config.headline.name, level)
        parts += [f"## {model}\n", words]
        for picture in figures[model]:
            caption = figure(picture.stem).caption(model, baselines[model], level)
            place = picture.relative_to(target.parent).as_posix()
            parts.append(f"![{picture.stem}]({place})\n\n*{caption}*\n")
    parts += [path.read_text(encoding="utf-8") for path in tables]
    write_text(target, "\n".join(parts))


def findings(cornerstones: pd.DataFrame, baselines: pd.DataFrame, estimator: str, level: float) -> str:
    """Say in words which layers matter and how sure that is.

    Args:
        cornerstones: cornerstones.csv of a model.
        baselines: its baselines.csv.
        estimator: its name.
        level: coverage of the intervals.
    """
    top = cornerstones.sort_values("rank").head(5)
    lines = [
        f"Highest layer Shapley values, mean over {len(baselines)} tasks "
        f"({baselines['documents'].sum()} documents; estimator: {estimator}), in points of "
        f"accuracy with {level:.0%} intervals over documents:\n",
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


def _baselines(baselines: pd.DataFrame) -> str:
    """What the original model scores, and what is left without any sublayer, in words."""
    original, empty = (100 * baselines[column].mean() for column in ("original", "empty"))
    logarithms = [metric for metric in LOGARITHMS if metric in set(baselines.get("metric", ()))]
    if logarithms:
        return (
            f"Points are hundredths of {'-' if logarithms[0] == 'bits_per_byte' else '-ln of '}{logarithms[0]}. The "
            f"original model has {original:.1f}; without any sublayer: {empty:.1f}."
        )
    known = baselines["chance"].dropna()
    guessed = f"; chance: {100 * known.mean():.1f} %" if len(known) == len(baselines) else ""
    return f"Mean accuracy of the original model: {original:.1f} %; without any sublayer: {empty:.1f} %{guessed}."


def _verdict(cornerstones: pd.DataFrame, level: float) -> str:
    """Which layers are significantly more important than the median layer, in words."""
    above = cornerstones.loc[cornerstones["above_median"].astype(bool), "player"].tolist()
    first = (
        f"Significantly above the median layer on all documents ({level:.0%}, adjusted for testing every layer): "
        f"**{', '.join(above)}**."
        if above
        else f"On all documents no layer is significantly above the median layer ({level:.0%}, adjusted for testing "
        "every layer)."
    )
    if cornerstones["cornerstone"].isna().all():
        return f"{first} There are too few documents to choose layers on one half and test them on the other."
    chosen = cornerstones[cornerstones["chosen"].astype(bool)]
    held = "; ".join(
        f"{player} {100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f}, p = {p:.2g})"
        for player, value, low, high, p in chosen[["player", "held_out", "held_out_low", "held_out_high", "held_out_p"]]
        .to_numpy()
        .tolist()
    )
    confirmed = chosen.loc[chosen["cornerstone"].astype(bool), "player"].tolist()
    return (
        f"{first} Highest on one half of the documents, tested on the other half: {held}. Cornerstones confirmed "
        f"so: **{', '.join(confirmed) or 'none'}**."
    )
