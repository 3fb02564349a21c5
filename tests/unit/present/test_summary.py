from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.config.config import Config
from cornerstone.files import read_csv, write_csv
from cornerstone.plan.layout import Layout
from cornerstone.present import figures, summary, terminal
from cornerstone.present.tables import TABLES
from tests.unit.present.conftest import MODELS


def ranked(above: int = 0, chosen: tuple[int, ...] = (0, 2), confirmed: tuple[int, ...] = (), **changes: Any) -> Any:
    held = [i in chosen for i in range(8)]
    return pd.DataFrame(
        {
            "model": "tiny", "player": [f"p{i}" for i in range(8)], "value": [0.3 - i / 32 for i in range(8)],
            "low": 0.0, "high": 0.5, "rank": range(1, 9), "above_median": [i < above for i in range(8)],
            "held_out": [0.25 if i else np.nan for i in held], "held_out_low": [-0.1 if i else np.nan for i in held],
            "held_out_high": [0.6 if i else np.nan for i in held],
            "chosen": held,
            "cornerstone": [i in confirmed for i in range(8)], **changes,
        }
    )  # fmt: skip


BASELINES = pd.DataFrame(
    {
        "task": ["alpha", "beta"],
        "documents": [10, 32],
        "original": [0.5, 0.7],
        "empty": [0.2, 0.4],
        "chance": [0.5, 0.25],
    }
)


def test_findings_name_numbers() -> None:
    text = summary.findings(ranked(), BASELINES, "window-k4", 0.95)
    assert "mean over 2 tasks (42 documents; estimator: window-k4)" in text
    assert "95% intervals" in text
    assert "| 1 | p0 | 30.0 | 0.0 to 50.0 |" in text
    assert "| 5 | p4 | 17.5 | 0.0 to 50.0 |" in text
    assert "p5" not in text
    assert "original model: 60.0 %; without any sublayer: 30.0 %; chance: 37.5 %" in text


def test_findings_of_texts_are_no_accuracies() -> None:
    texts = BASELINES.assign(metric="word_perplexity", original=-3.0, empty=-9.5)
    text = summary.findings(ranked(), texts, "window-k4", 0.95)
    assert "Points are hundredths of -ln of word_perplexity. The original model has -300.0" in text
    assert "in points with 95% intervals over documents" in text
    assert "%" not in text.split("hundredths")[1]
    assert "accuracy" not in text


def test_findings_say_what_is_above_the_median() -> None:
    none, two = (summary.findings(ranked(above), BASELINES, "exact", 0.9) for above in (0, 2))
    assert "Significantly above the median layer: none." in none
    assert "Significantly above the median layer: p0, p1." in two


def test_findings_name_cornerstones_and_the_values_on_the_other_half() -> None:
    none, one = (summary.findings(ranked(chosen=(0, 6), confirmed=c), BASELINES, "exact", 0.95) for c in ((), (6,)))
    for text in (none, one):
        assert "and their values on the other half: p0 25.0 (-10.0 to 60.0); p6 25.0 (-10.0 to 60.0)." in text
        assert "among the three highest layers (95%, adjusted for testing every layer)" in text
    assert "every layer): **none**." in none
    assert "every layer): **p6**." in one


def test_findings_say_when_documents_are_too_few(tmp_path: Path) -> None:
    table = ranked(2, chosen=())
    table["chosen"] = None
    write_csv(table, tmp_path / "cornerstones.csv")
    for some in (table, pd.read_csv(tmp_path / "cornerstones.csv")):
        text = summary.findings(some, BASELINES, "exact", 0.95)
        assert "There are too few documents to choose layers on one half and value them on the other." in text


def test_findings_name_what_the_paper_names() -> None:
    assert "The paper names" not in summary.findings(ranked(2), BASELINES, "exact", 0.95)
    text = summary.findings(ranked(2, model="mixtral-8x7b"), BASELINES, "exact", 0.95)
    assert "The paper names attn0, moe0, moe1." in text


def write_summary(config: Config, folder: Path) -> str:
    """The page, as the workflow has it written."""
    layout = Layout(config)
    cornerstones, baselines = (
        {model: read_csv(Path(layout.csv(model, stem))) for model in MODELS} for stem in ("cornerstones", "baselines")
    )
    pictures = {
        model: [folder / "figures" / model / f"{kind}.png" for kind in figures.kinds(layout.shown(model))]
        for model in MODELS
    }
    tables = [folder / f"{table.name}.md" for table in TABLES]
    for table, path in zip(TABLES, tables, strict=True):
        path.write_text(f"{table.caption}\n\n| a |\n")
    others = {(model, "margin"): read_csv(Path(layout.csv(model, "cornerstones_margin"))) for model in MODELS}
    target = folder / "summary.md"
    summary.write(config, cornerstones, baselines, pictures, tables, target, functions=others)
    return (folder / "summary.md").read_text()


def test_the_summary_holds_findings_figures_and_tables(config: Config, tmp_path: Path) -> None:
    text = write_summary(config, tmp_path)
    for model in MODELS:
        assert f"## {model}\n" in text
        for kind in ("shares", "ablation", "values", "interactions", "assumptions"):
            assert f"![{kind}](figures/{model}/{kind}.png)" in text
            assert figures.figure(kind).opening.format(model=model) in text
        table = read_csv(Path(Layout(config).csv(model, "cornerstones")))
        baselines = read_csv(Path(Layout(config).csv(model, "baselines")))
        assert summary.findings(table, baselines, "window-k2", 0.95) in text
    assert text.count("\nBy margin: Cornerstones, significantly among the three highest") == len(MODELS)
    assert all(table.caption in text for table in TABLES)
    places = [text.index(part) for part in ("# What was found", "## tiny", "## llama3-8b", TABLES[0].caption)]
    assert places == sorted(places)


def test_the_level_of_the_intervals_is_said(config: Config, tmp_path: Path) -> None:
    wide = config.model_copy(update={"intervals": config.intervals.model_copy(update={"level": 0.8})})
    text = write_summary(wide, tmp_path)
    assert "with 80% intervals over documents" in text
    assert "The 80% intervals count the choice of documents" in text
    assert "95%" not in text


def test_without_deletion_curves_there_is_no_such_figure(config: Config, tmp_path: Path) -> None:
    assert "deletion.png" not in write_summary(config, tmp_path)  # this one has none
    some = config.model_copy(update={"deletion": config.deletion.model_copy(update={"orders": ["depth"]})})
    assert "![deletion](figures/tiny/deletion.png)" in write_summary(some, tmp_path)


def test_where_results_are(config: Config) -> None:
    text = terminal.where(config)
    assert f"{config.paths.results}/summary.md" in text
    for model in MODELS:
        top = pd.read_csv(Path(config.paths.results) / model / "cornerstones.csv")["player"].head(3)
        (line,) = [line for line in text.splitlines() if line.startswith(f"{model}: ")]
        assert all(f" {player} " in line for player in top)
