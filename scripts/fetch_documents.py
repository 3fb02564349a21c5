"""Have lm-eval make the documents of the active tasks, and keep them as JSON."""

import os
from pathlib import Path

from cornerstone import log

os.environ["HF_HUB_OFFLINE"] = "0"  # fetching is the only step with network

with log.script(snakemake.log[0]):
    from cornerstone.assets import documents
    from cornerstone.config.config import check

    resources = Path(check(snakemake.config).paths.resources)
    made = zip(snakemake.output, snakemake.params.revisions.items(), strict=True)
    for path, (task, revision) in made:
        documents.ensure(Path(path), task, snakemake.params.source, revision, resources)
