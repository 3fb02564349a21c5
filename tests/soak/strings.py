"""Strings that a shell would run, in every place of the config that becomes part of a command of SLURM or Apptainer.

The jobs go to the private cluster of tests/hpc, in its image. A program `hostile` is on PATH: whatever runs it leaves a
file. Some strings may be taken: then the run has to end well all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.helpers import script
from tests.hpc import container, install
from tests.hpc import site as cluster_site
from tests.hpc.cluster import Cluster
from tests.soak.lab import Lab
from tests.soak.outcomes import Case, Ended, Outcome, Said
from tests.workflow.runner import ROOT

Config = dict[str, Any]
TARGET = "tiny/openbookqa/coalitions/full.json"


def _resource(key: str) -> Callable[[Config, str], object]:
    return lambda config, text: config["models"]["tiny"]["resources"].update({key: text})


def _path(key: str) -> Callable[[Config, str], object]:
    return lambda config, text: config.setdefault("paths", {}).update({key: text})


def _name(config: Config, text: str) -> None:
    config["models"] = {text: config["models"]["tiny"]}
    config["run"] = [text]


def _task(config: Config, text: str) -> None:
    config["tasks"][text] = {"metric": "acc"}
    config["run_tasks"] = [text]


PLACES: dict[str, Callable[[Config, str], object]] = {
    "partition": _resource("partition"),
    "account": _resource("account"),
    "constraint": _resource("constraint"),
    "the image": lambda config, text: config.update(container=text),
    "results": _path("results"),
    "resources": _path("resources"),
    "the model's folder": lambda config, text: config["models"]["tiny"].update(id=text),
    "the model's name": _name,
    "the task's name": _task,
    "the documents' file": lambda config, text: config["tasks"]["openbookqa"].update(documents=f"{text}.jsonl"),
}
ATTACKS = (
    "$(hostile)",
    ";hostile;",
    "a`hostile`",
    "x|hostile",
    "x&hostile&",
    "'\nhostile\n'",
    '";hostile;"',
    "x>hostile",
)
TAKEN: list[tuple[str, str]] = [
    # what the config lets through and a shell would read otherwise
    ("constraint", "(a100|h100)"),
    ("constraint", "a100|hostile"),
    ("partition", "gpu,hostile"),
    ("results", "re sults@%+=~.x"),
    ("the image", "im@%+=~age.sif"),
    ("the model's folder", "mo del@%+=~"),
]


def cases() -> list[Case]:
    """Thirty: attacks in all places in turn, and what the config lets through."""
    tried = [(place, ATTACKS[(i + 3 * turn) % len(ATTACKS)]) for turn in range(3) for i, place in enumerate(PLACES)]
    made = []
    for number, (place, text) in enumerate([*tried[: 30 - len(TAKEN)], *TAKEN]):

        def run(lab: Lab, place: str = place, text: str = text) -> Outcome:
            return submitted(lab, place, text)

        made.append(Case("strings", number, f"{place}: {text!r}", run))
    return made


class _Cluster:
    """One cluster for all cases, started with the first."""

    running: tuple[Cluster, container.Apptainer, Path] | None = None


@contextlib.contextmanager
def closed() -> Iterator[None]:
    """End the cluster at the end."""
    try:
        yield
    finally:
        if _Cluster.running is not None:
            _Cluster.running[0].stop()
            _Cluster.running = None


def _running(lab: Lab) -> tuple[Cluster, container.Apptainer, Path]:
    if _Cluster.running is None:
        apptainer = container.install(container.CACHE / "apptainer")
        image = container.evaluate(apptainer, container.CACHE)
        cluster = Cluster(lab.folder / "slurm")
        _Cluster.running = cluster, apptainer, image
        cluster.start()
    return _Cluster.running


def submitted(lab: Lab, place: str, text: str) -> Outcome:
    """Ask for one coalition through SLURM and Apptainer with the string in its place."""
    if problem := install.reason():
        return Outcome(Ended.SKIPPED, problem)
    cluster, apptainer, image = _running(lab)
    workflow = lab.case()
    mark = lab.folder / "MARK"
    mark.unlink(missing_ok=True)
    script(lab.folder / "bin", "hostile", f"echo ran >>'{mark}'")
    config = cluster_site.settings(image, blocks=4, largest=2, limit=4)
    if place == "the image" and "hostile" not in text:
        (workflow.folder / text).symlink_to(image)
    if place == "the model's folder" and "hostile" not in text:
        (workflow.folder / "model").rename(workflow.folder / text)
    PLACES[place](config, text)
    workflow.write_config(config)
    results = config.get("paths", {}).get("results", "results")
    for path in workflow.folder.glob(f"results/{TARGET}"):
        path.unlink()
    before = dict(cluster.jobs())
    said = _run(lab, cluster_site.Site(workflow, cluster, apptainer), f"{results}/{TARGET}")
    cluster.calm()
    if mark.exists() or any((*ROOT.glob("hostile"), *workflow.folder.rglob("hostile"))):
        return Outcome(Ended.RAN, said.last())
    found = said.refusal(text, repr(text), "config.yaml")
    if found is None and ("hostile" in text or not (workflow.folder / results / TARGET).is_file()):
        return Outcome(Ended.USED, f"taken: {said.last()}")
    if found is not None and found.ended == Ended.NAMED and cluster.jobs() != before:
        return Outcome(Ended.USED, f"a job was submitted first: {found.said}", said.text)
    return found or Outcome(Ended.RIGHT)


def _run(lab: Lab, site: cluster_site.Site, target: str) -> Said:
    kept = os.environ["PATH"]
    os.environ["PATH"] = f"{lab.folder / 'bin'}{os.pathsep}{kept}"
    try:
        done = site.run(target, "--retries", "0")
    except cluster_site.subprocess.TimeoutExpired:
        return Said(None, "")
    finally:
        os.environ["PATH"] = kept
    return Said(done.returncode, done.stdout)
