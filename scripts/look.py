"""Is a model's result settled at the present number of documents?"""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    import json

    from cornerstone.analysis import looks
    from cornerstone.assets import documents
    from cornerstone.config.config import load
    from cornerstone.files import write_noted

    config, model = load(snakemake.config), snakemake.params.model
    whole = {
        task: documents.read(Path(path))
        for task, path in zip(config.scored_tasks, snakemake.input.documents, strict=True)
    }
    found = looks.verdict(config, model, [Path(path) for path in snakemake.input["values"]], whole)
    log.log(found["text"])
    write_noted(Path(snakemake.output[0]), json.dumps(found, indent=1) + "\n")
