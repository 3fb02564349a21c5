"""Which model types work: each is compared with stock lm-eval on a tiny random model.

`python -m tests.architectures` writes docs/architectures.md; tests/parity/test_types.py looks at each type again and
compares with the page. `python -m tests.architectures --heads` prints whether heads can be players of those that work.
"""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import transformers

from cornerstone.engine import encoding, structure, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.engine.proof import prove
from cornerstone.errors import ModelError
from cornerstone.game import coalitions
from cornerstone.game.players import Kinds, heads_of, players_of, written_kinds
from tests import tiny, types
from tests.parity import stock

PAGE = Path(__file__).parents[1] / "docs" / "architectures.md"
REQUESTS = [
    [("Question: Which one is a source of energy?\nAnswer:", f" {c}") for c in ("wind", "coal gas", "oil")],
    [("Sarah was a better surgeon than Maria so Sarah", " got the easy cases."),
     ("Sarah was a better surgeon than Maria so Maria", " got the easy cases.")],
]  # fmt: skip
NOT_TRIED = {
    "blt": "bytes in patches: three stacks of blocks of different kinds",
    **dict.fromkeys(("gemma3n", "musicgen", "musicgen_melody"), "needs packages or parts that are no language model"),
    "gemma3n_text": "several residual streams at once (AltUp)",
    **dict.fromkeys(("zamba", "zamba2"), "a block inside of a block, shared by several"),
    "xlstm": "its reference kernel fails on models as small as the tests make them",
    "reformer": "reversible blocks: two residual streams",
}
"""Types of which no tiny model is made, and why."""

HEAD = "\n\n".join(
    (
        "# Model types",
        "This page is made by `python -m tests.architectures`. A test looks at each type again and compares.",
        "transformers {version} has {count} types of causal language models. **{works} of them work.**",
        "*Works* means: on a tiny random model, the log-likelihoods are those of stock lm-eval. Sublayers are zeroed "
        "there by hooks: none, single ones, two, and all of them. The "
        "[proof at load](explanation/removal.md#the-proof-at-load) agrees as well.",
        "*Sublayers* are those of the tiny model's blocks. Yours may have other blocks of the same kinds.",
        "*Choices* says how the choices of a document are computed. `trie`: what they share is computed once. `rows`: "
        "each choice is a row of its own, because a sublayer carries a state along the sequence or goes by places in a "
        "row. See [How the sweep works](explanation/sweep.md#choices-as-rows) for what that costs.",
        "A type that is not here, or does not work here, may still run. Whether it does is proven when it is loaded. A "
        "model that is not understood is refused.",
        "| type | works | sublayers | choices | why not |\n|---|---|---|---|---|\n",
    )
)
"""The page above its rows."""


@dataclass(frozen=True)
class Verdict:
    """What came of a type.

    Attributes:
        works: whether the scores are those of stock lm-eval.
        kinds: of the sublayers of the tiny model.
        rows: whether each choice is a row of its own.
        reason: why it does not work.
    """

    works: bool
    kinds: Kinds = ()
    rows: bool = False
    reason: str = ""

    def row(self, model_type: str) -> str:
        """As a row of the page."""
        blocks = "; ".join(written_kinds(self.kinds)) if self.works else ""
        choices = ("rows" if self.rows else "trie") if self.works else ""
        return f"| {model_type} | {'yes' if self.works else 'no'} | {blocks} | {choices} | {self.reason} |"


