"""Interactions of pairs of players, and the paper's assumptions and hypotheses against them."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    from cornerstone import analysis
    from cornerstone.config import check

    config, paths = check(snakemake.config), [Path(path) for path in snakemake.input["values"]]
    analysis.write_interactions(config, snakemake.params.model, paths)
