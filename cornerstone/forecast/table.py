"""What `plan` shows and writes: the cost of every model, task and estimator (see `cost`), with totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cornerstone.analysis import power
from cornerstone.assets import documents, fetch
from cornerstone.config.config import Config
from cornerstone.engine import encoding
from cornerstone.engine.batching import batches_by_piece
from cornerstone.engine.blocks import pieces
from cornerstone.files import read_csv, write_csv, write_text
from cornerstone.forecast import outline
from cornerstone.forecast.cost import ALL, DELETION, TaskCost
from cornerstone.forecast.flop import Arithmetic, Documents
from cornerstone.forecast.speed import speed_of
from cornerstone.plan.layout import Layout
from cornerstone.schedule.limits import GIB


def table(config: Config, markers: Mapping[str, Path]) -> tuple[pd.DataFrame, list[str]]:
    """The forecast of all active models, and notes on how it was made.

    Args:
        config: the configuration.
        markers: model -> JSON file that says where its config and tokenizer are.

    Returns:
        A row per model, task and estimator, and totals (`all`) of each model and task, each model, and everything.
        `hours` are those of all jobs one after another, `wall_hours` those of all jobs side by side.

    Raises:
        CornerstoneError: assets that are missing or do not fit the config.
    """
    layout = Layout(config)
    frames, notes = [], []
    for model in config.run:
        entry = config.models[model]
        found = outline.read(fetch.model_folder(markers[model], entry), entry)
        speed = speed_of(model, entry, Arithmetic.of(found.network).largest)
        rows: list[dict[str, Any]] = []
        made: list[TaskCost] = []
        for task in config.scored_tasks:
            whole = documents.read(Path(layout.documents_for(model, task)))
            whole.need_metric(config.task(task).metric, config.value_functions)
            scored = whole.first(config.limit(model, task)).documents
            requests, names = [document.requests for document in scored], [document.doc_id for document in scored]
            packed = encoding.encode(found.network.model, found.tokenizer, requests, names, whole.rolling)
            chosen = pieces([document.cluster for document in scored])
            sizes = Documents.of(batches_by_piece(found.network.model, packed, chosen, entry.batch_tokens))
            made.append(TaskCost(config, model, task, found.network, sizes, speed.tflops))
            rows += made[-1].rows()
        frame = pd.DataFrame(rows)
        frame["tflops"] = float("nan") if speed.tflops is None else speed.tflops
        frame["speed_from"] = speed.source
        # where nobody can say how long walks wait, hours are those of the arithmetic
        frame["hours"] = frame["flops"] / frame["tflops"] / 1e12 / 3600 + frame["wait_hours"].fillna(0)
        frame["wall_hours"] = frame["hours"] / frame["estimator"].eq(DELETION).map({True: 1, False: entry.chunks})
        frames.append(frame)
        notes.append(speed.note)
        notes.append(_memory_note(made[0]))
        if frame["walks"].any():
            notes.append(_streaming_note(model, frame, entry.memory.read_gb_per_s))
    return with_totals(frames), notes


def _memory_note(cost: TaskCost) -> str:
    """What memory a model's jobs will have, as far as that is known before."""
    note = f"{cost.model}: its weights take {cost.weights.resident / GIB:.2f} GiB."
    if cost.limit is not None:
        return f"{note} A job has {cost.limit}."
    gpus = cost.entry.resources.gpus
    return (
        f"{note} How much memory its jobs' GPUs ({gpus}) have is not known here: the plan takes them to hold the "
        f"weights. Where they do not, weights are streamed. Set `models.{cost.model}.memory.budget_gb` to plan with it."
    )


def _streaming_note(model: str, frame: pd.DataFrame, rate: float | None) -> str:
    walks, read = frame["walks"].sum(), frame["read_bytes"].sum()
    note = (
        f"{model}: its weights do not stay in memory, they are streamed: {walks:,} walks, each of which "
        f"reads them once, {_si(read)}B in all."
    )
    waited, hours = frame["wait_hours"].sum(skipna=False), frame["hours"].sum(skipna=False)
    if waited == waited and hours == hours:
        return f"{note} At {rate:g} GB/s walks wait {_hours(waited)} of {_hours(hours)} hours for weights."
    return f"{note} Set `models.{model}.memory.read_gb_per_s` to have the hours in which walks wait for them counted."


