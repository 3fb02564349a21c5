"""Two models side by side: all tables of a comparison."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    import json

    from cornerstone.analysis import compare
    from cornerstone.config.config import load
    from cornerstone.files import write_frames, write_noted

    config, given = load(snakemake.config), snakemake.input
    first, second = snakemake.params.pair
    values = [Path(path) for path in given.first], [Path(path) for path in given.second]
    frames = compare.comparison(config, (first, second), values)
    write_frames(frames, map(Path, snakemake.output.tables), [*values[0], *values[1]])
    made = compare.provenance(config, (first, second))
    write_noted(Path(snakemake.output.provenance), json.dumps(made, indent=2) + "\n")
