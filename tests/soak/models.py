"""Hostile folders of models, through `snakemake fetch`, with a user who says yes to every question."""

from __future__ import annotations

import random
import shutil

from tests.soak.lab import Lab, settings
from tests.soak.outcomes import Case, Ended, Outcome, call
from tests.unit.assets.test_hostile import HOSTILE, lay


def cases() -> list[Case]:
    """Thirty of the corpus of the unit tests."""
    names = list(HOSTILE)
    random.Random("models").shuffle(names)
    made = []
    for number, name in enumerate(names[:30]):

        def run(lab: Lab, name: str = name) -> Outcome:
            return fetched(lab, name)

        made.append(Case("models", number, name, run))
    return made


def fetched(lab: Lab, name: str) -> Outcome:
    """Fetch a model whose folder is hostile; code in it would leave a file."""
    workflow = lab.quick()
    config = settings()
    config["models"]["tiny"] |= {"id": "hostile", "blocks": 2}
    workflow.write_config(config)
    folder, mark = workflow.folder / "hostile", workflow.folder / "ran"
    shutil.rmtree(folder, ignore_errors=True)
    (workflow.folder / "resources/models/tiny.json").unlink(missing_ok=True)
    lay(folder, mark)
    HOSTILE[name][0](folder)
    said = call(workflow.command("fetch"), workflow.folder, lab.out, answer=b"y\n" * 100)
    if mark.exists():
        mark.unlink()
        return Outcome(Ended.RAN, said.last())
    found = said.refusal("hostile")
    return found or Outcome(Ended.USED, f"taken: {said.last()}")
