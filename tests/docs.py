"""What the Markdown files say about the code: the tour's line counts, and the paths, links and commands that they name.

`python -m tests.docs` writes the counts in docs/tour.md anew; tests/unit/test_docs.py compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cornerstone"
TOUR = ROOT / "docs" / "tour.md"
BEGIN, END = "<!-- lines: begin -->", "<!-- lines: end -->"
GENERATED = ("benchmarks/results/", "docs/architectures.md", "docs/cli.md", "docs/configuration.md", "docs/outputs.md")
"""Markdown that programs write; how they wrap lines is theirs."""
OPTIONAL = "–"
"""In the first column of the tour: not one of its stops, and not in their sum."""

PLACEHOLDER = re.compile(r"[<>*{}$?\s]|\.\.\.")
MADE_BY_RUNS = ("results", "resources", "logs", "build", "dist", ".snakemake", ".venv", ".cache")
"""First folders of paths that only a run makes."""
MADE_LATER = {"containers/evaluate.sif", "containers/evaluate.sif.sha256"}
COUNTED = re.compile(r"^\| (?P<stop>[^|]*) \| `(?P<path>[^`]+)` \| *(?P<lines>\d*) *\|(?P<rest>.*)$")


def markdown(root: Path = ROOT) -> list[Path]:
    """Every Markdown file of the repository, without those that runs make."""
    folders = [
        folder
        for folder in root.iterdir()
        if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith((".", *MADE_BY_RUNS))
    ]
    pages = [*root.glob("*.md"), root / "results" / "README.md", *(page for f in folders for page in f.rglob("*.md"))]
    return sorted(pages)


def written_by_hand(path: Path) -> bool:
    """True where a person writes the file."""
    return not path.relative_to(ROOT).as_posix().startswith(GENERATED)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside of code blocks, with their numbers from 1; a code block's lines come as empty ones."""
    inside = False
    for number, line in enumerate(text.split("\n"), start=1):
        fence = line.lstrip().startswith("```")
        yield number, "" if inside or fence else line
        inside ^= fence


def broken_paragraphs(text: str) -> list[int]:
    """Numbers of the lines that go on with the paragraph, or the item of a list, of the line before."""

    def alone(line: str) -> bool:
        return not line.strip() or line.lstrip().startswith(("|", "#", "<!--", "![", "$$"))

    found, before = [], ""
    for number, line in prose(text):
        begins = re.match(r"\s*([-*+>]|\d+\.)\s", line) is not None
        if not alone(line) and not alone(before) and not begins:
            found.append(number)
        before = line
    return found


def links(text: str) -> list[str]:
    """Targets of links and images that are no addresses of the web."""
    targets = [
        target for _, line in prose(text) for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line))
    ]
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]


def anchors(text: str) -> set[str]:
    """Names under which the headings of a file can be linked to, as GitHub makes them."""
    found: set[str] = set()
    for _, line in prose(text):
        if heading := re.match(r"#+ +(.*)", line):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).replace("\\", "")
            name = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            found.add(name if name not in found else f"{name}-1")
    return found


def missing_links(path: Path) -> list[str]:
    """Links of a Markdown file whose file or heading does not exist."""
    text, missing = path.read_text(encoding="utf-8"), []
    for target in links(text):
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8"))):
            missing.append(target)
    return missing


def quoted(text: str) -> list[str]:
    """What stands in backticks."""
    return [part for _, line in prose(text) for part in re.findall(r"`([^`]+)`", line)]


def named_paths(text: str, package: Path = PACKAGE) -> list[str]:
    """What stands in backticks and looks like a path of this repository: its first folder is one here.

    A path may be that inside the package: `engine/sweep.py`.
    """
    first = {folder.name for folder in ROOT.iterdir() if folder.is_dir()}
    first |= {folder.name for folder in package.iterdir() if folder.is_dir()} - {"__pycache__"}
    first |= {"studies", "examples"}
    found = []
    for part in quoted(text):
        name = part.removeprefix("./").rstrip("/")
        head = name.partition("/")[0]
        if PLACEHOLDER.search(name) or head in MADE_BY_RUNS or name in MADE_LATER:
            continue
        in_a_folder = "/" in part and head in first and not part.startswith("/")
        if in_a_folder or re.fullmatch(r"[\w.-]+\.(py|smk|toml|cff)", name):
            found.append(name)
    return found


