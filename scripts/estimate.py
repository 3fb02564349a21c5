"""Values, drops, baselines and cornerstones of a model."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.analysis import write
    from cornerstone.assets import documents as tasks
    from cornerstone.config.config import check

    config = check(snakemake.config)
    model = snakemake.wildcards.model
    documents = {
        task: tasks.read(Path(path)).first(config.limit(model, task))
        for task, path in zip(config.run_tasks, snakemake.input.documents, strict=True)
    }
    write.write_estimates(config, model, [Path(path) for path in snakemake.input["values"]], documents)
