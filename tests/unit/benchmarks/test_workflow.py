"""What the workflow costs: processes that note their time, and the table that is made of it."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import large, workflow
from tests.helpers import ROOT

LOADING = """
import time

def load():
    import slow
    time.sleep(0.1)
"""


def noted(folder: Path, code: str, **environment: str) -> list[dict]:
    """What a process that runs `code` notes; modules of `folder` are there to import."""
    notes = folder / "notes"
    notes.mkdir()
    paths = os.pathsep.join([str(ROOT / "benchmarks" / "clock"), str(folder)])
    settings = os.environ | {"PYTHONPATH": paths, "CORNERSTONE_CLOCK": str(notes)} | environment
    subprocess.run([sys.executable, "-c", code, "given"], cwd=folder, env=settings, check=True)
    return [json.loads(path.read_text()) for path in notes.iterdir()]


def test_a_process_notes_where_its_time_went(tmp_path: Path) -> None:
    package = tmp_path / "cornerstone" / "engine"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()  # or the real package, which is installed, comes first
    (package / "loading.py").write_text(LOADING)
    (tmp_path / "slow.py").write_text("import time; time.sleep(0.2)")
    (process,) = noted(tmp_path, "import time; from cornerstone.engine import loading; loading.load(); time.sleep(0.3)")
    assert process["arguments"] == ["-c", "given"]
    wall = {part: seconds for part, (seconds, _) in process["parts"].items()}
    assert set(wall) == {"rest", "imports", "model load"}
    assert wall["model load"] == pytest.approx(0.1, abs=0.09)  # what it imports counts as imports
    assert wall["imports"] >= 0.2
    assert wall["rest"] >= 0.3
    assert sum(wall.values()) == pytest.approx(process["seconds"], abs=0.01)
    assert sum(cpu for _, cpu in process["parts"].values()) < 0.5 * process["seconds"]  # most of it is sleep


def parts() -> dict[str, str]:
    """What the clock times. It is read as a file: another module of this name may be loaded."""
    path = ROOT / "benchmarks" / "clock" / "sitecustomize.py"
    return dict(runpy.run_path(str(path), run_name="clock")["PARTS"])


@pytest.mark.parametrize("target", parts())
def test_what_the_clock_times_is_there(target: str) -> None:
    importlib.import_module("snakemake.api")  # its modules can't be imported in any order
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    assert callable(found)


JOB = """
from pathlib import Path
from benchmarks import large, streaming

settings = large.Settings(3, "resident", 3.0, streaming.SOME, 2, threads=1)
large.job(Path("model"), settings, Path("scratch"))
"""


def test_a_job_notes_each_of_its_parts(tmp_path: Path) -> None:
    """Each function is timed where the job calls it: a name that another module imported is another one."""
    large.generate(tmp_path / "model", large.Shape(3, 64, 128, 4, 2, 1100))
    (tmp_path / "scratch").mkdir()
    paths = os.pathsep.join([str(ROOT / "benchmarks" / "clock"), str(ROOT)])
    (process,) = noted(tmp_path, JOB, PYTHONPATH=paths)
    wanted = {part for target, part in parts().items() if target.startswith("cornerstone.")}
    assert wanted | {"imports"} == {*workflow.PARTS, "sweep"}
    assert set(process["parts"]) == wanted | {"imports", "rest"}


def test_without_a_folder_for_notes_nothing_is_timed() -> None:
    settings = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks" / "clock")}
    settings.pop("CORNERSTONE_CLOCK", None)
    code = "import builtins, sitecustomize; print(builtins.__import__.__name__, 'clock' in sitecustomize.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["__import__", "True"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["/x/.snakemake/scripts/tmpab_1.evaluate.py"], "evaluate"),
        (["/x/.snakemake/scripts/tmp9.deletion_curves.py"], "deletion_curves"),
        (["/x/bin/snakemake", "--cores", "2"], "snakemake"),
        (["/x/snakemake/__main__.py", "--quiet", "all", "--report", "r.html"], "snakemake --report"),
        (["/x/bin/cornerstone", "where", "--config", "config.yaml"], "cornerstone where"),
        (["scripts/other.py", "config.yaml"], "other"),
        ([], "python"),
    ],
)
def test_kinds_of_processes(arguments: list[str], kind: str) -> None:
    assert workflow.kind_of(arguments) == kind


def test_the_parts_of_a_run_add_up() -> None:
    job = {
        "arguments": ["tmp1.evaluate.py"], "seconds": 50.0, "cpu": 40.0,
        "parts": {"imports": [4.0, 3.0], "model load": [2.0, 2.0], "sweep": [40.0, 35.0], "rest": [4.0, 1.0]},
    }  # fmt: skip
    figure = {"arguments": ["tmp2.figure.py"], "seconds": 3.0, "cpu": 2.0, "parts": {"rest": [3.0, 2.0]}}
    main = {"arguments": ["snakemake"], "seconds": 60.0, "cpu": 5.0, "parts": {"rest": [60.0, 5.0]}}
    used = workflow.Used(wall=60.0, cpu=50.0, peak=0)
    rows = workflow.shares([job, figure, main], sweep=41.0, used=used, cores=2)
    value = {row.figure: row.value for row in rows}
    assert rows[0] == workflow.Row("orchestration, of the core-seconds of a run", 100 * 79 / 120, "%", "<= 15", False)
    assert value["orchestration, of the CPU time of a run"] == pytest.approx(100 * 15 / 50)
    assert value["evaluate, deletion: other"] == 50 - 4 - 2 - 41
    assert value["snakemake"] == 5
    assert value["idle cores"] == 120 - 50 - 3 - 5
    parts = [row.value for row in rows if row.unit == "core-s" and not row.figure.startswith(("run", "orch"))]
    assert sum(parts) == pytest.approx(120)


def test_a_child_is_measured(tmp_path: Path) -> None:
    held = b"x" * 700_000_000  # this process is larger than the child
    code = "import time; block = b'x' * 300_000_000; time.sleep(0.5)"
    used = workflow.measured([sys.executable, "-c", code], tmp_path, os.environ)
    assert used.wall > 0.5
    assert used.cpu < used.wall
    assert 300e6 < used.peak < len(held)
    with pytest.raises(RuntimeError, match="the reason"):
        workflow.measured([sys.executable, "-c", "raise SystemExit('the reason')"], tmp_path, os.environ)


def test_results_are_read_into_a_table() -> None:
    wall, cpu = workflow.collect(files=30, documents=5)
    assert wall.met
    assert wall.figure == "30 files of 5 documents to a table: wall time"
    assert 0 < cpu.value < 60


def test_a_target_is_met_or_not() -> None:
    assert workflow.at_most("a", 10.0, 10, "s").met
    assert not workflow.at_most("a", 10.1, 10, "s").met


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    """Assets are newer than the code that fetched them: the run must not fetch them again."""
    with pytest.raises(FileNotFoundError, match="snakemake fetch"), workflow.fresh_folder({}, tmp_path):
        pass
    (tmp_path / "documents").mkdir()
    marker = tmp_path / "documents" / "some.json"
    marker.touch()
    with workflow.fresh_folder({"run_tasks": ["boolq"]}, tmp_path) as folder:
        assert "run_tasks:\n- boolq\n" in (folder / "config.yaml").read_text()
        assert (folder / "resources" / "documents" / "some.json").samefile(marker)
        assert marker.stat().st_mtime > (folder / "scripts" / "fetch_model.py").stat().st_mtime
    assert not folder.exists()
    assert marker.exists()
