"""Files that are damaged in every way, then the command that reads them: refused and named, or made again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from cornerstone.files import NOTES
from tests.soak.lab import Lab
from tests.soak.outcomes import Case, Ended, Outcome
from tests.workflow.runner import Workflow

Damage = Callable[[Path, random.Random, Path], object]
ESTIMATES = "results/tiny/ablation.csv"
SUMMARY = "results/summary.md"
ONE = "results/tiny/arc_easy/coalitions/drop-attn1.json"
FIGURE = "results/figures/tiny/ablation.png"
FILES: dict[str, tuple[str, str, str]] = {
    # what it is: (its path; what is deleted, so that it must be read, one or more; what is asked for)
    "a result": (
        "results/tiny/arc_easy/coalitions/drop-ffn0.json",
        f"results/tiny/arc_easy/values.parquet {ESTIMATES}",
        ESTIMATES,
    ),
    "the whole model's result": (
        "results/tiny/openbookqa/coalitions/full.json",
        f"results/tiny/openbookqa/values.parquet {ESTIMATES}",
        ESTIMATES,
    ),
    "a result of a deletion curve": (
        "results/tiny/arc_easy/deletion/*.json",
        "results/tiny/arc_easy/deletion.parquet results/tiny/deletion.csv",
        "results/tiny/deletion.csv",
    ),
    "a task's table of values": ("results/tiny/arc_easy/values.parquet", ESTIMATES, ESTIMATES),
    "a deletion curve's table": (
        "results/tiny/openbookqa/deletion.parquet",
        "results/tiny/deletion.csv",
        "results/tiny/deletion.csv",
    ),
    "the note of a finished chunk": ("results/tiny/arc_easy/chunks/0.json", ESTIMATES, ESTIMATES),
    "single removals": (ESTIMATES, FIGURE, FIGURE),
    "Shapley values": (
        "results/tiny/shapley_window-k2.csv",
        "results/figures/tiny/values.png",
        "results/figures/tiny/values.png",
    ),
    "cornerstones": ("results/tiny/cornerstones.csv", "results/tables/table3.csv", "results/tables/table3.csv"),
    "orders of a deletion curve": (
        "results/tiny/orders.csv",
        "results/tiny/arc_easy/deletion.parquet results/tiny/deletion.csv",
        "results/tiny/deletion.csv",
    ),
    "hypotheses": ("results/tiny/hypotheses.csv", "results/tables/hypotheses.csv", "results/tables/hypotheses.csv"),
    "the note of a table's checksum": ("results/tiny/.sha256/ablation.csv.sha256", FIGURE, FIGURE),
    "a table for readers": ("results/tables/table1.csv", SUMMARY, SUMMARY),
    "provenance": ("results/tiny/provenance.json", SUMMARY, SUMMARY),
    "documents": ("resources/documents/embedded/arc_easy.json", ONE, ONE),
    "the marker of the weights": ("resources/models/tiny.json", ONE, ONE),
    "a model's config.json": ("model/config.json", ONE, ONE),
    "a tokenizer": ("model/tokenizer.json", ONE, ONE),
    "weights": ("model/model.safetensors", ONE, ONE),
    "a picture": (FIGURE, "", FIGURE),
    "the summary": (SUMMARY, "", SUMMARY),
}
MODEL = ("a model's config.json", "a tokenizer", "weights")
"""What a user may replace in place: the tests' model is a folder on disk, which nothing pins."""
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Runs a command of root's for which permissions hold."""


