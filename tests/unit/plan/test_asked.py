from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from snakemake.cli import parse_args

from cornerstone.errors import CoalitionError, StoreError
from cornerstone.plan.asked import Asked, asked, forced, of_files
from cornerstone.plan.snakemake import command_line
from tests.helpers import configured

CONFIG = configured({"run": ["tiny", "other"]})


def called(*arguments: str) -> Any:
    """What Snakemake makes of a command line."""
    return parse_args(["--cores", "1", "--workflow-profile", "none", *arguments])[1]


def path(name: str, model: str = "tiny", task: str = "alpha") -> str:
    return f"results/{model}/{task}/coalitions/{name}.json"


def test_coalitions_are_found_among_targets_for_each_model_and_task() -> None:
    targets = [
        path("drop-attn0-ffn2"),
        path("drop-attn0"),
        path("full"),
        "all",
        path("drop-attn0", task="beta"),
        "./" + path("drop-ffn1"),
        "results/summary.md",
    ]
    targets += [path("full", "other"), "elsewhere/full.json", "results/tiny/alpha/deletion/full.json"]
    assert of_files(CONFIG, targets, ["./" + path("full"), "evaluate_tiny_0"]) == [
        Asked("tiny", "alpha", ("drop-attn0", "drop-attn0-ffn2", "drop-ffn1", "full"), ("full",)),
        Asked("tiny", "beta", ("drop-attn0",)),
        Asked("other", "alpha", ("full",)),
    ]
    assert of_files(CONFIG, ["all", "results/tiny/alpha/values.parquet", "results/gone/alpha/coalitions/x.json"]) == []


def test_what_is_forced_is_asked_for() -> None:
    """Snakemake makes a file that is forced, whether it is a target or not."""
    assert of_files(CONFIG, [], [path("full")]) == [Asked("tiny", "alpha", ("full",), ("full",))]


def test_a_name_of_no_coalition() -> None:
    with pytest.raises(CoalitionError, match="no player 'ffn9'"):
        of_files(CONFIG, [path("drop-ffn9")])


def test_each_request_has_a_rule_of_its_own() -> None:
    requests = [Asked("tiny", "alpha", ("full",)), Asked("tiny", "alpha", ("full",), ("full",))]
    requests += [
        Asked("tiny", "beta", ("full",)),
        Asked("other", "alpha", ("full",)),
        Asked("tiny", "alpha", ("a", "b")),
    ]
    assert len({request.rule for request in requests}) == len(requests)
    assert [request.log for request in requests[-2:]] == ["full", "a-and-1-more"]


def test_a_job_finds_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake tells its jobs the names of their rules, and nothing of the command line."""
    monkeypatch.chdir(tmp_path)
    (found,) = asked(CONFIG, called(path("full"), "--forcerun", path("drop-ffn1")), main=True)
    assert found == Asked("tiny", "alpha", ("drop-ffn1", "full"), ("drop-ffn1",))
    assert asked(CONFIG, called("--target-jobs", f"{found.rule}:", "collect:task=a"), main=False) == [found]
    assert forced(CONFIG, found.rule) == [Path(path("drop-ffn1"))]
    assert forced(CONFIG, "evaluate_any_tiny") == []
    with pytest.raises(StoreError, match=r"evaluate_asked_0\.json.*Run the same command again"):
        asked(CONFIG, called("--target-jobs", "evaluate_asked_0:"), main=False)


@pytest.mark.parametrize("option", ["--force", "--forceall"])
def test_targets_that_are_forced(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked(CONFIG, called(option, "--", path("full")), main=True) == [
        Asked("tiny", "alpha", ("full",), ("full",))
    ]
    assert asked(CONFIG, called(option), main=True) == []


def test_a_program_of_somebodys_has_no_command_line() -> None:
    assert command_line() is None
    assert asked(CONFIG, None, main=True) == []
