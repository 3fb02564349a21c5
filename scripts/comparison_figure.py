"""One figure of a comparison, in all its formats."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.files import read_csv
    from cornerstone.present.figures import figure
    from cornerstone.present.figures.drawing import save_figure

    frames = {name: read_csv(Path(path)) for name, path in snakemake.input.items()}
    drawn = figure(snakemake.wildcards.kind).draw(frames, " and ".join(snakemake.params.pair))
    save_figure(drawn, [Path(path) for path in snakemake.output])
