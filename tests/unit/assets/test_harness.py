"""lm-eval's own tasks: found by name without reading all of its files."""

from __future__ import annotations

import pytest

from cornerstone.assets import harness


def test_a_task_is_found_without_reading_all_of_lm_evals_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the whole index was built")

    quick = harness.index((), stock=False)
    monkeypatch.setattr(harness, "index", lambda _=(), stock=True: never() if stock else quick)
    for task in ("boolq", "piqa", "winogrande", "arc_easy", "arc_challenge", "openbookqa", "mmlu_anatomy", "hellaswag"):
        assert harness.stock(task)["task"] == task


@pytest.mark.rare
def test_a_task_found_in_its_folder_is_that_of_the_whole_index() -> None:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    whole = TaskManager().task_index
    checked = 0
    for task in list(whole)[::61]:
        own = harness.of_its_folder(task)
        if own is not None:
            assert own.task_index[task].yaml_path == whole[task].yaml_path
            assert harness.stock(task) == load_yaml(whole[task].yaml_path, resolve_func=False)
            checked += 1
    assert checked > 50
