"""What the subcommands say of results, of runs and of what would fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import cornerstone
from cornerstone.assets import documents as stored_documents
from cornerstone.command import doctor, explain, export, page, running, state
from cornerstone.command.said import Said, duration, number, table
from cornerstone.config.config import Config
from cornerstone.errors import AssetError, CoalitionError, ConfigError, CornerstoneError, StoreError
from cornerstone.files import write_text
from cornerstone.log import Failure, append_failure
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import Plan
from tests import tiny
from tests.helpers import configured, documents, raw
from tests.unit.outputs.test_outputs import finished


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Of a folder of results as a run leaves them."""
    return finished(tmp_path_factory.mktemp("made") / "results").config


def coalition_file(config: Config, task: str, name: str, right: list[int], seconds: float = 2.0) -> Path:
    """A result, as far as `show` and `status` read it."""
    metric = config.task(task).metric
    path = Path(Layout(config).coalition("tiny", task, name))
    said = {
        "results": {task: {f"{metric},none": sum(right) / len(right)}},
        "documents": {
            "doc_id": list(range(len(right))),
            "gold": [0] * len(right),
            "loglikelihood": [[-1.0, -2.0] if value else [-2.0, -1.0] for value in right],
            "length": [[1, 1]] * len(right),
            "tokens": [[1, 1]] * len(right),
            metric: right,
            "greedy": [[0, 0]] * len(right),
        },
        "coalition": {"name": name},
        "provenance": {"fingerprint": "0" * 16, "jobs": [{"seconds": seconds}]},
        "blocks": [{"count": len(right)}],
    }
    write_text(path, json.dumps(said))
    return path


def test_a_layer_is_explained(config: Config) -> None:
    said = explain.explain(config, "ffn1")
    values = pd.read_csv(Path(config.paths.results) / "tiny" / "shapley_window-k2.csv").query("task == 'mean'")
    row = values.set_index("player").loc["ffn1"]
    (found,) = said.data["models"]
    assert found["values"]["accuracy"]["mean"]["value"] == pytest.approx(row["value"])
    assert set(found["values"]) == {"accuracy", "margin"}
    assert f"rank {row['rank']} (truly {row['rank_low']} to {row['rank_high']})" in said.text
    assert f"accuracy: {100 * row['value']:.1f} (" in said.text
    drop = pd.read_csv(Path(config.paths.results) / "tiny" / "ablation.csv").query(
        "task == 'mean' and player == 'ffn1'"
    )
    assert f"a drop of {100 * drop['drop'].iloc[0]:.1f} (" in said.text
    sizes = [abs(pair["value"]) for pair in found["pairs"]]
    assert sizes == sorted(sizes, reverse=True)
    assert all("ffn1" in (pair["first"], pair["second"]) != (pair["other"],) for pair in found["pairs"])
    json.dumps(json.loads(said.shown(True)))


def test_two_layers_are_compared_as_python_does(config: Config) -> None:
    said = explain.compare(config, "attn0", "ffn1")
    frame = cornerstone.load(config.paths.results).contrast("attn0", "ffn1")
    assert [row["difference"] for row in said.data["rows"][:3]] == pytest.approx(frame["difference"].tolist())
    assert f"{100 * frame['difference'].iloc[2]:.1f} (" in said.text


def test_the_unit_of_each_value_function_is_said(config: Config) -> None:
    said = explain.compare(config, "attn0", "ffn1")
    assert (
        "Units: accuracy: points of accuracy; margin: nats per character on a task, standard deviations in the mean "
        "over tasks."
    ) in said.text
    assert "points of accuracy." in explain.explain(config, "ffn1").text
    assert (number(0.0301, "soft-accuracy"), number(0.0301, "log-probability")) == ("3.0", "0.030")


def test_models_in_the_place_of_layers_say_how_models_are_compared(config: Config) -> None:
    with pytest.raises(
        CoalitionError, match=r"there is no player 'other'.* Two models are compared where `compare` of"
    ):
        explain.compare(config, "other", "ffn1")
    more = config.model_copy(update={"models": {**config.models, "other": config.models["tiny"]}})
    with pytest.raises(
        CoalitionError, match=r"of these tiny were run\. .* and as \[tiny, other\] in `compare` \(docs/"
    ):
        explain.compare(more, "tiny", "other")


