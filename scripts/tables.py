"""Tables 1-4 of the paper, for all active models."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    from cornerstone import present
    from cornerstone.config import check

    present.write_tables(
        check(snakemake.config),
        values=[Path(path) for path in snakemake.input["values"]],
        cornerstones=[Path(path) for path in snakemake.input.cornerstones],
        folder=Path(snakemake.output[0]).parent,
    )
