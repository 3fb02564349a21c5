"""The sweep against its strongest peers, in seconds of one core: `make bench-peers`.

- *llama.cpp* (benchmarks/llama.py, in the environment .venv-peers) scores the whole model on the very token tries that
  the sweep reads, from a BF16 GGUF that this benchmark writes. It has no way to leave out a sublayer. A coalition is
  taken to cost it what the whole model costs, which is 4 % too much for the windows of K = 4.
- *lm-eval* is the best stock loop (`Peers.p3`): removed sublayers are taken out of the model and not computed.
- The *sweep* walks the coalitions of the window estimator with K = 4 in the groups of an evaluate job, eager and
  compiled.

All take turns in one run, in processes of one thread each. Seconds are those of the processor (`time.process_time`),
so what else the machine does matters less. Before that, each peer chooses its best batch size, and log-likelihoods of
the whole model are compared.

    python -m benchmarks.rivals --documents 100
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import report, to_gguf
from benchmarks.peers import Apart
from benchmarks.performance import ROOT, Bench, machine, typical_difference
from cornerstone.config.config import load_files
from cornerstone.game.coalitions import removed_from
from cornerstone.log import log
from cornerstone.present.findings import filled
from cornerstone.schedule.malloc import keep_freed_memory

PAGE = ROOT / "docs" / "performance.md"
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
LLAMA, LM_EVAL = "llama.cpp, whole model", "lm-eval, sublayers taken out"
PLAN, PLAN_EAGER = "sweep, compiled, coalitions of the plan", "sweep, eager, coalitions of the plan"
WHOLE, WHOLE_EAGER = "sweep, compiled, whole model", "sweep, eager, whole model"
ORDER = (PLAN, PLAN_EAGER, WHOLE, WHOLE_EAGER, LLAMA, LM_EVAL)
GOALS = {LLAMA: 3.0, LM_EVAL: 6.0}
"""How many times the sweep's seconds a coalition should cost the peer."""
SIX = report.RESULTS / "performance.csv"
"""Times of the sweep and of stock lm-eval on all six tasks."""
LLAMA_TOKENS = (256, 512, 1024, 2048)
LM_EVAL_BATCHES = (4, 8, 16, 32)
Save = Callable[[pd.DataFrame], None]
MOST_APART = 3.0
"""How many times as far from the sweep as lm-eval's scores llama.cpp's may be, root mean square."""


