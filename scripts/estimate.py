"""Values, drops, baselines and cornerstones of a model."""

from pathlib import Path

from cornerstone import console, estimate, game, tasks
from cornerstone.config import check
from cornerstone.files import write_csv

with console.script(snakemake.log[0]):
    config = check(snakemake.config)
    model = snakemake.wildcards.model
    games = game.read_all(config, model, [Path(path) for path in snakemake.input.values])
    documents = {
        task: tasks.read(Path(path)).first(config.limit(model, task))
        for task, path in zip(config.run_tasks, snakemake.input.documents, strict=True)
    }
    values = [estimate.shapley(config, model, games, k) for k in config.estimators.window]
    for path, frame in zip(snakemake.output["values"], values, strict=True):
        write_csv(frame, Path(path))
    write_csv(estimate.ablations(config, model, games), Path(snakemake.output.drops))
    write_csv(estimate.baselines(config, model, games, documents), Path(snakemake.output.baselines))
    write_csv(estimate.cornerstones(values[0], model), Path(snakemake.output.cornerstones))
