"""What was found, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.files import read_csv
    from cornerstone.present import summary

    config, given = load(snakemake.config), snakemake.input
    pictures = [Path(path) for path in given.figures]
    summary.write(
        config,
        {model: read_csv(Path(path)) for model, path in zip(config.run, given.cornerstones, strict=True)},
        {model: read_csv(Path(path)) for model, path in zip(config.run, given.baselines, strict=True)},
        {model: [path for path in pictures if path.parent.name == model] for model in config.run},
        [Path(path) for path in given.tables],
        Path(snakemake.output[0]),
        summary.compared(config.pairs, given.concentration, given.agreement, given.compared),
        dict(zip(config.run, [read_csv(Path(path)) for path in given.noise], strict=bool(given.noise))),
        dict(zip(snakemake.params.functions, [read_csv(Path(path)) for path in given.functions], strict=True)),
    )