class Other:
    """llama.cpp in its process.

    Args:
        python: of its environment.
        gguf, tries: the files that it reads.
    """

    def __init__(self, python: Path, gguf: Path, tries: Path) -> None:
        command = [str(python), "-m", "benchmarks.llama", str(gguf), str(tries)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cpu(self, tokens: int, flash: bool) -> tuple[float, list[float]]:
        """Seconds of the processor for one pass with batches of so many tokens, and the scores of all choices."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"tokens": tokens, "flash": flash}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the process of llama.cpp ended; its own words are above")
        answer = json.loads(line)
        return float(answer["cpu_s"]), list(answer["scores"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def tries_of(packed: Sequence[Any]) -> list[dict[str, Any]]:
    """Packed documents as benchmarks/llama.py reads them."""
    return [
        {
            "tokens": [int(token) for token in document.tokens],
            "parents": list(document.parents),
            "targets": [[int(number) for number in target] for target in document.targets],
            "choices": document.choices,
        }
        for document in packed
    ]


def best(seconds: Mapping[Any, float]) -> Any:
    """The setting that takes the fewest seconds."""
    return min(seconds, key=lambda setting: seconds[setting])


def timed(call: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of the processor that a call takes in this process."""
    started = time.process_time()
    call(*arguments)
    return time.process_time() - started


def agree(ours: Sequence[float], lm_eval: Sequence[float], llama: Sequence[float] | None) -> dict[str, float]:
    """Root mean square differences from the sweep, nats.

    Raises:
        SystemExit: llama.cpp's scores are much farther off than lm-eval's: another model, or other tokens.
    """
    found = {LM_EVAL: typical_difference(lm_eval, ours)}
    if llama is None:
        return found
    found[LLAMA] = typical_difference(llama, ours)
    if not found[LLAMA] <= MOST_APART * found[LM_EVAL]:
        raise SystemExit(
            f"llama.cpp scores something else: {found[LLAMA]:.3f} nats apart, lm-eval {found[LM_EVAL]:.3f}"
        )
    return found


def measure(task_name: str, documents: int, rounds: int | None, python: Path | None, save: Save) -> None:
    """Take turns; after each round `save` gets all rows: round, what, coalitions, cpu_s, apart (nats), setting.

    Without a Python for it, llama.cpp is left out.
    """
    config = load_files([ROOT / "config.yaml"])
    eager = Bench(config, "bfloat16", documents, compiled=False, names=[task_name])
    compiled = Bench(config, "bfloat16", documents, compiled=True, names=[task_name])
    (task,) = eager.tasks
    with tempfile.TemporaryDirectory() as folder:
        gguf, tries = Path(folder) / "model.gguf", Path(folder) / "tries.json"
        to_gguf.write(eager.model, gguf)
        tries.write_text(json.dumps(tries_of(eager.packed[task_name])), encoding="utf-8")
        llama = Other(python, gguf, tries) if python is not None else None
        lm_eval = Apart(1, True, *eager.peers_need)
        try:
            _measure(eager, compiled, task, llama, lm_eval, rounds, save)
        finally:
            if llama is not None:
                llama.close()
            lm_eval.close()


def _measure(
    eager: Bench,
    compiled: Bench,
    task: Any,
    llama: Other | None,
    lm_eval: Apart,
    rounds: int | None,
    save: Save,
) -> None:
    whole = (1 << len(eager.players)) - 1
    used: dict[str, str] = {}
    setting = (0, False)
    if llama is not None:
        tried = {(tokens, flash): llama.cpu(tokens, flash)[0] for tokens in LLAMA_TOKENS for flash in (False, True)}
        setting = best(tried)
        log(f"llama.cpp, seconds by (tokens of a batch, fused attention): {tried}")
        used[LLAMA] = f"batches of {setting[0]} tokens, fused attention {'on' if setting[1] else 'off'}"
    lm_eval.cpu("p3", task.name, [], LM_EVAL_BATCHES[0])  # warms up
    sizes = {size: lm_eval.cpu("p3", task.name, [], size)[0] for size in LM_EVAL_BATCHES}
    size = best(sizes)
    log(f"lm-eval, seconds by batch size: {sizes}")
    ours = torch.cat(eager.sweep(task, [whole])[0]).tolist()
    compiled.sweep(task, [whole])  # compiles
    theirs = llama.cpu(*setting)[1] if llama is not None else None
    apart = agree(ours, lm_eval.cpu("p3", task.name, [], size)[1], theirs)
    used[LM_EVAL] = f"batches of {size}"
    rows: list[dict[str, Any]] = []

    def add(number: int, what: str, coalitions: int, seconds: float) -> None:
        row = {"round": number, "what": what, "coalitions": coalitions, "cpu_s": seconds}
        rows.append({**row, "apart": apart.get(what, np.nan), "setting": used.get(what, "")})

    for number, group in enumerate(eager.groups(eager.coalitions)[:rounds]):
        middle = removed_from(group[len(group) // 2], eager.players)
        for _ in range(2):
            if llama is not None:
                add(number, LLAMA, 1, llama.cpu(*setting)[0])
            add(number, LM_EVAL, 1, lm_eval.cpu("p3", task.name, middle, size)[0])
            for bench, what in ((eager, WHOLE_EAGER), (compiled, WHOLE)):
                add(number, what, 1, timed(bench.sweep, task, [whole]))
        for bench, what in ((eager, PLAN_EAGER), (compiled, PLAN)):
            add(number, what, len(group), timed(bench.sweep, task, group))
        save(pd.DataFrame(rows))
        log(f"round {number + 1} done")


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each way: CPU seconds of a coalition, and how many times those of the sweep, compiled and eager."""
    total = frame.groupby("what")[["cpu_s", "coalitions"]].sum()
    each = total["cpu_s"] / total["coalitions"]
    known = [what for what in ORDER if what in each.index]
    return pd.DataFrame(
        {
            "what": known,
            "CPU seconds a coalition": [each[what] for what in known],
            "times the compiled sweep": [each[what] / each[PLAN] for what in known],
            "times the eager sweep": [each[what] / each[PLAN_EAGER] for what in known],
        }
    )


FORMATS = {"CPU seconds a coalition": ".2f", "times the compiled sweep": ".1f", "times the eager sweep": ".1f"}


def verdicts(frame: pd.DataFrame) -> list[str]:
    """A sentence for each peer: its factor over the compiled sweep on the plan, its goal, the range over rounds."""
    shown = table(frame).set_index("what")["times the compiled sweep"]
    of_rounds = frame.groupby(["what", "round"])[["cpu_s", "coalitions"]].sum()
    each = of_rounds["cpu_s"] / of_rounds["coalitions"]
    found = []
    for peer, goal in GOALS.items():
        if peer not in shown.index:
            found.append(f"**{peer}**: not measured yet.")
            continue
        ratios = (each[peer] / each[PLAN]).dropna().tolist()
        met = "reached" if shown[peer] >= goal else "missed"
        found.append(
            f"**{peer}**: {shown[peer]:.1f} times the sweep's seconds ({min(ratios):.1f} to {max(ratios):.1f} in "
            f"{len(ratios)} rounds). {goal:g} times, the goal, is {met} on this task."
        )
    if LM_EVAL in shown.index and SIX.is_file():
        six = pd.read_csv(SIX)
        factor = six["p2_s"].sum() / six["sweep_s"].sum()
        found.append(
            f"The goal for lm-eval is {GOALS[LM_EVAL]:g} times **over six tasks**, of which this is one. There the "
            f"loop P2, which computes removed sublayers, too, takes {factor:.1f} times the sweep's seconds (above). A "
            f"loop without them can only be faster. So that goal is {'missed' if factor < GOALS[LM_EVAL] else 'open'}."
        )
    return found


def words(frame: pd.DataFrame) -> str:
    """Table and text for the documentation."""
    facts = frame.dropna(subset=["apart"]).drop_duplicates("what").set_index("what")
    plan = frame[frame["what"] == PLAN]
    said = [f"- {line}" for line in verdicts(frame)]
    for peer in (peer for peer in GOALS if peer in facts.index):
        name, apart = peer.partition(",")[0], facts["apart"][peer]
        said.append(
            f"- Log-likelihoods of the whole model by {name} differ from the sweep's by {apart:.2f} "
            f"nats, root mean square over choices: rounding to bfloat16. Its best setting: {facts['setting'][peer]}."
        )
    said.append(f"- The sweep walked {plan['coalitions'].sum()} coalitions of the plan, in {len(plan)} groups.")
    return report.markdown(table(frame), FORMATS) + "\n" + "\n".join(said) + "\n"


def page(text: str, body: str) -> str:
    """The page of the documentation with another table and text between its two marks."""
    return filled(text, {"rivals": body.rstrip()})


def main() -> None:
    """Run it; write benchmarks/results/rivals.{csv,md} and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="arc_easy")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--rounds", type=int, help="groups of coalitions; all by default")
    parser.add_argument("--python", type=Path, default=PEERS_PYTHON, help="of the environment with llama-cpp-python")
    parser.add_argument("--without-llama", action="store_true", help="lm-eval alone")
    chosen = parser.parse_args()
    if not chosen.without_llama and not chosen.python.exists():
        parser.exit(2, f"there is no {chosen.python}: `make bench-peers` makes it\n")
    torch.set_num_threads(1)
    keep_freed_memory()
    settings = {"task": chosen.task, "documents": chosen.documents, "threads": 1, "machine": machine()}

    def save(frame: pd.DataFrame) -> None:
        body = words(report.rounded(frame))
        text = f"# The sweep against its strongest peers\n\n{report.origin(settings, report.MODEL_PACKAGES)}\n{body}"
        report.write(report.RESULTS, "rivals", frame, text)
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), body), encoding="utf-8")

    measure(chosen.task, chosen.documents, chosen.rounds, None if chosen.without_llama else chosen.python, save)


if __name__ == "__main__":
    main()
