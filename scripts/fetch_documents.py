"""Have lm-eval make the documents of the active tasks, and keep them as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.plan.snakemake import online

    online()
    from cornerstone.assets import documents
    from cornerstone.config.config import load
    from cornerstone.plan.layout import Layout

    params, wheels = snakemake.params, Path(Layout(load(snakemake.config)).wheels)
    for path, (task, revision) in zip(snakemake.output, params.revisions.items(), strict=True):
        documents.ensure(Path(path), task, params.source, revision, wheels, params.code, params.seed)
