"""Tables 1-4 of the paper, for all active models."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.present import summary

    summary.write_tables(
        check(snakemake.config),
        values=[Path(path) for path in snakemake.input["values"]],
        cornerstones=[Path(path) for path in snakemake.input.cornerstones],
        folder=Path(snakemake.output[0]).parent,
    )
