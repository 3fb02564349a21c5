"""What was found, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.config.pairs import name_of
    from cornerstone.files import read_csv
    from cornerstone.present import summary

    config, given = load(snakemake.config), snakemake.input
    pictures = [Path(path) for path in given.figures]
    agreements = {Path(path).parent.name: Path(path) for path in given.agreement}
    comparisons = {}
    for pair, path in zip(config.pairs, given.concentration, strict=True):
        agreed = agreements.get(name_of(pair))
        drawn = [Path(picture) for picture in given.compared if Path(picture).parent.name == name_of(pair)]
        found = read_csv(agreed) if agreed else None
        comparisons[pair] = summary.Compared(read_csv(Path(path)), found, drawn)
    summary.write(
        config,
        {model: read_csv(Path(path)) for model, path in zip(config.run, given.cornerstones, strict=True)},
        {model: read_csv(Path(path)) for model, path in zip(config.run, given.baselines, strict=True)},
        {model: [path for path in pictures if path.parent.name == model] for model in config.run},
        [Path(path) for path in given.tables],
        Path(snakemake.output[0]),
        comparisons,
    )
