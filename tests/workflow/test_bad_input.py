"""What a user gets wrong is answered with one message, before any work, and an exit code that is not 0."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cornerstone.plan import alone
from tests.helpers import windows
from tests.workflow.runner import Workflow, configuration, save_model

pytestmark = pytest.mark.workflow

Change = Callable[[dict[str, Any]], object]
BAD: dict[str, tuple[Change, str]] = {
    "unknown model": (lambda c: c["run"].append("gpt5"), "`run` names 'gpt5', which is not under `models`"),
    "unknown task": (lambda c: c["run_tasks"].append("boolqq"), "`run_tasks` names 'boolqq'"),
    "unknown key": (lambda c: c.update(shapely=1), ": shapely: there is no such key"),
    "unknown key below": (lambda c: c["models"]["tiny"].update(layers=1), "models.tiny.layers: there is no such key"),
    "unknown metric": (lambda c: c["tasks"]["boolq"].update(metric="f1"), "tasks.boolq.metric: Input should be"),
    "K too large": (lambda c: c.update(estimators=windows(9)), "window-k9: tiny has 6 players; choose a smaller"),
    "hub model not pinned": (lambda c: c["models"]["tiny"].update(source="hub"), "a hub model needs `revision`"),
}


@pytest.fixture(scope="module")
def workflow(real_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    folder = tmp_path_factory.mktemp("bad") / "work"
    return Workflow.create(folder, real_assets, configuration(3, 2, limit=2))


def refused(workflow: Workflow, message: str, *arguments: str) -> str:
    done = workflow.run(*arguments)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout
    assert not list((workflow.folder / "results").glob("[!.]*"))
    return done.stdout


@pytest.mark.parametrize("case", BAD)
def test_bad_config(workflow: Workflow, case: str) -> None:
    config = configuration(3, 2, limit=2)
    change, message = BAD[case]
    change(config)
    workflow.write_config(config)
    refused(workflow, message)


def test_a_key_that_stands_twice(workflow: Workflow) -> None:
    """Of two equal keys YAML keeps the last, so a limit that is written down would not hold."""
    workflow.write_config(configuration(3, 2, limit=2))
    path = workflow.folder / "config.yaml"
    path.write_text(f"{path.read_text()}\ndocuments: {{source: embedded}}\n")
    line = len(path.read_text().splitlines())
    refused(workflow, f"config.yaml:{line}: `documents` stands twice")
    workflow.write_config(configuration(3, 2, limit=2))
    (workflow.folder / "more.yaml").write_text("seed: 1\nseed: 2\n")
    refused(workflow, "more.yaml:2: `seed` stands twice", "--configfile", "more.yaml")


def test_a_run_beside_another_one(workflow: Workflow) -> None:
    workflow.write_config(configuration(3, 2, limit=2))
    with alone.hold(workflow.folder / "results") or contextlib.nullcontext():
        refused(workflow, "another run is under way in results", "results/tiny/arc_easy/coalitions/full.json")
        workflow.succeed("fetch")  # makes no results


def test_packages_on_pythonpath(workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster's module system puts them there: jobs would import them in place of the pinned ones."""
    other = tmp_path / "transformers"
    other.mkdir()
    (other / "__init__.py").write_text('raise ImportError("another transformers")')
    workflow.write_config(configuration(3, 2, limit=2))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused(workflow, f"PYTHONPATH is set and holds another transformers ({other})")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drop-attn77", "there is no player 'attn77'"),
        ("drop-moe1", "so write ffn1"),
        ("drop-ffn0-attn0", "Its name is `drop-attn0-ffn0`"),
        ("banana", "'banana' is not a coalition"),
    ],
)
def test_bad_coalition(workflow: Workflow, name: str, message: str) -> None:
    workflow.write_config(configuration(3, 2, limit=2))
    refused(workflow, message, f"results/tiny/arc_easy/coalitions/{name}.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 4}, "config.yaml says blocks: 4, but the weights have 3. Set blocks: 3"),
        ({"feed_forward": "moe"}, "Set feed_forward: ffn"),
        ({"id": "nowhere"}, "models.tiny.id: nowhere has no config.json"),
    ],
)
def test_weights_that_do_not_fit(workflow: Workflow, settings: dict[str, Any], message: str) -> None:
    config = configuration(3, 2, limit=2)
    config["models"]["tiny"] |= settings
    workflow.write_config(config)
    refused(workflow, message, "results/tiny/openbookqa/values.parquet")


def test_metric_that_the_task_lacks(real_assets: Path, tmp_path: Path) -> None:
    config = configuration(3, 2, limit=2)
    config["run_tasks"] = ["boolq"]
    config["tasks"]["boolq"]["metric"] = "acc_norm"
    workflow = Workflow.create(tmp_path / "work", real_assets, config)
    message = "tasks.boolq.metric: boolq does not define 'acc_norm', it has acc"
    refused(workflow, message, "results/tiny/boolq/values.parquet")


def test_unknown_architecture(workflow: Workflow) -> None:
    workflow.write_config(configuration(3, 2, limit=2))
    path = workflow.folder / "model" / "config.json"
    path.write_text(path.read_text().replace('"model_type": "llama"', '"model_type": "bert"'))
    message = "the model type bert has no list of 3 blocks outside of an encoder"
    said = refused(workflow, message, "results/tiny/arc_easy/values.parquet")
    assert "docs/architectures.md lists those that work" in said
    save_model(workflow.folder / "model", 3, 32)