def with_totals(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Each model's rows with totals: after each task, after each model, and after several models."""
    parts, ends = [], []
    for frame in frames:
        task_ends = []
        for task, rows in frame.groupby("task", sort=False):
            task_ends.append(_total(rows, task=task, documents=rows["documents"].iloc[0]))
            parts += [rows, task_ends[-1]]
        ends.append(_total(pd.concat(task_ends), wall_hours=_longest(task_ends)))
        parts.append(ends[-1])
    if len(ends) > 1:
        parts.append(_total(pd.concat(ends), model=ALL, wall_hours=_longest(ends)))
    return pd.concat(parts, ignore_index=True)


def _longest(ends: Sequence[pd.DataFrame]) -> float:
    """Jobs of different tasks and models need not wait for each other."""
    return pd.concat(ends)["wall_hours"].max(skipna=False)


def _total(rows: pd.DataFrame, **known: Any) -> pd.DataFrame:
    """One row that sums others; a sum with an unknown part is unknown."""
    total: dict[str, Any] = {"model": rows["model"].iloc[0], "task": ALL, "estimator": ALL}
    for column in ("documents", "coalitions", "shared", "new", "done", "tokens", "evaluations", "flops"):
        total[column] = rows[column].sum()
    for column in ("walks", "read_bytes"):
        total[column] = rows[column].sum()
    for column in ("tflops", "speed_from", "weights"):
        same = rows[column].nunique(dropna=False) == 1
        total[column] = rows[column].iloc[0] if same else (float("nan") if column == "tflops" else "")
    for column in ("wait_hours", "hours", "wall_hours"):
        total[column] = rows[column].sum(skipna=False)
    return pd.DataFrame([total | known])


def show(frame: pd.DataFrame) -> str:
    """The forecast as an aligned Markdown table, in rounded numbers."""
    heads = ["model", "task", "estimator", "documents", "coalitions", "shared", "new", "done", "tokens", "evaluations"]
    heads += ["FLOP", "hours", "wall hours"]
    lines = [heads]
    for row in frame.to_dict("records"):
        counts = [f"{row[key]:,}" for key in heads[3:8]]
        sizes = [_si(row[key]) for key in ("tokens", "evaluations", "flops")]
        lines.append(
            [
                row["model"],
                row["task"],
                row["estimator"],
                *counts,
                *sizes,
                *map(_hours, (row["hours"], row["wall_hours"])),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        [
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    rule = [("-" * width if i < 3 else "-" * (width - 1) + ":") for i, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [aligned[0], rule, *aligned[1:]]) + "\n"


def _si(number: float) -> str:
    """Three digits and a prefix: 12.3 G."""
    prefixes = ["", " k", " M", " G", " T", " P", " E"]
    while abs(number) >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.3g}{prefixes[0]}"


def _hours(hours: float) -> str:
    if hours != hours:
        return ""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"


def write(config: Config, markers: Mapping[str, Path]) -> str:
    """Write plan.csv and plan.md; return what the terminal shows.

    Raises:
        CornerstoneError: see `table`.
    """
    frame, notes = table(config, markers)
    if config.deletion.orders:
        notes.append(
            "The coalitions of deletion curves are known only once values are estimated: random orders stand in for "
            "them, and how many the plan will have is a guess."
        )
    if done := frame["done"].iloc[-1]:
        notes.append(
            f"{done:,} results are there already (nobody looked whether these settings made them). FLOP and hours are "
            "those of a run from nothing."
        )
    notes += _resolved(config)
    numbers, page = map(Path, Layout(config).forecast)
    write_csv(frame, numbers, placed=False)
    text = show(frame) + "\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    write_text(page, "# Budget plan\n\n" + text)
    return text


def _resolved(config: Config) -> list[str]:
    """What the documents of a finished run say of the documents that answers take."""
    notes = []
    for model in config.run:
        path = Path(Layout(config).csv(model, "power"))
        if path.is_file():
            frame = read_csv(path)
            words = [power.sentence(part, str(name)) for name, part in frame.groupby("value_function", sort=False)]
            notes.append(f"{model}, with the run that is there as a pilot: {'. '.join(words)}.")
    return notes
