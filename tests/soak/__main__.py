"""Try what has not been tried yet: `python -m tests.soak [--kind KIND] [--count N] [--number N] [--again]`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from cornerstone.files import write_text
from tests.soak import configs, corruptions, kills, models, report, strings
from tests.soak.lab import Lab, code
from tests.soak.outcomes import GOOD, Case
from tests.workflow.runner import ROOT

CASES = {
    "kills": kills.cases,
    "corruptions": corruptions.cases,
    "configs": configs.cases,
    "strings": strings.cases,
    "models": models.cases,
}
CSV, PAGE = ROOT / "benchmarks/results/soak.csv", ROOT / "docs/reliability.md"


def chosen(arguments: argparse.Namespace, done: set[tuple[object, int]]) -> list[Case]:
    """The cases to try: those that were not tried with this code, of the kinds asked for, at most so many of each."""
    found = []
    for kind in arguments.kind or CASES:
        of = [case for case in CASES[kind]() if arguments.again or (kind, case.number) not in done]
        if arguments.number:
            of = [case for case in CASES[kind]() if case.number in arguments.number]
        found += of[: arguments.count]
    return found


def main() -> int:
    """Try them one after another; after each, write the rows and the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(CASES), help="only this kind; may be given again")
    parser.add_argument("--count", type=int, help="at most so many cases of each kind")
    parser.add_argument("--number", type=int, action="append", help="this case, tried or not")
    parser.add_argument("--again", action="store_true", help="also those that were tried with this code")
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/soak", help="where everything is made")
    parser.add_argument("--list", action="store_true", help="show the cases and try none")
    arguments = parser.parse_args()
    planned = {kind: len(made()) for kind, made in CASES.items()}
    today = code("tests/soak")
    rows = report.read(CSV)
    done = {
        (kind, int(number))
        for kind, number, made in zip(rows["kind"], rows["number"], rows["code"], strict=True)
        if made == today
    }
    cases = chosen(arguments, done)
    if arguments.list:
        print("\n".join(f"{case.kind} {case.number}: {case.what}" for case in cases))
        return 0
    lab = Lab(arguments.folder.resolve())
    if cases:
        lab.ready()
    with strings.closed():
        for place, case in enumerate(cases):
            started = time.monotonic()
            outcome = case.run(lab)
            seconds = round(time.monotonic() - started, 1)
            said = report.short(outcome, lab.folder / "case", lab.folder / "quick", lab.folder, ROOT, Path.home())
            ended = f"{outcome.ended} ({seconds} s)"
            print(f"{place + 1}/{len(cases)} {case.kind} {case.number}, {case.what}: {ended} {said}", flush=True)
            if outcome.ended not in GOOD:
                write_text(lab.folder / "bad" / f"{case.kind}-{case.number}.txt", outcome.text or outcome.said)
            row = [case.kind, case.number, case.what, str(outcome.ended), said, seconds, today]
            rows = report.add(rows, CSV, (case.kind, case.number), row)
            write_text(PAGE, report.page(rows, planned))
    bad = report.failed(rows)
    print(f"{len(rows)} of {sum(planned.values())} cases were tried, {len(bad)} ended as none should: see {PAGE}")
    print("\n".join(report.told(bad)))
    return 1 if len(bad) else 0


if __name__ == "__main__":
    sys.exit(main())
