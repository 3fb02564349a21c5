"""What is generated from the typed configuration: the JSON schema for editors, and docs/configuration.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from cornerstone.config.config import Config, Deletion, Documents, Intervals, Paths, Task
from cornerstone.config.looks import Until
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
from cornerstone.config.sections import Noise
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
        ("noise", Noise),
        ("until", Until),
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
        rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        known = section.model_json_schema()["properties"]
        for key, field in section.model_fields.items():
            default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
            rows.append(f"| `{key}` | {default} | {_allowed(known[field.alias or key])} | {field.description or '–'} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "keys",
    "null": "`null`",
}
"""JSON's types in words."""


def _allowed(said: dict[str, Any]) -> str:
    """What a key may be, by its JSON schema."""
    if either := said.get("anyOf") or said.get("oneOf"):
        return " or ".join(dict.fromkeys(_allowed(each) for each in either))
    if "const" in said or "enum" in said:
        return ", ".join(f"`{json.dumps(each)}`".replace('"', "") for each in said.get("enum", [said.get("const")]))
    if "$ref" in said:
        return "keys"
    ends = {
        key: said[name]
        for key, name in (
            ("from", "minimum"),
            ("above", "exclusiveMinimum"),
            ("to", "maximum"),
            ("below", "exclusiveMaximum"),
        )
        if name in said
    }
    return " ".join([_TYPES.get(str(said.get("type")), "anything"), *(f"{key} {end:,}" for key, end in ends.items())])


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
