"""All that the page of one model shows: texts for the template, data and specifications for the charts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from cornerstone import __version__
from cornerstone.config.sections import Paths
from cornerstone.game.game import ACCURACY
from cornerstone.present.figures import kinds
from cornerstone.present.page import (
    answer,
    flips,
    power,
    provenance,
    published,
    removal,
    row_specs,
    size,
    specs,
    trust,
    values,
)
from cornerstone.present.page.flips import Read
from cornerstone.present.page.source import Source
from cornerstone.present.page.theme import themes
from cornerstone.present.page.units import mean_unit, unit_of


def data(source: Source, read: Read) -> dict[str, Any]:
    """What the page's script reads.

    Args:
        source: the model's tables.
        read: reads the result of a coalition.
    """
    return {
        "model": source.model,
        "noun": source.noun,
        "level": source.level,
        "players": values.players(source),
        "axis": values.axis(source),
        "tasks": values.tasks(source),
        "functions": {function: unit_of(function, source.config).name for function in source.config.functions},
        "means": {function: mean_unit(function, source.config).name for function in source.config.functions},
        "estimators": [entry.name for entry in source.config.estimators],
        "values": values.shapley(source),
        "ablation": values.ablation(source),
        "baselines": values.baselines(source),
        "pairs": values.interactions(source),
        "removal": removal.of(source),
        "size": size.of(source),
        "flips": flips.of(source, read),
        "specs": drawings(source),
        "themes": themes(),
        "command": commands(source),
        **switches(source),
    }


def switches(source: Source) -> dict[str, Any]:
    """What the switches of the page offer (`choices`), under which names (`labels`), and where they stand first."""
    curves = removal.of(source)
    names = source.players["player"].tolist()
    counts = [str(count) for count in curves.get("counts", [0])]
    orders, directions = curves.get("orders", {}), curves.get("directions", {})
    choices = {
        "layer": names,
        "function": list(source.config.functions),
        "task": [*reversed(values.tasks(source))],
        "estimator": [entry.name for entry in source.config.estimators],
        "order": ["depth", "value"],
        "direction": list(directions),
        "every": ["two", "all"],
        "axis": ["count", *(["parameters", "flop"] if size.known(source) else [])],
        "by": list(orders),
        "remove": counts,
        "flips": ["change", "lost", "won", "task"],
    }
    top = source.table("cornerstones").sort_values("rank", kind="stable")["player"].iloc[0]
    return {
        "choices": choices,
        "labels": {
            "task": values.tasks(source),
            "order": {"depth": "by depth", "value": "by value"},
            "direction": directions,
            "axis": {"count": f"{source.noun}s", "parameters": "parameters", "flop": "operations"},
            "by": orders,
        },
        "defaults": {name: offered[0] for name, offered in choices.items() if offered} | {"layer": str(top)},
        "two": [order for order in ("shapley", "depth") if order in orders],
    }


def commands(source: Source) -> str:
    """The commands that write a checkpoint without some layers, and that score the coalition on every task.

    To be filled in: `{layers}`, their names with commas between, and `{coalition}`, its name. A model whose players are
    parts of sublayers, or whose removed sublayers leave their mean, can't be pruned. Where the results are not in
    `results`, another file than config.yaml made them: then both name the settings that the page holds.
    """
    model = source.config.models[source.model]
    pruned = model.players not in ("experts", "heads") and model.reference is None
    paths = [source.layout.coalition(source.model, task, "{coalition}") for task in source.config.scored_tasks]
    own = source.layout.results == Paths().results
    prune, score = ("", "") if own else (" --config settings.yaml", " --configfile settings.yaml")
    lines = [] if own else ["# settings.yaml: save what this page shows under Settings"]
    if pruned:
        lines.append(f"cornerstone prune {source.model} --layers {{layers}} --out {source.model}-pruned{prune}")
    return "\n".join([*lines, " ".join(["snakemake --cores 2", *paths]) + score])


def drawings(source: Source) -> dict[str, Any]:
    """The specifications of all charts; those that name a unit, once for each value function."""
    names = list(dict.fromkeys(player["kind"] for player in values.players(source)))
    axis, count = values.axis(source), len(source.players)
    tasks = list(values.tasks(source).values())
    units = {function: unit_of(function, source.config).name for function in source.config.functions}
    means = {function: mean_unit(function, source.config).name for function in source.config.functions}
    made: dict[str, Any] = {
        "map": {
            function: {
                order: specs.atlas(unit, means[function] != unit, names, axis, count, tasks, order == "value")
                for order in ("depth", "value")
            }
            for function, unit in units.items()
        },
        "top": {function: row_specs.forest([unit], names, "player") for function, unit in units.items()},
        "tasks": {function: row_specs.forest([unit], names, "task") for function, unit in units.items()},
    }
    if source.has("interactions"):
        rows = values.distances(source)
        made["pairs"] = {function: row_specs.strip(unit, axis, count, rows) for function, unit in means.items()}
    if source.has("deletion"):
        orders = list(removal.of(source)["orders"].values())
        made["removed"] = row_specs.curves(metric(source), orders)
    return made


def metric(source: Source) -> str:
    """What the value function `accuracy` is called on an axis."""
    unit = unit_of(ACCURACY, source.config)
    return "accuracy (%)" if unit.name == "points of accuracy" else unit.name


def context(source: Source, read: Read) -> dict[str, Any]:
    """What the template of a model's page fills in."""
    has_pairs = source.has("interactions")
    return {
        "model": source.model,
        "noun": source.noun,
        "level": f"{source.level:.0%}",
        "header": answer.header(source),
        "when": provenance.when(source),
        "version": __version__,
        "cards": answer.cards(source),
        "sure": answer.how_sure(source),
        "power": power.sentences(Path(source.layout.results, source.model)),
        "warnings": answer.warnings(source),
        "static_map": static_map(source),
        "figures": figures(source),
        "has_pairs": has_pairs,
        "has_removal": source.has("deletion"),
        "has_size": size.known(source),
        "cross_fitted": source.has("deletion") and removal.cross_fitted(source),
        "removal": removal.summary(source) if source.has("deletion") else "",
        "claims": {
            name: [claim for claim in published.claims(source) if claim.task == task]
            for task, name in reversed(values.tasks(source).items())
        },
        "published": published.known(source),
        "tables": published.tables(source),
        "estimators": trust.estimators(source),
        "not_counted": trust.not_counted(source),
        "noise": trust.noise(source),
        "facts": provenance.facts(source, read),
        "settings": provenance.settings(source),
        "commands": provenance.commands(),
        "files": provenance.files(source),
        "report": provenance.REPORT,
        "report_path": source.layout.report,
        "citations": [provenance.PAPER, provenance.software()],
    }


def static_map(source: Source) -> str:
    """The figure of all values as the address of an image that holds it: what is seen without JavaScript."""
    path = Path(source.layout.figure(source.model, "values")[0])
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}" if path.is_file() else ""


def for_paper(files: list[str]) -> Path:
    """Of a figure's files the one at the width of a paper's column."""
    return Path(next(path for path in files if path.endswith("-column.pdf")))


def figures(source: Source) -> dict[str, str | None]:
    """Chart of the page -> the same figure at paper width, relative to the page; None where there is none."""
    wanted = {"map": "values", "removed": "deletion", "pairs": "interactions"}
    drawn = kinds(source.layout.shown(source.model))
    paths = {chart: for_paper(source.layout.figure(source.model, kind)) for chart, kind in wanted.items()}
    return {
        chart: published.relative(source, str(path)) if wanted[chart] in drawn else None
        for chart, path in paths.items()
    }
