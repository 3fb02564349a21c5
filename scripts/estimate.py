"""Values, drops, baselines and cornerstones of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    import json

    from cornerstone.analysis import write
    from cornerstone.assets import documents
    from cornerstone.config.config import load
    from cornerstone.files import write_frames, write_noted

    config = load(snakemake.config)
    model = snakemake.wildcards.model
    scored = {
        task: documents.read(Path(path)).first(config.limit(model, task))
        for task, path in zip(config.scored_tasks, snakemake.input.documents, strict=True)
    }
    values = [Path(path) for path in snakemake.input["values"]]
    frames = write.estimates(config, model, values, scored)
    write_frames(frames, [Path(path) for path in snakemake.output.tables], values)
    write_noted(Path(snakemake.output.provenance), json.dumps(write.provenance(config, model), indent=2) + "\n")
