"""Runs that are killed at a random time, then run again: nothing is lost, nothing is computed twice."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.soak.lab import ENDS, VALUES, Lab
from tests.soak.outcomes import TRACE, Case, Ended, Outcome, Said, begin, end, finish, until
from tests.workflow.runner import Workflow

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WHOM = ("the process group", "Snakemake", "a job")
BUSY = "another run is under way"


def cases() -> list[Case]:
    """A hundred, which differ in signal, target, stage, moment, and how often it happens."""
    made = []
    for number in range(100):
        rng = random.Random(f"kill {number}")
        how, whom = SIGNALS[number % 3], WHOM[number // 3 % 3]
        late = rng.random() < 0.25
        times = rng.choice([1, 1, 1, 1, 2, 3])
        share = rng.random()
        what = f"{how.name} to {whom} while {'tables and figures are made' if late else 'coalitions are evaluated'}"
        what += f", after {share:.0%} of the time" + (f", {times} times" if times > 1 else "")

        def run(lab: Lab, how: signal.Signals = how, whom: str = whom, late: bool = late, times: int = times,
                share: float = share) -> Outcome:  # fmt: skip
            return killed(lab, how, whom, late, times, share)

        made.append(Case("kills", number, what, run))
    return made


def killed(lab: Lab, how: signal.Signals, whom: str, late: bool, times: int, share: float) -> Outcome:
    """Kill a run some times, then let it end; compare it with the undisturbed one."""
    orphans: list[psutil.Process] = []
    try:
        return _killed(lab, how, whom, late, times, share, orphans)
    finally:
        for orphan in orphans:  # psutil knows a process by its start, too: a number may be another's by now
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()


def _killed(
    lab: Lab, how: signal.Signals, whom: str, late: bool, times: int, share: float, orphans: list[psutil.Process]
) -> Outcome:
    workflow = lab.case()
    target = [] if late else [VALUES]
    _begin_at(workflow, late)
    kept: dict[str, int] = {}
    hit = 0
    for _ in range(times):
        running = begin(workflow.command(*target), workflow.folder, lab.out)
        _wait(workflow, running, share, lab.took("all" if late else "values"), late)
        with contextlib.suppress(psutil.NoSuchProcess):
            orphans += psutil.Process(running.pid).children(recursive=True)
        hit += _kill(running, how, whom)
        kept = {**finished(workflow), **kept}  # of what there was first
        text = _after(running, lab, whom)
        if text is None:
            return Outcome(Ended.HANG, "the killed run does not end")
        if how != signal.SIGKILL and TRACE in text:
            last = re.findall(r"^\w*(?:Error|Interrupt|Exception|Exit)\b.*", text, re.MULTILINE)
            return Outcome(Ended.TRACEBACK, last[-1] if last else "", text)
    said = _resume(lab, workflow, target)
    wrong = said.refusal(BUSY)
    if wrong is not None:
        return wrong if wrong.ended != Ended.NAMED else Outcome(Ended.UNNAMED, f"still, without a run: {wrong.said}")
    again = [name for name, inode in kept.items() if finished(workflow).get(name) != inode]
    if again:
        return Outcome(Ended.WRONG, f"computed twice: {', '.join(again[:3])}")
    differ = lab.differences(workflow)
    if not late:
        differ = [name for name in differ if (workflow.folder / name).exists()]
    if differ:
        return Outcome(Ended.WRONG, f"not those of an undisturbed run: {', '.join(differ[:3])}")
    return Outcome(Ended.RIGHT, f"{len(kept)} results were there" + ("" if hit else "; it had ended before"))


def _begin_at(workflow: Workflow, late: bool) -> None:
    results = workflow.folder / "results"
    if not late:
        shutil.rmtree(results)
        return
    for path in [*(results / "tiny").glob("*.csv"), results / "summary.md", results / "index.html"]:
        path.unlink()
    for name in ("tables", "figures"):
        shutil.rmtree(results / name)


def _wait(workflow: Workflow, running: subprocess.Popen[bytes], share: float, took: float, late: bool) -> None:
    """Until a part of the time is over; half of those that evaluate: until a number of results is there."""
    if late or share < 0.5:
        deadline = time.monotonic() + share * took * (1 if late else 2)
        until(lambda: running.poll() is not None or time.monotonic() > deadline, ENDS)
        return
    wanted = 1 + int(30 * (share - 0.5))
    until(lambda: running.poll() is not None or len(finished(workflow)) >= wanted, ENDS)


def _kill(running: subprocess.Popen[bytes], how: signal.Signals, whom: str) -> int:
    """Send the signal; 1 where somebody was there to take it."""
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if running.poll() is not None:
            return 0
        if whom == "the process group":
            os.killpg(running.pid, how)
        elif whom == "Snakemake":
            os.kill(running.pid, how)
        else:
            below = psutil.Process(running.pid).children(recursive=True)
            jobs = [child for child in below if ".snakemake/scripts" in " ".join(child.cmdline())]
            if not jobs:
                return 0
            jobs[-1].send_signal(how)
        return 1
    return 0


def _after(running: subprocess.Popen[bytes], lab: Lab, whom: str) -> str | None:
    """What the killed run said; None where it goes on for ever. Orphans of Snakemake go on: that is a part of it."""
    try:
        running.wait(ENDS)
    except subprocess.TimeoutExpired:
        end(running)
        return None
    if whom != "Snakemake":
        end(running)
    return lab.out.read_text(encoding="utf-8", errors="replace")


def _resume(lab: Lab, workflow: Workflow, target: list[str]) -> Said:
    """The same command again; where another run is still under way, once more when it has ended."""
    deadline = time.monotonic() + ENDS
    while True:
        running = begin(workflow.command(*target), workflow.folder, lab.out)
        said = finish(running, lab.out, ENDS)
        if said.code in (None, 0) or BUSY not in said.text or time.monotonic() > deadline:
            return said
        time.sleep(1)


def finished(workflow: Workflow) -> dict[str, int]:
    """The results that are there -> inode: one that is written again has another."""
    folder: Path = workflow.folder / "results"
    return {
        str(path.relative_to(folder)): path.stat().st_ino
        for name in ("coalitions", "deletion")
        for path in folder.glob(f"tiny/*/{name}/[!.]*.json")
    }
