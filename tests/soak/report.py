"""What came out: a row a case in a CSV file, and docs/reliability.md made from the rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.soak.outcomes import GOOD, MEANING, Ended, Outcome

COLUMNS = ["kind", "number", "what", "ended", "said", "seconds", "code"]
KINDS = {
    "kills": "A run is killed (KILL, TERM, INT; its process group, Snakemake, a job) and started again",
    "corruptions": "A file is damaged, and what is made from it is asked for",
    "configs": "A wrong config.yaml",
    "strings": "What a shell would run, through SLURM and Apptainer",
    "models": "A hostile folder of a model",
}


def read(path: Path) -> pd.DataFrame:
    """The rows that are there; none where the file is not."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path, dtype={"code": str}, keep_default_na=False)[COLUMNS]


def add(rows: pd.DataFrame, path: Path, key: tuple[str, int], row: list[object]) -> pd.DataFrame:
    """Put a row in place of that of the same case, and write the file."""
    kept = rows[(rows["kind"] != key[0]) | (rows["number"] != key[1])]
    made = pd.DataFrame([row], columns=COLUMNS)
    rows = made if kept.empty else pd.concat([kept, made])
    order = {kind: place for place, kind in enumerate(KINDS)}
    rows = rows.sort_values(["kind", "number"], key=lambda c: c.map(order) if c.name == "kind" else c)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False, lineterminator="\n")
    return rows


def short(outcome: Outcome, *folders: Path) -> str:
    """What was said, without the folders of this machine, on one line."""
    text = outcome.said
    for folder in folders:
        text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    return " ".join("".join(letter if letter.isprintable() or letter.isspace() else "?" for letter in text).split())[
        :160
    ]


def failed(rows: pd.DataFrame) -> pd.DataFrame:
    """The cases that ended as none should."""
    return rows[~rows["ended"].isin([str(ended) for ended in GOOD])]


def page(rows: pd.DataFrame, planned: dict[str, int]) -> str:
    """docs/reliability.md.

    Args:
        rows: of all cases that were tried.
        planned: kind -> cases that there are.
    """
    shown = [ended for ended in Ended if (rows["ended"] == str(ended)).any() or ended in GOOD]
    head = ["what is tried", "cases", "tried", *map(str, shown)]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    for kind, count in planned.items():
        of = rows[rows["kind"] == kind]
        counts = [str(int((of["ended"] == str(ended)).sum())) for ended in shown]
        lines.append(" | ".join([KINDS[kind], str(count), str(len(of)), *counts]))
    table = "\n".join(f"| {line} |" for line in lines)
    meaning = "\n".join(f"- **{ended}**: {MEANING[ended]}" for ended in shown)
    bad = failed(rows)
    said = "\n".join(f"- {_plain(line)}" for line in told(bad)) or "None."
    codes = rows["code"].nunique()
    note = "All with one state of the code." if codes <= 1 else f"With {codes} states of the code; run it again."
    missing = sum(planned.values()) - len(rows)
    part = f" {missing} of the cases were not tried yet." if missing else ""
    text = (Path(__file__).parent / "page.txt").read_text(encoding="utf-8")
    return text.format(count=sum(planned.values()), note=note, part=part, table=table, meaning=meaning, said=said)


def told(rows: pd.DataFrame) -> list[str]:
    """A line for each case: its name, what was tried, how it ended, what was said."""
    each = zip(*(rows[column] for column in ("kind", "number", "what", "ended", "said")), strict=True)
    return [f"{kind} {number}, {what}: {ended}. {said}" for kind, number, what, ended, said in each]


def _plain(text: str) -> str:
    for letter in "\\`*_<>|[]{}$":
        text = text.replace(letter, f"\\{letter}")
    return text
