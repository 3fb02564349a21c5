"""The Markdown files say what is so: their links, paths and commands exist, and they are written as agreed."""

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

from cornerstone import cli
from scripts import docs_site
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


def _help(call: list[str]) -> str | None:
    """What `--help` prints of the command that a call means, one word or two (`results adopt`); None: there is none."""
    for words in (call[:2], call[:1]):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
            try:
                cli.main([*(word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)), "--help"])
            except SystemExit as stop:
                if not stop.code and "COMMAND [ARGS]" not in out.getvalue():
                    return out.getvalue()
    return None


@pytest.mark.parametrize("page", TODAY, ids=_id)
def test_commands_and_their_options_exist(page: Path) -> None:
    wrong = []
    for call in docs.cornerstone_calls(page.read_text(encoding="utf-8")):
        said = _help(call)
        options = [word.partition("=")[0] for word in call if word.startswith("--")]
        if said is None or any(option not in said for option in options):
            wrong.append(" ".join(call))
    assert not wrong, f"{_id(page)} has calls of `cornerstone` that it would refuse: {wrong}"


@pytest.mark.parametrize("page", [page for page in WRITTEN if docs.sessions(page.read_text("utf-8"))], ids=_id)
def test_python_sessions_print_what_the_page_says(page: Path) -> None:
    test = doctest.DocTestParser().get_doctest(docs.sessions(page.read_text("utf-8")), {}, page.name, str(page), 0)
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(test, out=said.append).failed == 0, "".join(said)


def test_the_side_bar_names_every_page_of_the_site() -> None:
    named = docs.navigation((docs.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {docs_site.place(page.relative_to(docs.ROOT)).as_posix() for page in PAGES}
    ours = {page.relative_to(docs.ROOT / "docs").as_posix() for page in PAGES if (docs.ROOT / "docs") in page.parents}
    assert sorted(set(named) - pages) == [], "mkdocs.yml names pages that do not exist"
    assert sorted(ours - set(named)) == [], "pages of docs/ that `nav` in mkdocs.yml lacks"
    assert len(named) == len(set(named))


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


def test_calls_of_the_command_are_found() -> None:
    text = "Say `cornerstone add MODEL --print`; `cornerstone --version` has none.\n```\ncornerstone where  # x\n```"
    assert docs.cornerstone_calls(text) == [["add", "MODEL", "--print"], ["where"]]
    assert _help(["add", "MODEL"]) is not None
    assert "--dry-run" in str(_help(["results", "adopt"]))
    assert [_help(call) for call in (["no-such"], ["results", "no-such"], ["results"])] == [None] * 3


def test_sessions_are_the_python_blocks_with_prompts() -> None:
    assert docs.sessions("```python\n>>> 1 + 1\n2\n```\n```python\nx = 1\n```\n") == ">>> 1 + 1\n2\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Costs 3 $ and 4 $ more, `$x$` is code", "Costs 3 $ and 4 $ more, `$x$` is code"),
        ("a $x_i$ b", r"a <math[^>]*><mrow><msub><mi>x</mi><mi>i</mi></msub></mrow></math> b"),
        (r"$\setminus$", "<math.*&#x02216;.*</math>"),
        ("$$y$$", r"<math[^>]*display=\"block\"[^>]*>.*<mi>y</mi>.*</math>"),
    ],
)
def test_formulas_become_mathml(line: str, expected: str) -> None:
    pattern = expected if "math" in expected else re.escape(expected)
    assert re.fullmatch(pattern, docs_site.drawn(line))


def test_a_page_is_staged_with_its_links_and_the_names_of_its_headings(tmp_path: Path) -> None:
    (tmp_path / "docs" / "a").mkdir(parents=True)
    (tmp_path / "README.md").write_text("# Read\n")
    (tmp_path / "docs" / "b.md").write_text("[up](../README.md)\n")
    (tmp_path / "docs" / "a" / "c.md").write_text(
        "# A -- b\n# A -- b\n[1](../b.md#x) [2](../../README.md)\n```\n# no\n```\n"
    )
    pages = docs_site.stage(tmp_path, tmp_path / "out")
    assert [page.as_posix() for page in pages] == ["README.md", "docs/a/c.md", "docs/b.md"]
    text = (tmp_path / "out" / "a" / "c.md").read_text()
    assert text == "# A -- b {#a----b}\n# A -- b {#a----b-1}\n[1](../b.md#x) [2](../readme.md)\n```\n# no\n```\n"
    assert (tmp_path / "out" / "readme.md").is_file()
    with pytest.raises(FileNotFoundError, match=r"c\.md links to gone\.md"):
        docs_site.relinked("gone.md", Path("docs/a/c.md"), tmp_path)


def test_a_site_with_broken_links_or_requests_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a><a href="https://example.org">4</a>'
        '<script src="https://cdn.example.org/x.js"></script><img src="data:image/png;base64,AA==">'
    )
    assert [found.partition(": ")[2] for found in docs_site.wrong(tmp_path)] == [
        "links to b.html#gone, but b.html has no such heading",
        "links to c.html, which is not there",
        "would load https://cdn.example.org/x.js",
    ]


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_the_site_names_headings_as_links_to_them_do(page: Path) -> None:
    text, _ = docs_site.staged(page.relative_to(docs.ROOT))
    names = set(re.findall(r"^#+ .* \{#(.*)\}$", text, re.MULTILINE))
    assert docs.anchors(page.read_text(encoding="utf-8")) <= names
