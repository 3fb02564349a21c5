"""Values, drops, baselines and cornerstones of a model."""

from pathlib import Path

from cornerstone import console, estimate, game, tasks
from cornerstone.config import check
from cornerstone.files import write_csv
from cornerstone.workflow import Layout

with console.script(snakemake.log[0]):
    config = check(snakemake.config)
    layout, model = Layout(config), snakemake.wildcards.model
    paths = [Path(path) for path in snakemake.input.values]
    documents = {
        task: tasks.read(Path(path)).first(config.limit(model, task))
        for task, path in zip(config.run_tasks, snakemake.input.documents, strict=True)
    }
    functions = layout.value_functions
    games = {function: game.read_all(config, model, paths, function) for function in functions}
    accuracy = games[game.ACCURACY]
    samples = {}
    for entry in config.estimators:
        found = estimate.samples(config, entry, games)
        samples[entry.name] = found[game.ACCURACY]
        for function in functions:
            values = estimate.shapley(config, model, entry, found[function], games[function], function)
            write_csv(values, Path(layout.shapley(model, entry.name, function)))
            if entry == config.estimators[0]:
                cornerstones = estimate.cornerstones(config, values, found[function], model)
                write_csv(cornerstones, Path(layout.cornerstones(model, function)))
    needed = {name: len(coalitions) for name, coalitions in layout.wanted(model)}
    comparison = estimate.comparison(config, model, samples, needed, accuracy)
    write_csv(comparison, Path(snakemake.output.comparison))
    write_csv(estimate.ablations(config, model, accuracy), Path(snakemake.output.drops))
    write_csv(estimate.baselines(config, model, accuracy, documents), Path(snakemake.output.baselines))
