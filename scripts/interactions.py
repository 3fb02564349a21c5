"""Interactions of pairs of players, and the paper's assumptions and hypotheses against them."""

from pathlib import Path

import pandas as pd

from cornerstone import assumptions, console, estimate, game
from cornerstone.config import check
from cornerstone.files import write_csv
from cornerstone.workflow import Layout

with console.script(snakemake.log[0]):
    config = check(snakemake.config)
    layout, model = Layout(config), snakemake.params.model
    paths = [Path(path) for path in snakemake.input.values]
    games = {function: game.read_all(config, model, paths, function) for function in layout.value_functions}
    distances = []
    for name in layout.interaction_names(model):
        for function, by_task in games.items():
            pairs, found = assumptions.measured(config, name, by_task)
            table = assumptions.interactions(config, model, name, pairs, found, by_task, function)
            write_csv(table, Path(layout.interactions(model, name, function)))
            if function == game.ACCURACY:
                distances.append(assumptions.by_distance(config, model, name, pairs, found, by_task))
    accuracy = games[game.ACCURACY]
    if distances:
        write_csv(pd.concat(distances, ignore_index=True), Path(snakemake.output.distance))
    write_csv(assumptions.by_removed(config, model, accuracy), Path(snakemake.output.removed))
    baselines = pd.read_csv(snakemake.input.baselines).set_index("task")
    headline = estimate.samples(config, config.estimators[0], {game.ACCURACY: accuracy})[game.ACCURACY]
    table = assumptions.hypotheses(
        config,
        model,
        accuracy,
        headline,
        pd.read_csv(snakemake.input.cornerstones),
        baselines["chance"].to_dict(),
    )
    write_csv(table, Path(snakemake.output.hypotheses))