def test_models_that_are_not_compared_say_how_to(config: Config) -> None:
    two = config.model_copy(update={"run": ["tiny", "other"]})
    with pytest.raises(ConfigError, match=r"Add \[tiny, other\] to `compare`"):
        explain.compare(two, "tiny", "other")


def test_a_coalition_is_shown_beside_the_whole_model(config: Config) -> None:
    for task in ("alpha", "beta"):
        coalition_file(config, task, "full", [1, 1, 1, 0, 1, 0, 1, 1, 0])
        coalition_file(config, task, "drop-ffn0", [1, 0, 1, 0, 0, 0, 1, 1, 0])
    said = explain.show(config, "drop-ffn0")
    assert [row["task"] for row in said.data["tasks"]] == ["alpha", "beta"]
    row = said.data["tasks"][0]
    assert (row["whole"], row["score"]) == pytest.approx((6 / 9, 4 / 9))
    assert row["difference"] == pytest.approx(-2 / 9)
    assert row["low"] < -2 / 9 < row["high"]
    assert "66.7" in said.text
    assert said.data["removed"] == ["ffn0"]
    assert said.data["missing"] == []
    Path(Layout(config).coalition("tiny", "beta", "drop-ffn0")).unlink()
    left = explain.show(config, "drop-ffn0", [Path("config.yaml"), Path("studies/quick.yaml")])
    assert [row["task"] for row in left.data["tasks"]] == ["alpha"]
    (path,) = left.data["missing"]
    assert left.text.endswith(f"To have it made: snakemake --cores 2 {path} --configfile studies/quick.yaml")


def test_a_coalition_that_is_not_there_has_a_command_for_all_tasks_and_with_the_study(tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path)})
    for task in ("alpha", "beta"):
        coalition_file(config, task, "full", [1, 0, 1])
    one, other = (Layout(config).coalition("tiny", task, "drop-ffn0") for task in ("alpha", "beta"))
    with pytest.raises(StoreError) as caught:
        explain.show(config, "drop-ffn0", [Path("config.yaml"), Path("studies/quick.yaml")])
    assert str(caught.value) == (
        f"drop-ffn0 was not evaluated. To have it made: snakemake --cores 2 {one} {other} "
        "--configfile studies/quick.yaml"
    )


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda c: explain.show(c, "drop-ffn7"), CoalitionError, "there is no player 'ffn7'"),
        (lambda c: explain.show(c, "without-ffn0"), CoalitionError, "is not a coalition"),
        (
            lambda c: explain.show(c, "drop-attn1"),
            StoreError,
            r"drop-attn1 was not evaluated\. To have it made: snakemake",
        ),
        (lambda c: explain.explain(c, "ffn7"), CoalitionError, "there is no player 'ffn7'"),
    ],
)
def test_what_is_not_there_is_said(ask: Any, error: type[Exception], said: str, config: Config) -> None:
    with pytest.raises(error, match=said):
        ask(config)


def test_status_counts_what_is_stale_beyond_the_plan_failed_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configured({"run_tasks": ["alpha"], "models.tiny.blocks": 2})
    names = Plan(config, "tiny", "alpha").names
    coalition_file(config, "alpha", names[0], [1, 0])
    coalition_file(config, "alpha", "drop-attn0-ffn1", [1, 0])
    append_failure(Path("logs/evaluate/tiny/alpha.0.log"), Failure("TaskError", "no metric\nmore", True), "")
    append_failure(Path("logs/evaluate/gone/alpha.0.log"), Failure("TaskError", "of another model", True), "")
    append_failure(Path("logs/of-results-b/evaluate/tiny/alpha.0.log"), Failure("TaskError", "of a study", True), "")
    append_failure(Path("logs/fetch_model/tiny.log"), Failure("AssetError", "no hub", True), "")
    said = state.state(config)
    (part,) = said.data["tasks"]
    assert (part["planned"], part["done"], part["stale"]) == (len(names), 0, (names[0],))
    assert part["beyond"] == ("drop-attn0-ffn1",)
    assert part["seconds"] is None or part["seconds"] == pytest.approx(2.0 * len(names))
    assert [(each["message"], each["log"]) for each in said.data["failures"]] == [
        ("TaskError: no metric", "logs/evaluate/tiny/alpha.0.log"),
        ("AssetError: no hub", "logs/fetch_model/tiny.log"),
    ]
    study = configured({"run_tasks": ["alpha"], "models.tiny.blocks": 2, "paths.results": "results-b"})
    assert {each["message"] for each in state.failures(study)} == {"TaskError: of a study", "AssetError: no hub"}
    assert f"failed: {said.data['failures'][0]['job']}: TaskError: no metric" in said.text
    assert f"0 of {len(names)} planned coalitions are done" in said.text
    assert not list(tmp_path.rglob("*.seen.json"))  # it only looks


