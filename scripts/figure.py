"""One figure of a model, in three formats."""

from pathlib import Path

from cornerstone import console

with console.script(snakemake.log[0]):
    from cornerstone import present
    from cornerstone.config import check

    present.write_figure(
        check(snakemake.config),
        snakemake.wildcards.kind,
        snakemake.wildcards.model,
        folder=Path(snakemake.input.drops).parent,
        values=Path(snakemake.input["values"]),
        stem=Path(snakemake.output[0]).with_suffix(""),
    )
