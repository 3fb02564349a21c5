"""One figure of a model, in all its formats."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.files import read_csv
    from cornerstone.present.figures import figure

    frames = {name: read_csv(Path(path)) for name, path in snakemake.input.items()}
    paths = [Path(path) for path in snakemake.output]
    figure(snakemake.wildcards.kind).write(frames, snakemake.wildcards.model, paths, snakemake.params.level)
