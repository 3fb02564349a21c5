"""Running Snakemake for real, in a folder of its own, on a tiny random model and real documents."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoModelForCausalLM, LlamaConfig

from tests import tiny
from tests.helpers import windows
from tests.workflow import forked

ROOT = Path(__file__).parents[2]
CODE = (
    *("Snakefile", "rules", "scripts", "cornerstone", "snakemake_logger_plugin_cornerstone"),
    *("profiles", "slurm", "report", "containers", "envs"),
)
ENVIRONMENT = "env"


def configuration(blocks: int, largest: int, limit: int) -> dict[str, Any]:
    """A whole config.yaml for a tiny model in the folder `model`."""
    return {
        "run": ["tiny"],
        "run_tasks": ["arc_easy", "openbookqa"],
        "documents": {"source": "embedded", "limit": limit},
        "estimators": windows(largest),
        "deletion": {"share": 0.5, "points": 2, "orders": ["shapley", "depth"]},
        "intervals": {"bootstrap": 100},
        "tasks": {"arc_easy": {"metric": "acc_norm"}, "openbookqa": {"metric": "acc"}, "boolq": {"metric": "acc"}},
        "models": {"tiny": {"source": "folder", "id": "model", "blocks": blocks, "dtype": "float32"}},
    }


def save_model(folder: Path, blocks: int, width: int) -> None:
    """A random Llama of some size, with the tests' tokenizer."""
    settings = {**tiny.TINY["llama"].settings, "num_hidden_layers": blocks, "hidden_size": width}
    config = LlamaConfig(**{**settings, "intermediate_size": 2 * width, "initializer_range": 0.2})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)


def site_packages(environment: Path) -> Path:
    """Make an environment that has the packages of this one, too, after its own; return the folder of its own."""
    venv.create(environment, symlinks=True)
    places = {"base": str(environment), "platbase": str(environment)}
    ours, theirs = sysconfig.get_path("purelib"), Path(sysconfig.get_path("purelib", vars=places))
    # with what is installed there as a path, like this project; files of this kind are read in order of their names
    (theirs / "others.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return theirs


@dataclass(frozen=True)
class Workflow:
    """A working folder in which Snakemake runs a copy of the project's code."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, resources: Path, config: dict[str, Any], width: int = 32) -> Workflow:
        """Copy the code, save a model, and lay out documents and config."""
        workflow = cls.lay_out(folder, config)
        shutil.copytree(resources / "documents", folder / "resources" / "documents")
        save_model(folder / "model", config["models"]["tiny"]["blocks"], width)
        return workflow

    @classmethod
    def lay_out(cls, folder: Path, config: dict[str, Any]) -> Workflow:
        """Copy the code and write the config."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in CODE:
            source = ROOT / name
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.sif"))
            else:
                shutil.copy(source, folder / name, follow_symlinks=False)
        workflow = cls(folder)
        workflow._install()
        workflow.write_config(config)
        return workflow

    def copy(self, folder: Path) -> Workflow:
        """The same folder again, with everything Snakemake knows about it."""
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(ENVIRONMENT))
        workflow = Workflow(folder)
        workflow._install()
        return workflow

    def _install(self) -> None:
        """Make the copy of the code the one that is installed, as `pip install -e .` does."""
        (site_packages(self.folder / ENVIRONMENT) / "_copy.pth").write_text(f"{self.folder}\n")
        forked.launcher(self.folder / ENVIRONMENT)

    @property
    def python(self) -> str:
        """The Python that has the copy installed."""
        return str(self.folder / ENVIRONMENT / "bin" / "python")

    def write_config(self, config: dict[str, Any]) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def config(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    def command(self, *arguments: str) -> list[str]:
        return [self.python, "-m", "snakemake", "--cores", "2", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake and return what it said (stdout and stderr together). It is forked, so that it starts soon."""
        if sys.platform != "linux":  # where libraries do not take well to a fork
            return self.start(*arguments)
        return forked.run(self.command(*arguments), self.folder, dict(os.environ))

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same in a process of its own, as people start it."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def succeed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def log(self, name: str) -> str:
        """What a job has said: its log in the folder `logs`."""
        return (self.folder / "logs" / f"{name}.log").read_text()

    def planned_jobs(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs that a dry run would start, without `all` and the total."""
        said = self.succeed("--dry-run", *arguments)
        table = said.partition("Job stats:")[2].partition("\n\n")[0]
        jobs = {name: int(count) for name, count in re.findall(r"^(\S+)\s+(\d+)$", table, re.MULTILINE)}
        return {name: count for name, count in jobs.items() if name not in ("all", "total")}

    def coalitions(self, task: str) -> dict[str, Path]:
        folder = self.folder / "results" / "tiny" / task / "coalitions"
        # a killed writer may leave a hidden temporary file
        return {path.stem: path for path in sorted(folder.glob("[!.]*.json"))}

    def results(self, task: str) -> dict[str, Any]:
        """What each coalition's file says but for the time it took."""
        return {name: without_seconds(json.loads(path.read_text())) for name, path in self.coalitions(task).items()}


def without_seconds(result: dict[str, Any]) -> dict[str, Any]:
    for job in result["provenance"]["jobs"]:
        del job["seconds"]
    result.get("sha256", {}).pop("others", None)  # it is of the seconds, too
    return result
