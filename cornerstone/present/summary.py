"""From files of estimates to files for readers: tables, figures, and the summary.

What draws is imported where a figure is drawn: matplotlib would take half of the time of the other jobs.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cornerstone import estimators
from cornerstone.analysis import paper
from cornerstone.analysis import shapley as estimate
from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.estimators import ablation
from cornerstone.files import write_text
from cornerstone.game import game
from cornerstone.plan.layout import Layout
from cornerstone.present import tables
from cornerstone.present.figures import captions

TABLE_CAPTIONS = {
    "table1": "Share of the cornerstones in the sum of all layer Shapley values (negative values set to 0 first), "
    "mean over tasks.",
    "table2": "Cornerstone layers: the three highest values (the paper's rule); layers significantly above the median "
    "layer (Holm); and those chosen on one half of the documents that are so on the other half.",
    "table3": "Mean drop of the metric when one cornerstone or one other layer is removed, in points. `clipped` sets "
    "drops below 0 to 0 as the paper does; the interval is that of the unclipped drop.",
    "table4": "Mean drop of the metric when one layer that is no cornerstone is removed, in points, by task.",
    "hypotheses": "The paper's two hypotheses about cornerstone layers (1) and the others (2): what each predicts, and "
    "what was measured (points of accuracy, mean over tasks). A verdict is `open` where the interval decides nothing.",
    "estimators": "The estimators side by side, mean over tasks, in points: gap between the sum of the values and "
    "v(N) - v(no player), which is 0 for Shapley values; mean standard error, and its parts; distance from the exact "
    "values, where they were computed.",
}


def write_tables(config: Config, values: list[Path], cornerstones: list[Path], folder: Path) -> None:
    """Write Tables 1-4, hypotheses and estimators for all active models as CSV, Markdown and LaTeX.

    Args:
        config: the configuration.
        values: the Parquet file of each model and task, tasks within models, in the config's order.
        cornerstones: the CSV file of each model.
        folder: where they go.
    """
    ranked = [pd.read_csv(path) for path in cornerstones]
    parts: dict[str, list[pd.DataFrame]] = {"table1": [], "table3": [], "table4": []}
    per_model = len(config.run_tasks)
    for i, (model, table) in enumerate(zip(config.run, ranked, strict=True)):
        games = game.read_all(config, model, values[i * per_model : (i + 1) * per_model])
        names = [player.name for player in config.models[model].all_players()]
        top = estimate.top_players(table, model)
        found = estimators.estimate(config.estimators[0], games, config.seed, config.intervals.bootstrap)
        shapley = {task: values.documents for task, values in found.items()}
        drops = {task: ablation.estimate(g) for task, g in games.items()}
        clusters = {task: g.clusters for task, g in games.items()}
        level = config.intervals.level
        parts["table1"].append(
            tables.table1(
                shapley,
                names,
                model,
                top,
                seed=config.seed,
                repetitions=config.intervals.bootstrap,
                level=level,
                clusters=clusters,
            )
        )
        parts["table3"].append(tables.table3(drops, names, model, top, level=level, clusters=clusters))
        parts["table4"].append(tables.table4(drops, names, model, top, level=level, clusters=clusters))
    finished = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    finished["table2"] = tables.table2(pd.concat(ranked, ignore_index=True))
    beside = [path.parent for path in cornerstones]
    finished["hypotheses"] = tables.hypotheses(pd.concat([pd.read_csv(f / "hypotheses.csv") for f in beside]))
    finished["estimators"] = tables.estimators(pd.concat([pd.read_csv(f / "estimators.csv") for f in beside]))
    for name, frame in finished.items():
        tables.write_table(frame, folder / name, TABLE_CAPTIONS[name])


def write_figure(config: Config, kind: str, model: str, folder: Path, values: Path, stem: Path) -> None:
    """Draw one figure of a model as SVG, PDF and PNG.

    Args:
        config: the configuration.
        kind: `shares` (the paper's Figure 2), `ablation` (3-5), `values` (6), `interactions`, `assumptions` or
            `deletion`.
        model: its name.
        folder: the model's folder of estimates.
        values: the Shapley values of the headline estimator.
        stem: the figure's path without ending.

    Raises:
        CornerstoneError: there is no such figure.
    """
    from cornerstone.present.figures import drawing, interactions, paper

    shapley = pd.read_csv(values)
    baselines = pd.read_csv(folder / "baselines.csv")
    if kind == "shares":
        top = estimate.top_players(pd.read_csv(folder / "cornerstones.csv"), model)
        figure = paper.shares(shapley, model, top)
    elif kind == "ablation":
        figure = paper.ablation(pd.read_csv(folder / "ablation.csv"), baselines, model)
    elif kind == "values":
        figure = paper.values(shapley, model)
    elif kind == "deletion":
        figure = paper.deletion(pd.read_csv(folder / "deletion.csv"), baselines, model)
    elif kind == "interactions":
        layout = Layout(config)
        frame = pd.read_csv(layout.interactions(model, layout.interaction_names(model)[0]))
        names = [player.name for player in config.models[model].all_players()]
        figure = interactions.interactions(frame, names, model)
    elif kind == "assumptions":
        removed, distance = (pd.read_csv(folder / f"{name}.csv") for name in ("by_removed", "by_distance"))
        figure = interactions.assumptions(removed, distance, model)
    else:
        raise CornerstoneError(f"there is no figure '{kind}'; there are {', '.join(captions.CAPTIONS)}")
    drawing.save_figure(figure, stem)


def write_summary(config: Config, path: Path) -> None:
    """Write what was found as one Markdown page: cornerstones with intervals, tables, figures."""
    results = Path(Layout(config).results)
    parts = ["# What was found\n"]
    for model in config.run:
        baselines = pd.read_csv(results / model / "baselines.csv")
        table = pd.read_csv(results / model / "cornerstones.csv")
        parts += [f"## {model}\n", findings(table, baselines, config.estimators[0].name, config.intervals.level)]
        for kind in Layout(config).figure_kinds(model):
            caption = captions.caption(kind, model, baselines, config.intervals.level)
            parts.append(f"![{kind}](figures/{model}/{kind}.png)\n\n*{caption}*\n")
    for name in TABLE_CAPTIONS:
        parts.append((results / "tables" / f"{name}.md").read_text(encoding="utf-8"))
    write_text(path, "\n".join(parts))


def findings(cornerstones: pd.DataFrame, baselines: pd.DataFrame, estimator: str, level: float) -> str:
    """Say in words which layers matter and how sure that is.

    Args:
        cornerstones: what `estimate.cornerstones` returned.
        baselines: what `estimate.baselines` returned.
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
    original, empty, chance = (100 * baselines[column].mean() for column in ("original", "empty", "chance"))
    lines += [
        "",
        f"{verdict}\n",
        f"Mean accuracy of the original model: {original:.1f} %; without any sublayer: {empty:.1f} %; "
        f"chance: {chance:.1f} %.\n",
    ]
    return "\n".join(lines)


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
