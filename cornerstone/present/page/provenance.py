"""What made the page: settings, versions, fingerprints, files, and how to cite."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cornerstone import __version__, reading
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.game.coalitions import full, name
from cornerstone.plan import fingerprint
from cornerstone.present.figures import kinds
from cornerstone.present.page.flips import Read
from cornerstone.present.page.published import relative
from cornerstone.present.page.source import Source

PAPER = """@inproceedings{zhang-etal-2024-investigating,
  title     = {Investigating Layer Importance in Large Language Models},
  author    = {Zhang, Yang and Dong, Yanfei and Kawaguchi, Kenji},
  booktitle = {Proceedings of the 7th BlackboxNLP Workshop},
  year      = {2024},
  note      = {arXiv:2409.14381}
}"""
"""The paper, for BibTeX."""
REPORT = "report.html"
"""Snakemake's own report."""


def software() -> str:
    """This software, for BibTeX."""
    return f"""@software{{cornerstone,
  title   = {{Cornerstone: layer Shapley values of language models, with intervals}},
  author  = {{{{The Cornerstone authors}}}},
  version = {{{__version__}}},
  year    = {{2026}}
}}"""


def facts(source: Source, read: Read) -> dict[str, str]:
    """What made the model's numbers: name -> text.

    Raises:
        StoreError: provenance.json or a result is missing or damaged.
    """
    path = Path(source.layout.provenance(source.model))
    try:
        said: Mapping[str, Any] = reading.parsed(path)
        made_by = said["fingerprint"]
    except (UnreadableError, OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} can't be read ({error}). Delete it and run the workflow again.") from error
    players = source.config.models[source.model].all_players()
    task = source.config.scored_tasks[0]
    whole = read(Path(source.layout.coalition(source.model, task, name(full(players), players))))["provenance"]
    job, weights = whole["jobs"][-1], whole["model"]
    versions = {"cornerstone": __version__, **job["versions"]}
    return {
        "model": ", ".join(f"{key} {value}" for key, value in weights.items() if value not in (None, "")),
        "computed on": f"{job['device']}, weights {job['weights']}",
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "fingerprint of the estimates": str(made_by),
        "fingerprint of the results": fingerprint.of_result(source.config, source.model, task),
        "documents": "; ".join(
            f"{row['task']}: {row['documents']} of {row['split']}, {row['source']}"
            for _, row in source.baselines.iterrows()
        ),
    }


def when(source: Source) -> str:
    """The day on which the estimates were made."""
    made = Path(source.layout.provenance(source.model)).stat().st_mtime
    return datetime.fromtimestamp(made, UTC).date().isoformat()


def settings(source: Source) -> str:
    """What the config says beyond its defaults, of what this model needs, as YAML that can be run again."""
    config = source.config
    used = config.model_dump(exclude_defaults=True, mode="json")
    used["run"] = [source.model]
    used["models"] = {source.model: used["models"][source.model]}
    used["tasks"] = {task: used["tasks"][task] for task in config.run_tasks}
    used.pop("compare", None)
    return str(yaml.safe_dump(used, sort_keys=False, allow_unicode=True))


def files(source: Source) -> dict[str, list[str]]:
    """The files with the numbers of the page, relative to it: what they are -> paths.

    Those of the configuration, and not what happens to be there: the page of a resumed run is that of a straight one.
    """
    model, layout = source.model, source.layout
    tables = [*layout.estimates(model), *layout.relations(model), *layout.deletion(model)]
    values = [layout.values(model, task) for task in source.config.scored_tasks]
    drawn = [path for kind in kinds(layout.shown(model)) for path in layout.figure(model, kind)]
    return {
        "description of all files": [relative(source, layout.package)],
        "estimates (CSV)": [relative(source, path) for path in tables],
        "a row per coalition and document (Parquet)": [relative(source, path) for path in values],
        "figures at paper width (PDF)": [relative(source, path) for path in sorted(drawn) if path.endswith(".pdf")],
    }


def commands() -> list[str]:
    """How to make it again, with the settings above in a file."""
    return ["snakemake --cores 2 --configfile settings.yaml"]
