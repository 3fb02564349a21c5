"""Build the site of the documentation (build/site), called by `make docs`. Its pages are Markdown files of this folder.

1. `stage` copies them to build/pages. What is in docs/ comes to the top, and links between pages are written anew.
   Formulas ($...$ and $$...$$) become MathML, which browsers draw by themselves, without scripts or fonts.
2. Zensical builds the site (mkdocs.yml).
3. `wrong` looks at what was built: each link must lead to a page and a heading that are there, and no page may ask for
   anything from another host.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
PAGES, SITE = BUILD / "pages", BUILD / "site"

LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\w$\\])\$(?=\S)(?P<inline>[^$]+?)(?<=\S)\$(?![\w$])")
CODE = re.compile(r"(`+[^`]*`+)")
HEADING = re.compile(r"#+ +(?P<words>.*)")


def place(path: Path) -> Path:
    """Where a file of the repository is staged.

    Args:
        path: relative to the repository.
    """
    if path.parts[0] == "docs":
        return Path(*path.parts[1:])
    return Path("readme.md") if path == Path("README.md") else path


def relinked(target: str, page: Path, root: Path = ROOT) -> tuple[str, Path | None]:
    """A link of a page as it is on the site, and the file of the repository that it leads to (None: none).

    Args:
        target: as it stands in the page.
        page: relative to the repository.
        root: the repository.
    """
    name, mark, anchor = target.partition("#")
    if not name or "://" in target or target.startswith("mailto:"):
        return target, None
    file = Path(os.path.normpath(page.parent / name))
    if not (root / file).is_file():
        raise FileNotFoundError(f"{page} links to {target}, which is no file of the repository")
    return os.path.relpath(place(file), place(page).parent) + mark + anchor, file


def drawn(text: str) -> str:
    """A line of Markdown with its formulas, but not what stands in backticks, as MathML."""
    from latex2mathml.converter import convert

    def mathml(found: re.Match[str]) -> str:
        block = found["block"]
        made = convert(block.strip(), display="block") if block else convert(found["inline"])
        # The converter's sign of a set difference is in few fonts. This one is in all.
        return made.replace("&#x029F5;", "&#x02216;")

    return "".join(part if part.startswith("`") else FORMULA.sub(mathml, part) for part in CODE.split(text))


def anchor(words: str) -> str:
    """The name under which a heading can be linked to, as GitHub makes it."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", words).replace("\\", "")
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


def staged(page: Path, root: Path = ROOT) -> tuple[str, set[Path]]:
    """A page as Zensical gets it, and the files of the repository that it links to.

    Args:
        page: relative to the repository.
        root: the repository.
    """
    found: set[Path] = set()

    def link(target: re.Match[str]) -> str:
        new, file = relinked(target[0], page, root)
        found.update({file} if file else ())
        return new

    names: list[str] = []
    lines, inside = [], False
    for line in (root / page).read_text(encoding="utf-8").split("\n"):
        fence = line.lstrip().startswith("```")
        if not (inside or fence):
            heading = HEADING.match(line)
            line = LINK.sub(link, drawn(line))
            if heading:
                name = anchor(heading["words"])
                line = line.replace("\\<", "&lt;").replace("\\>", "&gt;")  # lists of contents show a backslash
                line += f" {{#{name}-{names.count(name)}}}" if name in names else f" {{#{name}}}"
                names.append(name)
        lines.append(line)
        inside ^= fence
    return "\n".join(lines), found


def stage(root: Path = ROOT, out: Path = PAGES) -> list[Path]:
    """Copy docs/ and what it links to, link by link; returns the pages, relative to the repository."""
    shutil.rmtree(out, ignore_errors=True)
    todo = sorted(path.relative_to(root) for path in (root / "docs").rglob("*") if path.is_file())
    done: set[Path] = set()
    while todo:
        file = todo.pop()
        if file in done:
            continue
        done.add(file)
        target = out / place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".md":
            shutil.copyfile(root / file, target)
            continue
        text, linked = staged(file, root)
        target.write_text(text, encoding="utf-8")
        todo += sorted(linked - done)
    return sorted(path for path in done if path.suffix == ".md")


class _Html(HTMLParser):
    """What a page of the site has and asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note names, links and what is loaded."""
        has = dict(attrs)
        self.ids.update(name for name in (has.get("id"), has.get("name") if tag == "a" else None) if name)
        if tag == "a":
            self.links += [has["href"]] if has.get("href") else []  # type: ignore[list-item]
        elif tag == "link" and has.get("rel") in {"canonical", "prev", "next", "alternate"}:
            return
        else:
            self.loads += [value for value in (has.get("src"), has.get("href"), has.get("data")) if value]


def wrong(site: Path = SITE) -> list[str]:
    """Links of a built site that lead nowhere, and what its pages would load from another host."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = _Html()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return [
        f"{path.relative_to(site)}: {problem}"
        for path, page in pages.items()
        for problem in _problems(path, page, pages)
    ]


def _problems(path: Path, page: _Html, pages: dict[Path, _Html]) -> Iterable[str]:
    if path.name == "404.html":  # its addresses are those of the root of the place where the site is put
        return
    for target in [*page.links, *page.loads]:
        parts = urlsplit(target)
        if parts.scheme == "mailto" or parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc:
            if target in page.loads:
                yield f"would load {target}"
            continue
        file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file():
            yield f"links to {target}, which is not there"
        elif parts.fragment and file in pages and unquote(parts.fragment) not in pages[file].ids | {"__top"}:
            yield f"links to {target}, but {file.name} has no such heading"


def main() -> None:
    """Stage, build, check."""
    pages = stage()
    shutil.copyfile(ROOT / "mkdocs.yml", BUILD / "mkdocs.yml")
    shutil.rmtree(SITE, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=BUILD, check=False, capture_output=True, text=True)  # it leaves a cache there
    if done.returncode:
        sys.exit(re.sub(r"\x1b\[[0-9;]*m", "", f"{done.stdout}{done.stderr}"))
    if found := wrong():
        sys.exit("\n".join(found))
    site = SITE.relative_to(ROOT)
    print(f"{len(pages)} pages: open {site / 'index.html'} (to search, serve it: python3 -m http.server -d {site})")


if __name__ == "__main__":
    main()
