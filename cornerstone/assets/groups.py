"""The groups and tags of lm-eval, and entries of the config for them and for single tasks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import yaml

from cornerstone.assets import harness, tasks
from cornerstone.errors import TaskError
from cornerstone.game.functions import LOGARITHMS, SHARES

DEFAULTS = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
}
"""The metrics of a task whose file names none, by its kind, as lm-eval has them."""


def group(name: str, include_path: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """The tasks of a group or tag of lm-eval, and whether each counts by its documents (`weight_by_size`).

    Groups within it are taken apart, as lm-eval's own aggregation does.

    Raises:
        TaskError: there is no such group, or it weighs its metrics in several ways.
    """
    manager = harness.index(include_path)
    entry = manager.task_index.get(name)
    if entry is None or name in manager.all_subtasks:
        near = difflib.get_close_matches(name, list(manager.task_index), 3, 0.7)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise TaskError(f"lm-eval has no task, group or tag '{name}'.{hint} `lm_eval ls tasks` lists those it has.")
    if name in manager.all_tags:
        return sorted(entry.tags), True
    said = entry.cfg.get("aggregate_metric_list") or []
    weights = {bool(each.get("weight_by_size", True)) for each in (said if isinstance(said, list) else [said])}
    if len(weights) > 1:
        raise TaskError(f"group '{name}' of lm-eval weighs its metrics in several ways. Name its tasks one by one.")
    return list(dict.fromkeys(_leaves(name, entry.cfg.get("task"), manager))), weights != {False}


def entry(name: str, include_path: tuple[str, ...] = ()) -> str:
    """The entry of a task or group of lm-eval for `tasks` in config.yaml, as YAML.

    The metric is acc_norm where the (first) task's file names it, else the first that can be scored here.

    Raises:
        TaskError: there is no such task or group, or it can't be scored.
    """
    members: list[str] = []
    by_size, inner = True, name
    try:
        said = harness.stock(name, include_path)
    except TaskError:
        members, by_size = group(name, include_path)
        inner = members[0]
        said = harness.stock(inner, include_path)
    tasks.check_kind(inner, said)
    listed = said.get("metric_list") or [{"metric": metric} for metric in DEFAULTS[said["output_type"]]]
    metrics = [metric for metric in (*SHARES, *LOGARITHMS) if metric in {each.get("metric") for each in listed}]
    if not metrics:
        raise TaskError(f"'{inner}' has no metric that can be scored here (docs/tasks.md).")
    found: dict[str, Any] = {"metric": "acc_norm" if "acc_norm" in metrics else metrics[0]}
    found |= ({"subtasks": members} if members else {}) | ({} if by_size else {"by_size": False})
    return yaml.safe_dump({name: found}, default_flow_style=None, sort_keys=False, width=120)


def _leaves(name: str, members: Any, manager: Any) -> Iterator[str]:
    """The names of the tasks of a group, in its order."""
    for member in [members] if isinstance(members, str) else members or []:
        if isinstance(member, dict) and "group" in member and "task" in member:
            yield from _leaves(str(member["group"]), member["task"], manager)
            continue
        if isinstance(member, dict) and len(member) > 1:
            raise TaskError(
                f"group '{name}' of lm-eval changes its tasks ({member}), so they are no tasks of their own."
            )
        inner = str(next(iter(member.values())) if isinstance(member, dict) else member)
        if inner in manager.all_groups:
            yield from _leaves(inner, manager.task_index[inner].cfg.get("task"), manager)
        elif inner in manager.all_tags:
            yield from sorted(manager.task_index[inner].tags)
        else:
            yield inner