def _lay(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path, rng: random.Random, base: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _rewrite(change: Callable[[bytes, random.Random], bytes]) -> Damage:
    return lambda path, rng, base: path.write_bytes(change(path.read_bytes(), rng))


def _digit(held: bytes, rng: random.Random) -> bytes:
    """Another digit in a number, in a result one of a log-likelihood; of a binary file one other byte in the middle."""
    start = held.find(b"loglikelihood")
    found = [match.start() for match in re.finditer(rb"(?<=\d)\d(?=\d)", held) if match.start() > start]
    place = rng.choice(found) if found and b"\0" not in held else rng.randrange(len(held) // 3, 2 * len(held) // 3)
    other = (held[place] - 48 + rng.randint(1, 9)) % 10 + 48 if found and b"\0" not in held else held[place] ^ 0x11
    return held[:place] + bytes([other]) + held[place + 1 :]


def _nan(held: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb"(?<=[,: \[])-?\d+\.\d+(?=[,\]\n ])", held))
    if found and b"\0" not in held:
        match = rng.choice(found)
        return held[: match.start()] + b"NaN" + held[match.end() :]
    place = len(held) // 2
    return held[:place] + b"\xff" * 8 + held[place + 8 :]


def _other(path: Path, rng: random.Random, base: Path) -> None:
    """The file of another task, or another of this kind, under this name."""
    name = path.relative_to(path.parents[len(path.parts) - 1 - path.parts.index("case")]).as_posix()
    for one, two in (("arc_easy", "openbookqa"), ("ablation", "mean_drop"), ("table1", "table2")):
        for old, new in ((one, two), (two, one)):
            other = base / name.replace(old, new)
            if old in name and other.is_file():
                shutil.copy(other, path)
                return
    same = sorted(p for p in (base / name).parent.glob(f"*{path.suffix}") if p.is_file() and p.name != path.name)
    shutil.copy(rng.choice(same) if same else base / "config.yaml", path)


DAMAGES: dict[str, Damage] = {
    "deleted": lambda path, rng, base: path.unlink(),
    "empty": _rewrite(lambda held, rng: b""),
    "cut in half": _rewrite(lambda held, rng: held[: len(held) // 2]),
    "one byte short": _rewrite(lambda held, rng: held[:-2]),
    "garbage": _rewrite(lambda held, rng: rng.randbytes(len(held))),
    "zeros": _rewrite(lambda held, rng: bytes(len(held))),
    "twice": _rewrite(lambda held, rng: held + held),
    "in UTF-16": _rewrite(lambda held, rng: held.decode("latin-1").encode("utf-16")),
    "a digit changed": _rewrite(_digit),
    "NaN in it": _rewrite(_nan),
    "another one's file": _other,
    "a folder": _lay(Path.mkdir),
    "a link to itself": _lay(lambda path: path.symlink_to(path)),
    "a link to nothing": _lay(lambda path: path.symlink_to("nowhere")),
    "a pipe": _lay(os.mkfifo),
    "a link to /dev/zero": _lay(lambda path: path.symlink_to("/dev/zero")),
    "no permission": lambda path, rng, base: path.chmod(0),
}
REWRITTEN = ("a digit changed", "NaN in it", "zeros", "garbage", "another one's file", "one byte short")
"""Damages that a disk may do: the file keeps its date in half of the cases, so that no date says it."""


def cases() -> list[Case]:
    """Two hundred of the pairs of a file and a damage."""
    pairs = [(file, damage) for file in FILES for damage in DAMAGES]
    random.Random("corruptions").shuffle(pairs)
    made = []
    for number, (file, damage) in enumerate(pairs[:200]):
        dated = damage in REWRITTEN and random.Random(f"date {number}").random() < 0.5
        what = f"{file}: {damage}{', its date kept' if dated else ''}"

        def run(lab: Lab, file: str = file, damage: str = damage, dated: bool = dated, number: int = number) -> Outcome:
            return damaged(lab, file, damage, dated, random.Random(f"damage {number}"))

        made.append(Case("corruptions", number, what, run))
    return made


def damaged(lab: Lab, file: str, damage: str, dated: bool, rng: random.Random) -> Outcome:
    """Damage a file, then ask for what is made from it."""
    workflow = lab.case()
    pattern, reader, target = FILES[file]
    path = sorted(workflow.folder.glob(pattern))[0]
    name = path.relative_to(workflow.folder).as_posix()
    facts = path.stat()
    DAMAGES[damage](path, rng, lab.base.folder)
    if dated:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    for made in reader.split():
        (workflow.folder / made).unlink()
    if damage == "no permission" and os.geteuid() == 0 and shutil.which("setpriv") is None:
        return Outcome(Ended.SKIPPED, "this is root, and there is no setpriv")
    before = UNPRIVILEGED if damage == "no permission" and os.geteuid() == 0 else ()
    said = lab.run(workflow, target, before=before)
    refused = said.refusal(path.name)
    if refused is not None:
        return refused if refused.ended != Ended.NAMED else _mended(lab, workflow, name, target, refused)
    differ = lab.differences(workflow)
    if not differ:
        return Outcome(Ended.RIGHT, "made again" if name.startswith("results") else "")
    if file in MODEL and set(differ) <= {name, ONE} and _fingerprint(workflow.folder) != _fingerprint(lab.base.folder):
        return Outcome(Ended.RIGHT, "taken for another model, whose results stand apart by their fingerprint")
    if set(differ) - {name}:
        return Outcome(Ended.USED, f"others differ: {', '.join(sorted(set(differ) - {name})[:3])}")
    found = lab.verify(workflow).refusal(path.name)
    if found is None:
        return Outcome(Ended.USED, "it stays, and `results verify` finds nothing")
    return Outcome(Ended.VERIFY, found.said) if found.ended == Ended.NAMED else found


def _fingerprint(folder: Path) -> str:
    return str(json.loads((folder / ONE).read_text())["provenance"]["fingerprint"])


def _mended(lab: Lab, workflow: Workflow, name: str, target: str, refused: Outcome) -> Outcome:
    """Whether what was refused is right after the file is deleted (a result) or put back (an asset).

    A result that nothing else needed (a table for readers, say) is asked for by its own name, too.
    """
    path = workflow.folder / name
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    if not name.startswith("results"):
        shutil.copy2(lab.base.folder / name, path)
    asked = [target] if NOTES in name or not name.startswith("results") else list(dict.fromkeys((target, name)))
    said = lab.run(workflow, *asked)
    wrong = said.refusal("")
    if wrong is not None:
        return Outcome(wrong.ended if wrong.ended != Ended.NAMED else Ended.WRONG, f"after mending: {said.last()}")
    differ = lab.differences(workflow)
    return Outcome(Ended.WRONG, f"after mending others differ: {', '.join(differ[:3])}") if differ else refused
