"""Forecast what the active config costs: a table on the terminal, plan.csv and plan.md."""

from pathlib import Path

from cornerstone import log

with log.script(snakemake.log[0]):
    from cornerstone.config.config import check
    from cornerstone.forecast import table

    config = check(snakemake.config)
    markers = dict(zip(config.run, map(Path, snakemake.input.outlines), strict=True))
    text = table.write(config, markers, Path(config.paths.results))
    print(f"\n{text}\nwritten to {config.paths.results}/plan.csv and plan.md\n", flush=True)