def test_the_time_that_is_left_is_that_of_the_coalitions_that_are_not_there(tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path)})
    for name, seconds in (("full", 1.0), ("drop-attn0", 3.0)):
        coalition_file(config, "alpha", name, [1, 0], seconds)
    folder = Path(Layout(config).coalitions("tiny", "alpha"))
    assert state._seconds(folder, ["full", "drop-attn0"]) == 2.0
    assert state._seconds(folder, []) is None


def test_the_time_of_a_task_without_results_follows_from_another_by_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"alpha": 2.0, "beta": 6.0}
    monkeypatch.setattr(state, "weight_of", lambda config: lambda model, task: weights[task])
    parts = [state.Part("tiny", "alpha", 10, 5, (), (), 20.0), state.Part("tiny", "beta", 10, 0, (), (), None)]
    assert [part.seconds for part in state._with_guesses(configured(), parts)] == pytest.approx([20.0, 120.0])


class Snakemake:
    """Stands in for the process; notes the command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> None:
        self.code, self.commands = code, list[list[str]]()
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, command: list[str], **options: Any) -> SimpleNamespace:
        self.commands.append(command[3:])
        return SimpleNamespace(returncode=self.code, stdout="")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text("")
    (tmp_path / "config.yaml").write_text(json.dumps(raw()))
    return tmp_path


def test_a_run_calls_snakemake_with_cores_configuration_and_profile(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, main = Snakemake(monkeypatch), Path("config.yaml")
    quiet = ["--quiet", "host", "reason"]
    said = running.run(configured(), [main])
    assert called.commands[-1] == ["--cores", str(os.cpu_count()), *quiet, "--", "all"]
    assert (said.code, said.text) == (0, "The results are in results; begin with results/summary.md.")
    running.run(configured(), [main, Path("studies/full.yaml")], cores=3, more=["--dry-run"], targets=["fetch"])
    assert called.commands[-1] == [
        "--cores",
        "3",
        "--configfile",
        "studies/full.yaml",
        *quiet,
        "--dry-run",
        "--",
        "fetch",
    ]
    running.run(configured(), [main], profile="slurm")
    assert called.commands[-1] == ["--profile", "profiles/slurm", *quiet, "--", "all"]


def test_a_run_that_fails_has_snakemakes_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Snakemake(monkeypatch, code=3)
    said = running.run(configured(), [Path("config.yaml")])
    assert (said.code, said.text) == (3, "")


def test_a_run_elsewhere_or_with_a_configuration_that_the_workflow_would_not_read_is_refused(
    project: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="the workflow always reads config"):
        running.run(configured(), [Path("other.yaml")])
    (project / "Snakefile").unlink()
    with pytest.raises(CornerstoneError, match="has no Snakefile"):
        running.run(configured(), [Path("config.yaml")])


def test_the_plan_is_one_line_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Snakemake(monkeypatch)
    rows = [("ablation", 60, 60, 0.1, 0.1), ("window-k4", 180, 0, 0.3, 0.3), ("all", 240, 60, 0.4, 0.2)]
    frame = pd.DataFrame(rows, columns=["estimator", "new", "done", "hours", "wall_hours"])
    Path("results").mkdir()
    frame.to_csv("results/plan.csv", index=False)
    Path("results/plan.md").write_text("# Budget plan\n\n| a |\n")
    said = running.plan(configured(), [Path("config.yaml")], cores=2)
    assert said.text == "about 9 minutes with 2 cores; 180 new coalitions\n\n| a |"
    assert said.data["hours"] == pytest.approx(0.15)
    assert said.data["new_coalitions"] == 180


def test_a_plan_that_can_not_be_made_is_no_plan(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Snakemake(monkeypatch, code=1)
    with pytest.raises(CornerstoneError, match="the plan could not be made"):
        running.plan(configured(), [Path("config.yaml")])


def ready(folder: Path, changes: dict[str, Any] | None = None) -> Config:
    """Weights and documents as fetch leaves them."""
    from cornerstone.assets.fetch import fetch_model

    config = configured(
        {
            "models.tiny.id": str(folder / "model"),
            "paths.resources": str(folder / "resources"),
            "paths.results": str(folder / "results"),
            **(changes or {}),
        }
    )
    tiny.save("llama", folder / "model")
    layout = Layout(config)
    weights, marker = Path(layout.weights("tiny")), Path(layout.model_marker("tiny"))
    fetch_model("tiny", config.models["tiny"], weights, Path(layout.wheels), marker)
    for task in config.scored_tasks:
        data = documents([[("q", " a"), ("q", " b")]] * 4, task, code=fingerprint.of_fetched_documents())
        stored_documents.write(data, Path(layout.documents_for("tiny", task)))
    return config


def test_a_doctor_finds_nothing_where_nothing_is_wrong(tmp_path: Path) -> None:
    said = doctor.doctor(ready(tmp_path))
    assert said.code == 0, said.text
    assert said.text.endswith("nothing is wrong")
    assert "ok: layout of tiny" in said.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models.tiny.blocks": 5}, "layout of tiny: config.yaml says blocks: 5, but the weights have 4"),
        ({"models.tiny.feed_forward": "moe"}, "Set feed_forward: ffn"),
        ({"tasks.alpha.metric": "exact_match"}, "alpha does not define 'exact_match', it has acc, acc_norm"),
        ({"value_functions": ["log-probability-per-word"]}, "alpha (multiple_choice) has no log-probability-per-word"),
    ],
)
def test_a_doctor_finds_what_jobs_would_fail_of(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    said = doctor.doctor(ready(tmp_path, changes))
    assert said.code == 1
    assert words in said.text
    assert any(words.partition(": ")[2] in str(each["problem"]) for each in said.data["findings"])


def test_a_doctor_finds_that_nothing_is_fetched(tmp_path: Path) -> None:
    said = doctor.doctor(
        configured({"paths.resources": str(tmp_path / "resources"), "paths.results": str(tmp_path / "results")})
    )
    assert said.code == 1
    assert "WRONG: weights of tiny" in said.text
    assert said.data["wrong"] == 3


def test_results_in_a_zip_file_are_results(config: Config, tmp_path: Path) -> None:
    out = tmp_path / "sent.zip"
    said = export.export(config, "zip", out)
    with pytest.raises(AssetError, match=r"sent\.zip exists\. Choose another --out, or replace it: --overwrite"):
        export.export(config, "zip", out)
    export.export(config, "zip", out, overwrite=True)
    with zipfile.ZipFile(out) as archive:
        archive.extractall(tmp_path / "there")
        assert len(archive.namelist()) == said.data["files"]
    there = cornerstone.load(tmp_path / "there")
    pd.testing.assert_frame_equal(there.values(), cornerstone.load(config.paths.results).values())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_export_needs_a_known_target_its_package_and_results(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--to: there is no 'paper'; choose zip, wandb, mlflow"):
        export.export(config, "paper")
    sys.modules["wandb"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        with pytest.raises(
            AssetError, match="--to wandb needs the package wandb, which is not here: pip install wandb"
        ):
            export.export(config, "wandb")
    finally:
        del sys.modules["wandb"]
    with pytest.raises(StoreError, match=r"datapackage\.json is missing\. Run the workflow to make it\.$"):
        export.export(configured({"paths.results": str(tmp_path)}), "zip")
    with pytest.raises(AssetError, match=r"there is no folder \S+/none\. Make it, or choose another --out"):
        export.export(config, "zip", tmp_path / "none" / "x.zip")
    assert not (tmp_path / "none").exists()


@pytest.mark.filterwarnings("default")
def test_weights_and_biases_takes_them_offline(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the package is installed: `pip install cornerstone[wandb]`."""
    pytest.importorskip("wandb")
    for key, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{key}", value)
    said = export.export(config, "wandb")
    assert Path(said.data["run"]).is_relative_to(tmp_path)
    assert list(tmp_path.rglob("tiny.ablation*.table.json"))