def missing_paths(text: str) -> list[str]:
    """Of these, what is neither in the repository nor in the package."""
    files = {path.name for path in ROOT.glob("*")} | {path.name for path in PACKAGE.rglob("*.py")}
    files |= {path.name for folder in ("rules", "scripts", "tests") for path in (ROOT / folder).rglob("*")}
    return [
        name
        for name in named_paths(text)
        if not ((ROOT / name).exists() or (PACKAGE / name).exists() or ("/" not in name and name in files))
    ]


def make_targets(makefile: str) -> set[str]:
    """What can be made."""
    rules = [line.partition(":")[0].split() for line in makefile.split("\n") if re.match(r"[\w./ -]+:(?!=)", line)]
    return {target for line in rules for target in line}


def commands(text: str) -> list[str]:
    """Targets of make that a Markdown file names, in backticks or in a code block."""
    lines = [line.strip() for line in text.split("\n")]
    said = [part for line in lines for part in re.findall(r"`(make [^`]+)`", line)]
    said += [line.partition("#")[0] for line in lines if line.startswith("make ")]
    words = [word for command in said for word in command.split()[1:]]
    return [word for word in words if "=" not in word and not word.startswith("-")]


def studies(text: str) -> list[str]:
    """Names of studies in a Markdown file's commands."""
    return re.findall(r"\bmake study NAME=([\w-]+)", text)


def study(name: str) -> Path:
    """The file of a study."""
    return ROOT / "studies" / f"{name}.yaml"


def navigation(text: str) -> list[str]:
    """Pages that the site's side bar names (mkdocs.yml), as they are staged: those of docs/ without `docs/`."""

    def pages(part: object) -> Iterator[str]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            for below in part.values():
                yield from pages(below)
        elif isinstance(part, list):
            for below in part:
                yield from pages(below)

    return list(pages(yaml.safe_load(text)["nav"]))


def cornerstone_calls(text: str) -> list[list[str]]:
    """Calls of the command `cornerstone` in backticks and in code blocks: their words, without a comment.

    A placeholder (`<name>`, `...`, a word in capitals) stays as it is written.
    """
    lines = [line.strip() for line in text.split("\n")]
    said = [part for line in lines for part in re.findall(r"`(?:\.venv/bin/)?cornerstone ([^`]+)`", line)]
    said += [found[1] for line in lines if (found := re.match(r"(?:\$ )?(?:\.venv/bin/)?cornerstone (.*)", line))]
    calls = [re.split(r"\s+#|[|;&>]", call)[0].split() for call in said]
    return [call for call in calls if call and re.fullmatch(r"[a-z][a-z-]*", call[0])]


def sessions(text: str) -> str:
    """The code blocks of a page that are Python sessions (`>>>`), one after another."""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in blocks if block.startswith(">>>"))


def lines_of(path: Path) -> int:
    """Lines of a file, or of all Python files of a folder."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def counted(text: str, root: Path = ROOT) -> str:
    """The tour with today's line counts.

    Raises:
        FileNotFoundError: the tour names a file that does not exist; the message says which, all of them.
        ValueError: the marks between which the counts stand are missing.
    """
    head, begin, rest = text.partition(BEGIN)
    table, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/tour.md has lost the marks {BEGIN} and {END} around its table of files")
    missing, rows, total = [], [], 0
    for line in table.split("\n"):
        row = COUNTED.match(line)
        if row is None:
            rows.append(line)
            continue
        if not (root / row["path"]).exists():
            missing.append(row["path"])
            continue
        count = lines_of(root / row["path"])
        total += count if row["stop"].strip() != OPTIONAL else 0
        rows.append(f"| {row['stop']} | `{row['path']}` | {count} |{row['rest']}")
    if missing:
        raise FileNotFoundError(
            f"docs/tour.md names files that do not exist: {', '.join(missing)}. Name those that took their place."
        )
    summed = [re.sub(r"^Together: \d* lines", f"Together: {total} lines", row) for row in rows]
    return head + begin + "\n".join(summed) + end + tail


if __name__ == "__main__":
    try:
        new = counted(TOUR.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    TOUR.write_text(new, encoding="utf-8")
