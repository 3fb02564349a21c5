"""docs/outputs.md, made from description.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cornerstone.files import write_text
from cornerstone.outputs.described import Column, Described, Description, description

NAME = "docs/outputs.md"


def page() -> str:
    """All files and columns, for people."""
    made = description()
    blocks = [
        "# Outputs",
        "Generated from `cornerstone/outputs/description.yaml` by `cornerstone schema`; do not edit by hand. "
        "`datapackage.json` in the results says the same for programs.",
        made.introduction,
        "Columns that many files share:",
        _table(made.shared),
    ]
    done: set[str] = set()
    for entry in made.files:
        if entry.hidden or entry.part in done:
            continue
        if entry.part is not None:
            done.add(entry.part)
            blocks += _part(made, entry.part)
        else:
            blocks += [f"## {entry.heading}", *_body(entry)]
    return "\n\n".join([*blocks, made.beside]) + "\n"


def write(root: Path) -> Path:
    """Write the page below `root`; returns its path."""
    write_text(root / NAME, page())
    return root / NAME


def _part(made: Description, name: str) -> list[str]:
    """A section that several kinds of files share."""
    part = made.parts[name]
    blocks = [f"## {part['heading']}", part["text"].strip()]
    for entry in made.files:
        if entry.part == name:
            file = entry.paths[0].rpartition("/")[2]
            blocks += [f"### {file}", *_body(entry)]
    return blocks


def _body(entry: Described) -> list[str]:
    rows = f"There is {entry.rows}." if entry.rows.startswith(("a ", "one ")) else f"{entry.rows.capitalize()}."
    paragraphs = [entry.text] if entry.text else []
    if entry.rows:
        paragraphs.append(rows)
    own = [column for column in entry.columns if not column.shared]
    shared = [f"`{column.name}`" for column in entry.columns if column.shared]
    if own:
        paragraphs.append(_table(own))
    if shared:
        paragraphs.append(f"{'Also' if own else 'Columns:'} {', '.join(shared)} (see above).")
    return paragraphs + ([entry.after] if entry.after else [])


def _table(columns: Iterable[Column]) -> str:
    rows = ["| column | type | meaning |", "|---|---|---|"]
    for column in columns:
        meaning = column.meaning.replace("|", "\\|")
        kind = column.type + (", may be empty" if column.empty else "")
        rows.append(f"| `{column.name}`{' (not always there)' if column.optional else ''} | {kind} | {meaning} |")
    return "\n".join(rows)
