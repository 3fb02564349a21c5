"""One figure of a comparison, in all its formats."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.files import read_csv
    from cornerstone.present.figures import figure

    frames = {name: read_csv(Path(path)) for name, path in snakemake.input.items()}
    paths, pair = [Path(path) for path in snakemake.output], " and ".join(snakemake.params.pair)
    figure(snakemake.wildcards.kind).write(frames, pair, paths, snakemake.params.level)
