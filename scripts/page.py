"""What was found, on a page that opens in a browser."""

from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0]):
    from cornerstone.config.config import load
    from cornerstone.evaluate import result
    from cornerstone.present.page import write

    write.write(load(snakemake.config), result.read)
