"""One figure of a model, in three formats."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.present import summary

    summary.write_figure(
        check(snakemake.config),
        snakemake.wildcards.kind,
        snakemake.wildcards.model,
        folder=Path(snakemake.input.drops).parent,
        values=Path(snakemake.input["values"]),
        stem=Path(snakemake.output[0]).with_suffix(""),
    )
