"""What is generated from the typed configuration: the JSON schema for editors, and docs/configuration.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from cornerstone.config.config import Config, Deletion, Documents, Intervals, Paths, Task
from cornerstone.config.models import (
    Groups,
    MeanRemoval,
    Memory,
    Model,
    ModelDocuments,
    ReferenceDocuments,
    Resources,
    Runs,
)
from cornerstone.config.weights import Part, Weights
from cornerstone.estimators import ESTIMATORS, INTERACTIONS
from cornerstone.estimators.base import Asked
from cornerstone.files import write_text
from cornerstone.settings import Section


def schema() -> str:
    """The JSON schema of config.yaml, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """docs/configuration.md: a table of keys for each section."""
    parts = [
        "# Configuration\n",
        "Generated from `cornerstone/config/` and `cornerstone/estimators/` by `cornerstone schema`; do not edit by "
        "hand. `config.yaml` is the file that you edit; values given by `snakemake --config` or `--configfile` "
        "override it.\n",
    ]
    sections: list[tuple[str, type[Section]]] = [
        ("Top level", Config),
        ("documents", Documents),
        *((f"estimators: kind: {_kinds(section)}", section) for section in ESTIMATORS),
        *((f"interactions: kind: {_kinds(section)}", section) for section in INTERACTIONS),
        ("deletion", Deletion),
        ("intervals", Intervals),
        ("paths", Paths),
        ("tasks.<task>", Task),
        ("models.<model>", Model),
        ("models.<model>.parts", Part),
        ("models.<model>.base", Weights),
        ("models.<model>.players: runs", Runs),
        ("models.<model>.players: groups", Groups),
        ("models.<model>.removal: mean", MeanRemoval),
        ("models.<model>.removal: mean, documents", ReferenceDocuments),
        ("models.<model>.memory", Memory),
        ("models.<model>.resources", Resources),
        ("models.<model>.documents", ModelDocuments),
    ]
    for title, section in sections:
        parts.append(f"## {title}\n")
        parts.append(f"{(section.__doc__ or '').strip()}\n")
        rows = ["| key | default | meaning |", "|---|---|---|"]
        for key, field in section.model_fields.items():
            default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
            rows.append(f"| `{key}` | {default} | {field.description} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _kinds(section: type[Asked]) -> str:
    return ", ".join(get_args(section.model_fields["kind"].annotation))


def _shown(value: Any) -> str:
    if isinstance(value, Section):
        return "see below"
    if isinstance(value, list) and value and isinstance(value[0], Asked):
        return ", ".join(item.name for item in value)
    return json.dumps(value)


GENERATED = {"schemas/config.schema.json": schema, "docs/configuration.md": reference}
"""Files that are generated, by their place in the repository; a test fails when one is stale."""


def write(root: Path) -> list[Path]:
    """Write all of `GENERATED` below `root`; returns their paths."""
    for name, make in GENERATED.items():
        write_text(root / name, make())
    return [root / name for name in GENERATED]
