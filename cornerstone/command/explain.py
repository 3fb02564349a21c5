"""`cornerstone show`, `explain`, `compare`: what results say of a coalition, a layer, two layers or two models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.analysis import games, intervals
from cornerstone.command.said import Said, interval, number, rows, table
from cornerstone.config.config import Config
from cornerstone.errors import CoalitionError, ConfigError, CornerstoneError, StoreError
from cornerstone.evaluate import result
from cornerstone.files import read_csv
from cornerstone.game.coalitions import parse, removed_from
from cornerstone.game.functions import LOGARITHMS
from cornerstone.game.game import ACCURACY, MEAN
from cornerstone.game.players import player_named
from cornerstone.outputs.results import Results
from cornerstone.plan import layout
from cornerstone.plan.layout import Layout
from cornerstone.plan.making import making
from cornerstone.present.page.units import mean_unit, unit_of

PAIRS = 4
"""Pairs of a layer that are named."""
COMPARING = "docs/comparing-models.md"
"""Where it is said how models are compared."""


def show(config: Config, coalition: str, files: Sequence[Path] = ()) -> Said:
    """What a coalition scores on each task, with the paired difference from the whole model.

    Args:
        config: the configuration.
        coalition: its name, such as `drop-ffn0-attn3`.
        files: that the configuration is from, for the command that makes what is not there.

    Raises:
        CoalitionError: no model has such a coalition.
        StoreError: no result of it is there; the message says how to have it made.
    """
    models = _having(config, coalition)
    found = [row for model in models for row in _scores(config, model, coalition)]
    lacking = _lacking(config, models, coalition)
    if not found:
        raise StoreError(f"{coalition} was not evaluated. To have it made: {making(lacking, files)}")
    removed = removed_from(
        parse(coalition, config.models[models[0]].all_players()), config.models[models[0]].all_players()
    )
    names = [player.name for player in removed]
    heads = ["model and task", "metric", "whole", coalition if len(coalition) < 30 else "without", "difference"]
    lines = [
        [
            f"{row['model']} {row['task']}",
            row["metric"],
            number(row["whole"], row["unit"]),
            number(row["score"], row["unit"]),
            interval(row, "difference", row["unit"]),
        ]
        for row in found
    ]
    head = f"{coalition}: without {', '.join(names) or 'nothing'}"
    others = list(dict.fromkeys(row["metric"] for row in found if row["unit"] != ACCURACY))
    note = "Differences are paired, with intervals at the configured level. Accuracy is in points"
    note += f", {', '.join(others)} as it is." if others else "."
    if len(removed) == 1:
        note += "\nTables and the page draw the variances of all layers together, so their intervals differ a little."
    if lacking:
        note += f"\nSome of it was not evaluated. To have it made: {making(lacking, files)}"
    for row in found:
        del row["unit"]
    return Said(
        f"{head}\n\n{table(heads, lines)}\n\n{note}",
        {"coalition": coalition, "removed": names, "tasks": found, "missing": lacking},
    )


def _lacking(config: Config, models: Sequence[str], coalition: str) -> list[str]:
    """The results that `_scores` does not find, of the coalition and of the whole model."""
    paths, found = Layout(config), []
    for model in models:
        for task in config.scored_tasks:
            one = paths.coalition(model, task, coalition)
            if not any(Path(path).is_file() for path in (one, paths.deletion_coalition(model, task, coalition))):
                found.append(one)
            if not Path(whole := paths.coalition(model, task, "full")).is_file():
                found.append(whole)
    return list(dict.fromkeys(found))


def _having(config: Config, coalition: str) -> list[str]:
    """The models that have a coalition of that name."""
    models, problem = [], None
    for model in config.run:
        try:
            parse(coalition, config.models[model].all_players())
            models.append(model)
        except CoalitionError as error:
            problem = problem or error
    if not models and problem is not None:
        raise problem
    return models


def _scores(config: Config, model: str, coalition: str) -> Iterator[dict[str, Any]]:
    paths, level = Layout(config), config.intervals.level
    for task in config.scored_tasks:
        choices = (paths.coalition(model, task, coalition), paths.deletion_coalition(model, task, coalition))
        path = next((Path(choice) for choice in choices if Path(choice).is_file()), None)
        whole = Path(paths.coalition(model, task, "full"))
        if path is None or not whole.is_file():
            continue
        metric = config.task(task).metric
        one, other = result.read(path), result.read(whole)
        row: dict[str, Any] = {
            "model": model,
            "task": task,
            "metric": metric,
            "whole": float(other["results"][task][f"{metric},none"]),
            "score": float(one["results"][task][f"{metric},none"]),
            "low": float("nan"),
            "high": float("nan"),
            "unit": metric if metric in LOGARITHMS else ACCURACY,
        }
        row["difference"] = row["score"] - row["whole"]
        if metric not in LOGARITHMS:
            row |= _paired(config, model, task, one["documents"], other["documents"], metric, level)
        yield row


def _paired(config: Config, model: str, task: str, one: Any, other: Any, metric: str, level: float) -> dict[str, Any]:
    """The difference on the documents that both hold; documents of one cluster count together where they are known."""
    frame = pd.DataFrame({"doc_id": one["doc_id"], "one": one[metric]})
    both = frame.merge(pd.DataFrame({"doc_id": other["doc_id"], "other": other[metric]}), on="doc_id")
    values = Path(Layout(config).values(model, task))
    labels = both["doc_id"].astype(str)
    if values.is_file():
        known = games.read_values(values, ["doc_id", "cluster"])
        known = known.drop_duplicates("doc_id").set_index("doc_id")
        labels = both["doc_id"].map(known["cluster"]).fillna(labels)
    difference = (both["one"] - both["other"]).to_numpy(np.float64)[:, None]
    try:
        found = intervals.over_documents(difference, labels.to_numpy(dtype=str), level)
    except CornerstoneError:  # too few documents for an interval
        return {"whole": both["other"].mean(), "score": both["one"].mean(), "documents": len(both)}
    return {
        "whole": float(both["other"].mean()),
        "score": float(both["one"].mean()),
        "difference": float(found.value[0]),
        "low": float(found.low[0]),
        "high": float(found.high[0]),
        "documents": len(both),
    }


def explain(config: Config, layer: str) -> Said:
    """All that the results say of a layer: its value by each value function, what its removal costs, its pairs.

    Args:
        config: the configuration.
        layer: a player, such as `ffn0`.

    Raises:
        CoalitionError: no model has such a player.
        StoreError: results are missing.
    """
    models = [name for name in config.run if any(p.name == layer for p in config.models[name].all_players())]
    if not models:
        player_named(layer, config.models[config.run[0]].all_players())  # which says what there is
    parts = [_of_layer(config, model, layer) for model in models]
    return Said("\n\n".join(text for text, _ in parts), {"layer": layer, "models": [data for _, data in parts]})


def _of_layer(config: Config, model: str, layer: str) -> tuple[str, dict[str, Any]]:
    paths, headline = Layout(config), config.headline.name

    def read(stem: str) -> pd.DataFrame:
        return read_csv(Path(paths.csv(model, stem)))

    lines = [f"{layer} of {model}, by {headline}"]
    functions: dict[str, Any] = {}
    for function in config.functions:
        values = read(layout.shapley(headline, function)).query("player == @layer")
        verdict = read(layout.cornerstones(function)).query("player == @layer").iloc[0]
        mean = values[values["task"] == MEAN].iloc[0]
        said = "a cornerstone" if verdict["cornerstone"] else "not confirmed as a cornerstone"
        said += (
            ", clearly above the median layer" if verdict["above_median"] else ", not clearly above the median layer"
        )
        lines += [
            "",
            f"{function}: {interval(mean, 'value', function)} {mean_unit(function, config).name}, rank {mean['rank']} "
            f"(truly {mean['rank_low']} to {mean['rank_high']}); {said}",
            table(
                ["  task", unit_of(function, config).name, "rank"],
                [
                    [f"  {row['task']}", interval(row, "value", function), f"{row['rank_low']} to {row['rank_high']}"]
                    for row in values[values["task"] != MEAN].to_dict("records")
                ],
            ),
        ]
        functions[function] = {
            "mean": rows(values[values["task"] == MEAN])[0],
            "tasks": rows(values[values["task"] != MEAN]),
            "cornerstone": bool(verdict["cornerstone"]),
            "above_median": bool(verdict["above_median"]),
        }
    drops = read("ablation").query("player == @layer")
    mean = drops[drops["task"] == MEAN].iloc[0]
    lines += [
        "",
        f"Without it alone, accuracy is {number(mean['accuracy'])}: a drop of {interval(mean, 'drop')} "
        f"{unit_of(ACCURACY, config).name}.",
    ]
    pairs = _pairs(config, model, layer)
    if len(pairs):
        lines += ["", "Its strongest pairs (below 0 they do the same work, above 0 they need each other):"]
        lines.append(
            table(
                ["  with", unit_of(ACCURACY, config).name],
                [[f"  {row['other']}", interval(row)] for row in pairs.to_dict("records")],
            )
        )
    data = {"model": model, "values": functions, "drops": rows(drops), "pairs": rows(pairs)}
    return "\n".join(lines), data


def _pairs(config: Config, model: str, layer: str) -> pd.DataFrame:
    names = config.interaction_names(model)
    if not names:
        return pd.DataFrame()
    frame = read_csv(Path(Layout(config).csv(model, layout.interactions(names[0]))))
    frame = frame[(frame["task"] == MEAN) & ((frame["first"] == layer) | (frame["second"] == layer))].copy()
    frame.insert(0, "other", np.where(frame["first"] == layer, frame["second"], frame["first"]))
    order = frame["value"].abs().sort_values(ascending=False, kind="stable").index[:PAIRS]
    return frame.loc[order]


def compare(config: Config, first: str, second: str) -> Said:
    """Two layers, with the paired difference of their values; or two models of `compare`.

    Raises:
        ConfigError: the two are models that `compare` does not name.
        CoalitionError: one of them is no player.
        StoreError: results are missing.
    """
    if first in config.run and second in config.run:
        return _models(config, first, second)
    results = Results(Path(config.paths.results), config)
    try:
        frames = [results.contrast(first, second, function) for function in config.functions]
    except CoalitionError as error:
        raise CoalitionError(f"{error} {_of_models(config, first, second)}") from error
    frame = pd.concat(frames, ignore_index=True)
    lines = [
        [
            f"{row['model']} {row['task']}",
            row["function"],
            number(row["first_value"], row["function"]),
            number(row["second_value"], row["function"]),
            interval(row, "difference", row["function"]),
            f"{row['p']:.3f}",
        ]
        for row in frame.to_dict("records")
    ]
    heads = ["model and task", "value function", first, second, "difference", "p"]
    note = f"{_units(config)}\nBoth values are of the same documents, so differences are paired."
    return Said(f"{table(heads, lines)}\n\n{note}", {"first": first, "second": second, "rows": rows(frame)})


def _of_models(config: Config, first: str, second: str) -> str:
    """What to do where two models were meant, and not two layers."""
    if first in config.models and second in config.models:
        there = f"These are models, and of these {', '.join(config.run)} were run. "
        return f"{there}To compare them, name both in `run` and as [{first}, {second}] in `compare` ({COMPARING})."
    return f"Two models are compared where `compare` of the configuration names them ({COMPARING})."


def _units(config: Config) -> str:
    """In which unit the values of each value function are."""
    parts = []
    for function in config.functions:
        one, mean = unit_of(function, config).name, mean_unit(function, config).name
        parts.append(f"{function}: {one}" + ("" if one == mean else f" on a task, {mean} in the mean over tasks"))
    return f"Units: {'; '.join(parts)}."


def _models(config: Config, first: str, second: str) -> Said:
    pair = next((pair for pair in config.pairs if set(pair) == {first, second}), None)
    if pair is None:
        raise ConfigError(
            f"{first} and {second} are not compared. Add [{first}, {second}] to `compare` in the configuration and run "
            f"the workflow ({COMPARING})."
        )
    paths = Layout(config).compared(pair)
    bands = read_csv(Path(paths["bands"])).query("task == @MEAN")
    data: dict[str, Sequence[Any]] = {"first": pair[0], "second": pair[1], "bands": rows(bands)}
    lines = [
        [f"{row['quantity']}, {row['role']}, depth {row['from_depth']:.2f} to {row['to_depth']:.2f}",
         number(row["first_value"]), number(row["second_value"]), interval(row, "difference")]
        for row in bands.to_dict("records")
    ]  # fmt: skip
    text = table(["mean over tasks, in points", pair[0], pair[1], "difference"], lines)
    if "differences" in paths:
        layers = read_csv(Path(paths["differences"])).query("task == @MEAN and differs")
        data["layers"] = rows(layers)
        names = [
            f"{row['player']} ({row['quantity']}) {interval(row, 'difference')}" for row in layers.to_dict("records")
        ]
        text += f"\n\nLayers that differ: {', '.join(names) or 'none significantly'}."
    return Said(text, data)
