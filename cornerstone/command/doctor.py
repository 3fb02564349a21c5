"""`cornerstone doctor`: everything that would fail later, looked at now and without a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cornerstone.assets import documents, fetch
from cornerstone.cluster import preflight
from cornerstone.cluster.preflight import Circumstances, Finding
from cornerstone.command.said import Said
from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.plan.layout import Layout
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
    findings = [*preflight.look(config, Circumstances(container, cluster, {})), *_models(config), *_metrics(config)]
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


def _tried(what: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except CornerstoneError as error:
        return Finding(what, str(error))
    return Finding(what)


def _models(config: Config) -> Iterator[Finding]:
    """Whether blocks, kinds and players of the entries are those of the weights."""
    for name in config.run:
        entry = config.models[name]
        try:
            folder = fetch.model_folder(Path(Layout(config).model_marker(name)), entry)
        except CornerstoneError:
            continue  # said of its weights

        def taken_apart(folder: Path = folder, name: str = name) -> None:
            from cornerstone.engine.loading import shapes_only  # torch and transformers
            from cornerstone.engine.network import Network

            entry = config.models[name]
            Network(shapes_only(folder, entry.dtype)[0], entry.all_players(), entry.kinds())

        yield _tried(f"layout of {name}", taken_apart)


def _metrics(config: Config) -> Iterator[Finding]:
    """Whether the documents define the metrics and are as many as an interval needs."""
    layout = Layout(config)
    for task in config.scored_tasks:
        for path in dict.fromkeys(layout.documents_for(name, task) for name in config.run):
            if Path(path).is_file():  # else it is said already

                def read(path: str = path, task: str = task) -> None:
                    documents.read(Path(path)).need_metric(config.task(task).metric, config.value_functions)

                yield _tried(f"{task} in {path}", read)