def look(model_type: str) -> Verdict:
    """Compare a type with stock lm-eval: nothing removed, single sublayers, two, all of them."""
    if model_type in NOT_TRIED:
        return Verdict(False, reason=f"not tried: {NOT_TRIED[model_type]}")
    try:
        model = types.make(model_type)
    except Exception as error:  # a type's default config may be no model at all
        return Verdict(False, reason=f"not tried: no tiny model could be made ({type(error).__name__})")
    try:
        network = Network(model, players := players_of(kinds := structure.kinds_of(model)))
        packed = encoding.encode(model, tiny.tokenizer(), REQUESTS)
        prove(network, packed)
    except ModelError as error:
        return Verdict(False, reason=_short(str(error)))
    except Exception as error:  # a forward that asks for more than the trace of one block knows
        return Verdict(False, reason=f"refused: it does not run block by block ({type(error).__name__})")
    path, blocks = structure.blocks_of(model)
    zeroed = [[f"{path}.{i}.{n}" for n in names] for i, block in enumerate(blocks) for names in types.removals(block)]
    assert len(zeroed) == len(players), (model_type, kinds)
    last = len(players) - 1
    removed: list[tuple[int, ...]] = [(), (0,), (last,), (1, len(players) // 2), tuple(range(len(players)))]
    batches = tries.batches(packed, 100, network.unfolded)
    ours = sweep.choice_scores(network, batches, [coalitions.without(r, players) for r in removed])
    lm = stock.harness(model, tiny.tokenizer(), batch_size=3)
    flat, seen = [request for choices in REQUESTS for request in choices], set()
    for scores, places in zip(ours, removed, strict=True):
        theirs = stock.loglikelihoods(lm, flat, [path for place in places for path in zeroed[place]])
        mine = np.concatenate([score.numpy() for score in scores])
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=model_type)
        seen.add(tuple(np.round(mine, 3)))
    assert len(seen) == len(removed), f"{model_type}: a removal changes nothing, so the comparison could not fail"
    return Verdict(True, kinds, network.unfolded)


def heads(model_type: str) -> str:
    """Whether heads can be players of a type that works: `yes`, or why not."""
    model = types.make(model_type)
    kinds = structure.kinds_of(model)
    if not any("attn" in block for block in kinds):
        return "no: it has no attention"
    try:
        network = Network(model, heads_of(kinds, 4), kinds)
        prove(network, encoding.encode(model, tiny.tokenizer(), REQUESTS[1:]))
    except ModelError as error:
        return f"no: {error}"
    return "yes"


def _short(message: str) -> str:
    """The reason in a refusal, without what to do."""
    for pattern, said in (
        (r"no list of \d+ blocks outside of an encoder", "an encoder, or no single list of blocks"),
        (r"is not recognised: (?P<why>.*?)\. What was looked for", "no sum of contributions: {why}"),
        (r"does not call its \d+ blocks one after another", "does not call its blocks one after another"),
        (r"does not run sublayer by sublayer \((?P<why>\w+)", "refused: it does not run block by block ({why})"),
        (r"is not understood", "the proof at load refuses it: a block is more than the sum of its sublayers"),
        (r"are not those of transformers", "the proof at load refuses it: other scores than transformers"),
        (r"attends to an encoder", "attends to an encoder"),
    ):
        if match := re.search(pattern, message):
            return said.format(**match.groupdict()).replace("|", "/")
    return message


def page(verdicts: dict[str, Verdict]) -> str:
    """The page docs/architectures.md."""
    works = [name for name, verdict in verdicts.items() if verdict.works]
    rows = "\n".join(verdict.row(name) for name, verdict in verdicts.items())
    version = transformers.__version__
    return HEAD.format(version=version, count=len(verdicts), works=len(works)) + rows + "\n"


def rows_of(text: str) -> dict[str, str]:
    """Type -> row of the page."""
    return {
        line.split("|")[1].strip(): line
        for line in text.splitlines()
        if line.startswith("| ") and "| works |" not in line
    }


def main() -> None:
    """Write the page, or say of which types heads can be players."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    if sys.argv[1:] == ["--heads"]:
        for name, row in rows_of(PAGE.read_text(encoding="utf-8")).items():
            if "| yes |" in row:
                print(f"{name}: {heads(name)}", flush=True)
        return
    verdicts = {}
    for name in types.TYPES:
        verdicts[name] = look(name)
        print(verdicts[name].row(name), flush=True)
    PAGE.write_text(page(verdicts), encoding="utf-8")


if __name__ == "__main__":
    main()
