"""Tables that are not what was written, and what another working folder has made: Snakemake is to make them again.

Snakemake decides by dates and by its own notes in `.snakemake`. A table that was cut, changed or swapped is newer than
what it was made from. Where two working folders share results, the notes of one know nothing of the other. So what
can't be trusted is given a date before all others, and Snakemake forgets how it was made.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from cornerstone import reading
from cornerstone.config.config import Config
from cornerstone.errors import StoreError, UnreadableError
from cornerstone.files import check, write_text
from cornerstone.log import log
from cornerstone.plan import alone
from cornerstone.plan.layout import Layout
from cornerstone.plan.snakemake import forget_notes, notes

LONG_AGO = 1
"""The date of what is made again, in seconds since 1970. 0 means to Snakemake that there is no date."""
SEEN = "tables.seen.json"
"""File, beside the notes of a folder of results, of the tables that were looked at, with their dates and sizes."""


def have_made_again(config: Config) -> list[str]:
    """Have Snakemake make again what is not what was written, or was made by a run of another working folder.

    Called before other notes are written. A table is read when it is new or has another date or size.

    Args:
        config: the configuration.

    Returns:
        The files.

    Raises:
        StoreError: no file lies in the place of a table (a folder, a pipe), or somebody else's.
    """
    results = Path(config.paths.results)
    if alone.under_way(results):
        return []  # its tables come and go; a second run is refused anyway
    other = alone.by_another(results)
    if other:
        found = [path for path in [*_tables(config), *_shown(config)] if os.path.isfile(path)]
        if found:
            log(f"{config.paths.results} was written by a run in {other} last: what is made of results is made again")
    else:
        found = _altered(config)
    for path in found:
        _antedate(path)
    return found


def _altered(config: Config) -> list[str]:
    """The tables that are not what was written."""
    seen_file, found = notes(config, SEEN), []
    try:
        before = reading.parsed(seen_file, reading.LARGE)
    except UnreadableError:
        before = None
    before = before if isinstance(before, dict) else {}
    seen: dict[str, list[int]] = {}
    for path in _tables(config):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"{path} can't be looked at: {error.strerror}. Move it away.") from error
        now = [status.st_mtime_ns, status.st_size]
        if before.get(path) != now:
            try:
                check(Path(path))
            except UnreadableError as error:
                if not os.path.isfile(path):
                    raise StoreError(error.then("Move it away.")) from error
                log(error.then("It is made again."))
                found.append(path)
                continue
        seen[path] = now
    if seen != before:
        write_text(seen_file, json.dumps(seen))
    return found


def _antedate(path: str) -> None:
    try:
        os.utime(path, (LONG_AGO, LONG_AGO))
    except OSError as error:
        raise StoreError(
            f"{path} is to be made again, but may not be changed: {error.strerror}. Have its owner delete it, or set "
            "`paths.results` in config.yaml to another folder."
        ) from error
    forget_notes(Path(path))


def _tables(config: Config) -> list[str]:
    """The tables that Snakemake makes, there or not: those that `files.write_table` writes."""
    layout, found = Layout(config), []
    for model in config.run:
        for task in config.scored_tasks:
            found += [layout.values(model, task), layout.deletion_values(model, task)]
        found += [*layout.influences(model), *layout.estimates(model), *layout.relations(model)]
        found += [*layout.deletion(model), *layout.noise(model)]
    for pair in config.pairs:
        found += layout.compared(pair).values()
    return [*found, *_below(f"{layout.results}/tables", ".csv")]


def _shown(config: Config) -> list[str]:
    """What else is made of results."""
    layout = Layout(config)
    found = [layout.provenance(model) for model in config.run]
    found += [layout.comparison_provenance(pair) for pair in config.pairs]
    others = [path for path in _below(f"{layout.results}/tables") if not path.endswith(".csv")]
    return [*found, *others, *_below(f"{layout.results}/figures"), layout.summary, *layout.pages, layout.package]


def _below(folder: str, ending: str = "") -> list[str]:
    """The files in a folder and its subfolders; no hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [f"{place}/{name}" for name in sorted(names) if name.endswith(ending) and not name.startswith(".")]
    return found
