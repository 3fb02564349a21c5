"""List what jobs need and what of it is missing."""

from cornerstone import console, preflight
from cornerstone.config import check

with console.script(snakemake.log[0]):
    findings = preflight.look(check(snakemake.config), preflight.Circumstances(**snakemake.params.how))
    for finding in findings:
        if not finding.problem:
            console.say(f"ok: {finding.what}")
    preflight.need(findings)
