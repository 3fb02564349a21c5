from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import shapley, write
from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.files import write_csv
from cornerstone.game.coalitions import name
from cornerstone.game.players import players_of
from cornerstone.present import summary, terminal
from cornerstone.present.figures import drawing
from tests.helpers import configured, documents, raw

PLAYERS = players_of(4, "ffn")
MODELS = ["tiny", "llama3-8b"]
ENDINGS = ("csv", "md", "tex")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two models and two tasks, with the estimates that the workflow would have made for them."""
    folder = tmp_path_factory.mktemp("results")
    changes = {"run": MODELS, "models.llama3-8b": raw()["models"]["tiny"], "paths.results": str(folder)}
    changes["value_functions"] = ["margin"]
    made = configured(changes)
    rng = np.random.default_rng(0)
    for model in MODELS:
        for task in made.run_tasks:
            _parquet(rng).to_parquet(_values(made, model, task), index=False)
        paths = [_values(made, model, task) for task in made.run_tasks]
        data = {task: documents([[("q", " a"), ("q", " b")]] * 9, task) for task in made.run_tasks}
        write.write_estimates(made, model, paths, data)
        write.write_interactions(made, model, paths)
    return made


def _values(config: Config, model: str, task: str) -> Path:
    path = Path(config.paths.results) / model / task / "values.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _parquet(rng: np.random.Generator) -> pd.DataFrame:
    """Every coalition on 9 documents; the first two players matter."""
    rows = []
    for coalition in range(256):
        right = rng.random(9) < 0.2 + 0.35 * (coalition & 1) + 0.35 * (coalition >> 1 & 1)
        labels = name(coalition, PLAYERS)
        rows.append(
            pd.DataFrame(
                {"coalition": labels, "doc_id": range(9), "cluster": [str(i // 2) for i in range(9)],
                 "acc": right.astype(np.int8), "acc_norm": right.astype(np.int8), "margin": right - rng.random(9)}
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def write_tables(config: Config, folder: Path) -> None:
    results = Path(config.paths.results)
    values = [_values(config, model, task) for model in config.run for task in config.run_tasks]
    summary.write_tables(config, values, [results / m / "cornerstones.csv" for m in config.run], folder)


def test_all_tables_in_all_formats(config: Config, tmp_path: Path) -> None:
    write_tables(config, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.{e}" for n in summary.TABLE_CAPTIONS for e in ENDINGS}
    first, second, third, fourth = (pd.read_csv(tmp_path / f"table{n}.csv") for n in (1, 2, 3, 4))
    assert first["model"].tolist() == second["model"].tolist() == MODELS
    assert third["model"].tolist() == [model for model in MODELS for _ in range(2)]
    assert fourth["task"].tolist() == ["alpha", "beta"] * 2
    assert first["published_percent"].isna().tolist() == [True, False]
    for table, caption in summary.TABLE_CAPTIONS.items():
        assert (tmp_path / f"{table}.md").read_text().startswith(caption)
    for table in ("hypotheses", "estimators"):
        assert pd.read_csv(tmp_path / f"{table}.csv")["model"].unique().tolist() == MODELS


def test_tables_repeat_themselves(config: Config, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_tables(config, tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_each_model_has_its_own_numbers(config: Config, tmp_path: Path) -> None:
    write_tables(config, tmp_path)
    third = pd.read_csv(tmp_path / "table3.csv").set_index(["model", "layers"])
    for model in MODELS:
        drops = pd.read_csv(Path(config.paths.results) / model / "ablation.csv")
        table = pd.read_csv(Path(config.paths.results) / model / "cornerstones.csv")
        top = shapley.top_players(table, model)
        rows = drops[(drops["task"] != "mean") & drops["player"].isin(top)]
        found = third.loc[(model, "cornerstone"), "unclipped_percent"]
        assert found == pytest.approx(100 * rows["drop"].mean())


def test_an_unknown_figure(config: Config, tmp_path: Path) -> None:
    folder = Path(config.paths.results) / "tiny"
    with pytest.raises(CornerstoneError, match="no figure 'pie'; there are shares, ablation, values, inter"):
        summary.write_figure(config, "pie", "tiny", folder, folder / "shapley_window-k2.csv", tmp_path / "pie")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["shares", "ablation", "values", "interactions", "assumptions"])
def test_each_figure_is_drawn_from_its_tables(
    kind: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    monkeypatch.setattr(drawing, "save_figure", lambda figure, stem: saved.append((figure, stem)))
    folder = Path(config.paths.results) / "tiny"
    summary.write_figure(config, kind, "tiny", folder, folder / "shapley_window-k2.csv", tmp_path / kind)
    ((figure, stem),) = saved
    assert stem == tmp_path / kind
    assert len(figure.axes) >= 2


def ranked(above: int = 0, chosen: tuple[int, ...] = (0, 2), confirmed: tuple[int, ...] = (), **changes: Any) -> Any:
    held = [i in chosen for i in range(8)]
    return pd.DataFrame(
        {
            "model": "tiny", "player": [f"p{i}" for i in range(8)], "value": [0.3 - i / 32 for i in range(8)],
            "low": 0.0, "high": 0.5, "rank": range(1, 9), "above_median": [i < above for i in range(8)],
            "held_out": [0.25 if i else np.nan for i in held], "held_out_low": [-0.1 if i else np.nan for i in held],
            "held_out_high": [0.6 if i else np.nan for i in held],
            "held_out_p": [0.0123 if i else np.nan for i in held], "chosen": held,
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


def test_findings_say_what_is_above_the_median() -> None:
    none, two = (summary.findings(ranked(above), BASELINES, "exact", 0.9) for above in (0, 2))
    assert "no layer is significantly above the median layer (90%, adjusted for testing every layer)" in none
    assert "Significantly above the median layer on all documents (90%, adjusted" in two
    assert "every layer): **p0, p1**." in two
    assert "no layer" not in two


def test_findings_say_what_the_other_half_confirms() -> None:
    none, one = (summary.findings(ranked(chosen=(0, 6), confirmed=c), BASELINES, "exact", 0.95) for c in ((), (6,)))
    for text in (none, one):
        assert (
            "tested on the other half: p0 25.0 (-10.0 to 60.0, p = 0.012); p6 25.0 (-10.0 to 60.0, p = 0.012)." in text
        )
    assert "Cornerstones confirmed so: **none**." in none
    assert "Cornerstones confirmed so: **p6**." in one


def test_findings_say_when_documents_are_too_few(tmp_path: Path) -> None:
    table = ranked(2, chosen=(), cornerstone=None)
    table["chosen"] = None
    write_csv(table, tmp_path / "cornerstones.csv")
    for some in (table, pd.read_csv(tmp_path / "cornerstones.csv")):
        text = summary.findings(some, BASELINES, "exact", 0.95)
        assert "There are too few documents to choose layers on one half and test them on the other." in text
        assert "confirmed" not in text


def test_findings_name_what_the_paper_names() -> None:
    assert "The paper names" not in summary.findings(ranked(2), BASELINES, "exact", 0.95)
    text = summary.findings(ranked(2, model="mixtral-8x7b"), BASELINES, "exact", 0.95)
    assert "The paper names attn0, moe0, moe1." in text


def test_the_summary_holds_findings_figures_and_tables(config: Config, tmp_path: Path) -> None:
    write_tables(config, Path(config.paths.results) / "tables")
    summary.write_summary(config, tmp_path / "summary.md")
    text = (tmp_path / "summary.md").read_text()
    for model in MODELS:
        assert f"## {model}\n" in text
        for kind in ("shares", "ablation", "values", "deletion"):
            assert f"![{kind}](figures/{model}/{kind}.png)" in text
    assert all(caption in text for caption in summary.TABLE_CAPTIONS.values())


def test_without_deletion_curves_there_is_no_such_figure(config: Config, tmp_path: Path) -> None:
    write_tables(config, Path(config.paths.results) / "tables")
    lean = config.model_copy(update={"deletion": config.deletion.model_copy(update={"orders": []})})
    summary.write_summary(lean, tmp_path / "summary.md")
    assert "deletion.png" not in (tmp_path / "summary.md").read_text()


def test_where_results_are(config: Config) -> None:
    text = terminal.where(config)
    assert f"{config.paths.results}/summary.md" in text
    for model in MODELS:
        top = pd.read_csv(Path(config.paths.results) / model / "cornerstones.csv")["player"].head(3)
        (line,) = [line for line in text.splitlines() if line.startswith(f"{model}: ")]
        assert all(f" {player} " in line for player in top)
