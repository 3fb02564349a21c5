"""Have lm-eval make the documents of the active tasks, and keep them as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.plan.snakemake import online

    online()
    from cornerstone.assets import fetch, tasks
    from cornerstone.assets.recipe import Recipe
    from cornerstone.config.config import load
    from cornerstone.plan.layout import Layout

    params, config = snakemake.params, load(snakemake.config)
    wheels = Path(Layout(config).wheels)
    folder = fetch.model_folder(Path(snakemake.input[0]), config.models[params.model]) if params.model else None
    for path, said in zip(snakemake.output, params.recipes, strict=True):
        recipe = Recipe(**said)
        # not among the params: another metric makes no other documents
        metric = config.task(recipe.task).metric
        tasks.ensure(Path(path), recipe, metric, config.value_functions, wheels, params.code, folder)
