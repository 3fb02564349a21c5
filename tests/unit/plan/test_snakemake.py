from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.persistence.file import FilePersistence

from cornerstone import logfile
from cornerstone.errors import CoalitionError
from cornerstone.log import Failure
from cornerstone.plan import snakemake as corners
from cornerstone.plan.snakemake import check_coalition, forget_backup, forget_notes
from cornerstone.schedule import limits
from cornerstone.schedule.limits import Told
from tests.helpers import configured


def test_any_coalition_can_be_asked_for() -> None:
    config = configured()
    assert check_coalition(config, "tiny", "drop-attn0-ffn3") == "drop-attn0-ffn3"
    with pytest.raises(CoalitionError, match="no player 'ffn4'"):
        check_coalition(config, "tiny", "drop-ffn4")


@pytest.mark.parametrize(
    ("kind", "expected", "age", "times"),
    [
        ("ModelError", True, 0, 0),
        ("AssetError", True, 0, 0),
        ("ConfigError", True, 0, 0),
        ("StoreError", True, 0, 0),
        ("PreflightError", True, 0, 0),
        ("UnreadableError", True, 0, 0),
        ("CornerstoneError", True, 0, 2),  # out of memory: the next try asks for more
        ("OSError", False, 0, 2),
        ("ModelError", True, 3600, 2),  # of an earlier run: this job was killed before it could write
        (None, False, 0, 2),
    ],
)
def test_mistakes_are_not_retried(
    kind: str | None, expected: bool, age: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snakemake.jobs import Job

    usual = Job.restart_times
    monkeypatch.setattr(Job, "restart_times", usual)  # put back afterwards
    corners.retry_no_mistakes()
    corners.retry_no_mistakes()  # rules may be read twice
    log = tmp_path / "job.log"
    if kind is not None:
        log.write_text("some lines\n" + Failure(kind, "no such thing", expected).block())
        then = time.time() + 1 - age
        os.utime(log, (then, then))
    job = SimpleNamespace(log=[str(log)], rule=SimpleNamespace(restart_times=2))
    assert Job.restart_times.fget(job) == times


def test_jobs_are_offline_and_find_the_package_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logfile.ASIDE, str(tmp_path))
    monkeypatch.setenv(corners.OFFLINE, "0")
    monkeypatch.setenv("APPTAINERENV_PYTHONPATH", "/before")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    corners.prepare_jobs(Path("/root"))
    assert os.environ["APPTAINERENV_PYTHONPATH"] == "/root"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    corners.online()
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    corners.prepare_jobs(Path("/root"))
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


@pytest.mark.parametrize("absolute", [False, True])
def test_snakemakes_copy_of_an_older_result_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "full.json" if absolute else Path("results", "full.json")
    backup = Path(".snakemake", "backups", str(path).lstrip("/"))
    forget_backup(path)  # there is none
    backup.parent.mkdir(parents=True)
    for copy in (backup, backup.with_name("other.json")):
        copy.write_text("old")
    forget_backup(path)
    assert [copy.name for copy in backup.parent.iterdir()] == ["other.json"]


@pytest.mark.parametrize("path", ["results/full.json", "results/" + "drop-attn0-" * 40 + "ffn0.json"])
def test_snakemakes_notes_on_a_file_are_where_it_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".snakemake" / "metadata"
    folder.mkdir(parents=True)
    own = FilePersistence.__new__(FilePersistence)  # its way to name a record needs no workflow
    own._max_len = None
    record = Path(own._record_path(str(folder), path))
    record.parent.mkdir(parents=True, exist_ok=True)
    for found in (record, record.with_name("other")):
        found.write_text("{}")
    forget_notes(Path(path))
    assert [found.name for found in record.parent.iterdir()] == ["other"]
    forget_notes(Path(path))


def test_each_folder_of_results_has_notes_of_its_own() -> None:
    other = configured({"paths.results": "elsewhere"})
    assert corners.note(configured(), "tiny", "alpha") != corners.note(other, "tiny", "alpha")


def told(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], jobs: int, **resources: int) -> Told:
    monkeypatch.setenv(limits.TOLD, "{}")
    config = configured({"run": ["tiny", "other"], "models.other.blocks": 4, **changes})
    given = {name: SimpleNamespace(value=value) for name, value in resources.items()}
    corners.share_memory(SimpleNamespace(non_local_exec=False, global_resources=given), config, jobs)
    return Told.heard()


def test_jobs_are_told_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, {"models.tiny.threads": 4}, 12, _cores=8)
    assert not found.submitted
    assert found.host is not None
    assert found.host.bytes > 0
    assert found.jobs == {"tiny": 5, "other": 8}
    assert found.gpu_jobs == {}
    assert told(monkeypatch, {"models.tiny.threads": 4}, 1, _cores=8).jobs == {"tiny": 1, "other": 1}
    assert told(monkeypatch, {}, 0, _cores=8).jobs == {"tiny": 8, "other": 8}  # a plan of all that may come


@pytest.mark.parametrize(("resources", "at_once"), [({}, 8), ({"gpu": 2}, 2), ({"gpu": 1}, 1)])
def test_jobs_on_gpus_are_counted_by_themselves(
    resources: dict[str, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(monkeypatch, {"models.tiny.resources": {"gpus": 1}}, 12, _cores=8, **resources)
    assert found.gpu_jobs == {"tiny": at_once}


def test_a_clusters_jobs_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.TOLD, "{}")
    corners.share_memory(SimpleNamespace(non_local_exec=True), configured(), 12)
    assert Told.heard() == Told(submitted=True)
