"""Wrong configurations, through the command of a user: each is refused before any job, and config.yaml is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from tests.soak.lab import Lab
from tests.soak.outcomes import Case, Ended, Outcome
from tests.unit.config.test_bad_configs import BASE, HUGE, LINES, NAMES, NUMBERS, PATHS, WHOLE, changed
from tests.workflow.runner import ROOT

NO_TEXTS: tuple[object, ...] = (5, [], {"a": "b"})


def cases() -> list[Case]:
    """A hundred and fifty of the corpus of the unit tests: lines, whole files, and values that nobody means."""
    texts: list[tuple[str, Callable[[], str]]] = []
    for old, new, _, _ in LINES:
        texts.append((f"{old} -> {new}", partial(BASE.replace, old, new, 1)))
    texts += [(text, partial(str, text)) for text, _ in WHOLE]
    values: list[tuple[str, object]] = [(key, value) for key in NUMBERS for value in HUGE]
    values += [(key, value) for key in (*PATHS, *NAMES) for value in NO_TEXTS]
    texts += [(f"{key}: {value!r}", partial(changed, key, value)) for key, value in values]
    random.Random("configs").shuffle(texts)
    made = []
    for number, (what, text) in enumerate(texts[:150]):

        def run(lab: Lab, text: Callable[[], str] = text) -> Outcome:
            return refused(lab, text())

        what = " ".join(repr(what.replace(str(ROOT), "HERE"))[1:-1].split())
        made.append(Case("configs", number, what if len(what) < 120 else f"{what[:80]}... of {len(what)} letters", run))
    return made


def refused(lab: Lab, text: str) -> Outcome:
    """Run Snakemake with this config.yaml; nothing may be made, nor be planned."""
    workflow = lab.quick()
    text = text.replace(str(ROOT), str(workflow.folder))
    (workflow.folder / "config.yaml").write_text(text, encoding="utf-8")
    before = sorted(workflow.folder.glob("*"))
    said = lab.run(workflow, "--dry-run")
    if sorted(workflow.folder.glob("*")) != before:
        return Outcome(Ended.WRONG, "files were made")
    found = said.refusal("config.yaml")
    if found is None:
        return Outcome(Ended.USED, f"taken: {said.last()}")
    if "cornerstone:" in said.text and "fetching" in said.text:
        return Outcome(Ended.USED, "jobs were started first")
    return found
