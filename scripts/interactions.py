"""Interactions of pairs of players, and the paper's assumptions and hypotheses against them."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.analysis import write
    from cornerstone.config.config import check

    config, paths = check(snakemake.config), [Path(path) for path in snakemake.input["values"]]
    write.write_interactions(config, snakemake.params.model, paths)
