"""List what jobs need and what of it is missing."""

from typing import TYPE_CHECKING

from cornerstone import log

if TYPE_CHECKING:  # Snakemake puts it there
    from snakemake.script import snakemake

with log.script(snakemake.log[0], shown=True):
    from cornerstone.cluster import preflight
    from cornerstone.config.config import load

    findings = preflight.look(load(snakemake.config), preflight.Circumstances(**snakemake.params.how))
    for finding in findings:
        if not finding.problem:
            log.log(f"ok: {finding.what}")
    preflight.require(findings)
