"""The Markdown files say what is so: their links, paths and commands exist, and they are written as agreed."""

from pathlib import Path

import pytest

from tests import docs

PAGES = docs.markdown()
WRITTEN = [path for path in PAGES if docs.written_by_hand(path)]
TODAY = [path for path in WRITTEN if path.name != "CHANGELOG.md"]  # which names what was there once


def _id(path: Path) -> str:
    return path.relative_to(docs.ROOT).as_posix()


def test_the_readme_is_short() -> None:
    lines = (docs.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150, "README.md has more than 150 lines; move something to a page in docs/ and link to it"


@pytest.mark.parametrize("page", WRITTEN, ids=_id)
def test_a_paragraph_is_one_line(page: Path) -> None:
    broken = docs.broken_paragraphs(page.read_text(encoding="utf-8"))
    assert not broken, f"{_id(page)}: these lines go on with the one before: {broken}. Join them"


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    assert docs.missing_links(page) == []


@pytest.mark.parametrize("page", TODAY, ids=_id)
def test_paths_exist(page: Path) -> None:
    missing = docs.missing_paths(page.read_text(encoding="utf-8"))
    assert not missing, f"{_id(page)} names what is neither here nor in cornerstone/: {missing}"


@pytest.mark.parametrize("page", TODAY, ids=_id)
def test_what_is_to_be_made_can_be_made(page: Path) -> None:
    targets = docs.make_targets((docs.ROOT / "Makefile").read_text(encoding="utf-8"))
    missing = sorted(set(docs.commands(page.read_text(encoding="utf-8"))) - targets)
    assert not missing, f"{_id(page)} says `make` of what the Makefile does not have: {missing}"


@pytest.mark.parametrize("page", TODAY, ids=_id)
def test_a_study_that_is_named_exists(page: Path) -> None:
    missing = [name for name in docs.studies(page.read_text(encoding="utf-8")) if not docs.study(name).is_file()]
    assert not missing, f"{_id(page)} names studies that are not in studies/: {missing}"


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    readme = docs.ROOT / "README.md"
    linked = {(readme.parent / target.partition("#")[0]).resolve() for target in docs.links(readme.read_text("utf-8"))}
    pages = {path for path in PAGES if path.parent.name == "docs" and path.parent.parent == docs.ROOT}
    assert sorted(_id(path) for path in pages - linked) == []


def test_the_tour_counts_the_lines_of_today() -> None:
    try:
        expected = docs.counted(docs.TOUR.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        pytest.fail(str(error))
    assert docs.TOUR.read_text(encoding="utf-8") == expected, "run `python -m tests.docs`: it counts the lines anew"


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("One line.\n\nAnother.", []),
        ("A paragraph that\ngoes on.", [2]),
        ("- an item\n- another", []),
        ("- an item\n  that goes on", [2]),
        ("1. an item\n   that goes on\n2. another", [2]),
        ("Code:\n```\na\nb\n```", []),
        ("- code in an item:\n  ```\n  a\n  b\n  ```\n  What follows it.", []),
        ("| a |\n|---|\n| b |", []),
        ("# Heading\nText.", []),
        ("> quoted\n> in lines", []),
    ],
)
def test_broken_paragraphs_are_found(text: str, broken: list[int]) -> None:
    assert docs.broken_paragraphs(text) == broken


def test_links_are_found_and_headings_have_the_names_that_github_gives() -> None:
    assert docs.links("[a](b.md#c) ![d](e.png) [f](https://g) `[h](i)`\n```\n[j](k)\n```") == ["b.md#c", "e.png"]
    text = "# What will it cost?\n## R/plan.csv and plan.md\n## R/\\<model\\>/a_b.csv\n## The `x` of [y](z)\n"
    assert docs.anchors(text) == {"what-will-it-cost", "rplancsv-and-planmd", "rmodela_bcsv", "the-x-of-y"}


def test_links_that_lead_nowhere_are_missing(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# There\n")
    page = tmp_path / "a.md"
    page.write_text("[1](b.md) [2](b.md#there) [3](b.md#gone) [4](c.md) [5](#here)\n\n# Here\n")
    assert docs.missing_links(page) == ["b.md#gone", "c.md"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`cornerstone/errors.py` and `errors.py`", []),
        ("`game/players.py` in the package", []),
        (
            "`cornerstone/no_such.py`, `game/no_such.py`, `no_such.py`",
            ["cornerstone/no_such.py", "game/no_such.py", "no_such.py"],
        ),
        ("`results/no/such.csv`, `tests/<name>.py`, `a/b`, `/etc/no_such`", []),
        ("`docs/`, `tests/unit/`", []),
    ],
)
def test_paths_are_looked_for_here_and_in_the_package(text: str, missing: list[str]) -> None:
    assert docs.missing_paths(text) == missing


def test_commands_are_found_in_text_and_in_blocks() -> None:
    text = "Say `make run`.\n```\nmake test  # all\n```\nThey make sense: `make study NAME=full`."
    assert sorted(docs.commands(text)) == ["run", "study", "test"]
    assert docs.studies(text) == ["full"]
    assert docs.make_targets("PYTHON ?= python3\nX := y\na b: c\n\tmake x\n.venv/run: d\n") == {"a", "b", ".venv/run"}


def _tour(path: str, lines: str) -> str:
    row = f"| 1 | `{path}` | {lines} | what |\n| – | `more.py` | {lines} | optional |"
    return f"Before.\n{docs.BEGIN}\n{row}\n\nTogether: 0 lines in all.\n{docs.END}\nAfter.\n"


def test_the_tour_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1\n2\n3\n")
    (tmp_path / "more.py").write_text("1\n")
    new = docs.counted(_tour("a.py", ""), tmp_path)
    assert "| 1 | `a.py` | 3 | what |" in new
    assert "| – | `more.py` | 1 | optional |" in new
    assert "Together: 3 lines in all." in new
    assert docs.counted(new, tmp_path) == new
    assert new.startswith("Before.\n")
    assert new.endswith("After.\n")


def test_a_tour_of_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"names files that do not exist: a\.py, more\.py"):
        docs.counted(_tour("a.py", ""), tmp_path)
    with pytest.raises(ValueError, match="lost the marks"):
        docs.counted("no table", tmp_path)
