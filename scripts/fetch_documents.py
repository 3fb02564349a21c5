"""Have lm-eval make the documents of the active tasks, and keep them as JSON."""

import os
from pathlib import Path

from cornerstone import console, tasks
from cornerstone.config import check

os.environ["HF_HUB_OFFLINE"] = "0"  # fetching is the only step with network

with console.script(snakemake.log[0]):
    resources = Path(check(snakemake.config).paths.resources)
    made = zip(snakemake.output, snakemake.params.revisions.items(), strict=True)
    for path, (task, revision) in made:
        tasks.ensure(Path(path), task, snakemake.params.source, revision, resources)
