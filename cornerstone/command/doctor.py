"""`cornerstone doctor`: everything that would fail later, looked at now and without a run."""

from __future__ import annotations

from cornerstone.cluster import preflight
from cornerstone.cluster.preflight import Circumstances
from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.schedule import processor


def doctor(config: Config, cluster: bool = False, container: bool = False) -> Said:
    """Look at versions, weights, documents, memory and room, and whether the entries fit weights and tasks.

    Args:
        config: the configuration.
        cluster: also ask SLURM whether it would take the jobs.
        container: also look at the image.

    Returns:
        Exit code 1 where something is wrong.
    """
    findings = preflight.look(config, Circumstances(container, cluster, {}))
    wrong = [finding for finding in findings if finding.problem]
    lines = [f"ok: {finding.what}" for finding in findings if not finding.problem]
    lines += [f"WRONG: {finding.what}: {finding.problem}" for finding in wrong]
    models = {name: config.models[name] for name in config.run}
    slow = [] if cluster else list(processor.slow_formats(models, processor.instructions()))
    lines += [f"SLOW: {each}" for each in slow]
    lines.append(f"{len(wrong)} {'thing' if len(wrong) == 1 else 'things'} to mend" if wrong else "nothing is wrong")
    data = {"wrong": len(wrong), "findings": [{"what": each.what, "problem": each.problem} for each in findings]}
    data["slow"] = slow
    return Said("\n".join(lines), data, int(bool(wrong)))
