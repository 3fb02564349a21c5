"""A task may name metrics of the library `evaluate`, which downloads the code of a metric and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import tasks
from cornerstone.assets.recipe import Recipe
from cornerstone.errors import TaskError
from tests import task_files
from tests.task_files import SHARES

BROUGHT: list[dict[str, Any]] = [
    {"metric": "f1", "hf_evaluate": True, "average": "weighted", "higher_is_better": True},
    {"metric": "somebody/evil", "aggregation": "mean", "higher_is_better": True, "hf_evaluate": True},
    {"metric": "rouge9", "aggregation": "mean", "higher_is_better": True},  # unknown to lm-eval, which looks elsewhere
]


@pytest.mark.parametrize("brought", BROUGHT, ids=lambda each: str(each["metric"]))
def test_metrics_that_are_downloaded_code_are_left_out(tmp_path: Path, brought: dict[str, Any]) -> None:
    folder = task_files.write(tmp_path, {"own": {"metric_list": [brought, *SHARES]}})
    made = tasks.build(Recipe("own", "hub", include_path=(str(folder),)), tmp_path)
    assert made.metrics == ["acc", "acc_norm"]


def test_a_metric_that_is_a_folder_with_code_is_not_run(tmp_path: Path) -> None:
    """A function beside a task's file is told by its path, too: so the loader itself runs nothing from elsewhere."""
    code = tmp_path / "evil" / "evil.py"
    code.parent.mkdir()
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    named = {"metric": str(code), "aggregation": "mean", "higher_is_better": True}
    folder = task_files.write(tmp_path / "tasks", {"own": {"metric_list": [named, *SHARES]}})
    assert tasks.build(Recipe("own", "hub", include_path=(str(folder),)), tmp_path).metrics == ["acc", "acc_norm"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("brought", BROUGHT, ids=lambda each: str(each["metric"]))
def test_a_task_with_no_other_metric_is_refused(tmp_path: Path, brought: dict[str, Any]) -> None:
    folder = task_files.write(tmp_path, {"own": {"metric_list": [brought]}})
    with pytest.raises(TaskError, match=r"task 'own' is scored by \S+ of the library `evaluate`.*No such code is run"):
        tasks.build(Recipe("own", "hub", include_path=(str(folder),)), tmp_path)