@pytest.mark.filterwarnings("default")
def test_mlflow_takes_them_without_a_server(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the package is installed: `pip install cornerstone[mlflow]`."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    export.export(config, "mlflow")
    assert len(list(tmp_path.rglob("artifacts/tiny/ablation.csv"))) == 1
    assert list(tmp_path.rglob("metrics/tiny.margin.ffn1"))


class Tracker(SimpleNamespace):
    """Stands in for MLflow: notes what it is told."""

    def __init__(self, refuses: bool = False) -> None:
        self.told: dict[str, Any] = {}
        self.files: list[tuple[str, str | None]] = []
        self.refuses = refuses

    def start_run(self) -> Tracker:
        if self.refuses:
            raise RuntimeError("no server at that address\nand more")
        return self

    def __enter__(self) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def __exit__(self, *of: object) -> None:
        self.told["closed"] = True

    def set_experiment(self, name: str) -> None:
        self.told["experiment"] = name

    def log_dict(self, made: dict[str, Any], name: str) -> None:
        self.told[name] = made

    def log_params(self, made: dict[str, Any]) -> None:
        self.told |= made

    def log_metrics(self, made: dict[str, float]) -> None:
        self.told["metrics"] = made

    def log_artifact(self, path: str, folder: str | None) -> None:
        self.files.append((path, folder))

    def get_tracking_uri(self) -> str:
        return "http://here"


def test_a_tracker_is_told_the_configuration_the_numbers_and_the_files(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker()
    monkeypatch.setattr(export, "_library", lambda name: tracker)
    said = export.export(config, "mlflow")
    assert said.data["run"] == "http://here, run r1"
    assert tracker.told["config.json"]["run"] == ["tiny"]
    assert tracker.told["metrics"]["tiny.accuracy.ffn0"] == export.numbers(config)["tiny/accuracy/ffn0"]
    root = Path(config.paths.results)
    assert (str(root / "datapackage.json"), None) in tracker.files
    assert (str(root / "tiny" / "alpha" / "values.parquet"), "tiny/alpha") in tracker.files
    monkeypatch.setattr(export, "_library", lambda name: Tracker(refuses=True))
    with pytest.raises(AssetError, match=r"^mlflow does not take the results: no server at that address$"):
        export.export(config, "mlflow")


def test_a_tracker_gets_the_main_numbers(config: Config) -> None:
    found = export.numbers(config)
    row = pd.read_csv(Path(config.paths.results) / "tiny" / "baselines.csv").iloc[0]
    assert found[f"tiny/original/{row['task']}"] == pytest.approx(row["original"])
    assert len([name for name in found if name.startswith("tiny/margin/")]) == 4


def test_the_page_is_opened_where_somebody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    config = configured({"paths.results": str(tmp_path)})
    with pytest.raises(StoreError, match=r"index\.html is not there. Run `cornerstone run`"):
        page.open_page(config)
    with pytest.raises(ConfigError, match=r"no page of a model 'nosuch'; choose one of those that are run: tiny\."):
        page.open_page(config, "nosuch")
    (tmp_path / "summary.md").write_text("")
    assert page.open_page(config, terminal=False).data == {"page": str(tmp_path / "summary.md"), "opened": False}
    (tmp_path / "index.html").write_text("")
    assert page.open_page(config).text == str(tmp_path / "index.html")
    assert page.open_page(config, "tiny", terminal=False).text == str(tmp_path / "index.html")  # it has no other page
    assert opened == [(tmp_path / "index.html").as_uri()]


def test_numbers_for_people() -> None:
    assert [duration(h) for h in (0.001, 0.13, 1.6, 72, float("nan"))] == [
        "1 minute", "8 minutes", "1.6 hours", "3.0 days", "an unknown time"
    ]  # fmt: skip
    assert (number(0.0123), number(0.0123, "margin"), number(float("nan"))) == ("1.2", "0.012", "-")
    assert table(["a", "b"], [["one", "2"], ["x", "10"]]) == "a     b\none   2\nx    10"
    assert json.loads(Said("", {"a": float("inf"), "b": [pd.Series([1])[0]]}).shown(True)) == {"a": None, "b": [1]}
