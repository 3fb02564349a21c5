"""Interactions of pairs of players, and the paper's assumptions and hypotheses against them."""

from pathlib import Path
from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.analysis import write
    from cornerstone.config.config import load
    from cornerstone.files import write_frames

    values = [Path(path) for path in snakemake.input["values"]]
    baselines, cornerstones = Path(snakemake.input.baselines), Path(snakemake.input.cornerstones)
    frames = write.relations(load(snakemake.config), snakemake.params.model, values, baselines, cornerstones)
    write_frames(frames, [Path(path) for path in snakemake.output], [*values, baselines, cornerstones])
