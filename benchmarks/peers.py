"""How coalitions are evaluated without the sweep: stock lm-eval on a model whose removed sublayers are hooked to zero.

- P1: one `lm_eval.simple_evaluate` per coalition, in batches of two, the way of the paper's authors. The model stays
  loaded and the task objects are kept, which a run from the command line does not do.
- P2: the best stock loop: requests built once, the model kept in lm-eval's wrapper at its best batch size, one call of
  `loglikelihood` per coalition.
- P3: P2 with removed sublayers taken out of the model, so that they are not computed, and without a cache of keys and
  values, which scoring does not need. For models of Llama's kind.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cornerstone.assets import harness
from cornerstone.assets.documents import Document
from cornerstone.assets.recipe import Recipe
from cornerstone.engine.loading import load
from cornerstone.engine.structure import blocks_of, layouts_of
from cornerstone.game.players import Player
from cornerstone.schedule.malloc import keep_freed_memory

P1_BATCH = 2
BATCHES = (2, 4, 8, 16)
"""Batch sizes among which P2 may choose."""


def _zero(module: Any, inputs: Any, output: Any) -> Any:
    return (torch.zeros_like(output[0]), *output[1:]) if isinstance(output, tuple) else torch.zeros_like(output)


@contextmanager
def without(model: Any, removed: Sequence[Player]) -> Iterator[None]:
    """A model without norms behind its sublayers, of which those of `removed` contribute nothing."""
    blocks, layouts = blocks_of(model)[1], layouts_of(model)
    last = [
        block.get_submodule(p.modules[-1]) for block, lay in zip(blocks, layouts, strict=True) for p in lay.sublayers
    ]
    modules = [last[place] for player in removed for place, _ in player.parts]
    handles = [module.register_forward_hook(_zero) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def cut(model: Any, removed: Sequence[Player]) -> Iterator[None]:
    """A model of Llama's kind from which the sublayers of `removed` are taken out, for as long as it lasts."""
    places = {place for player in removed for place, _ in player.parts}
    whole, cached = model.model.layers, model.config.use_cache
    left = []
    for block, layer in enumerate(whole):
        gone = {2 * block, 2 * block + 1} & places
        if len(gone) < 2:
            left.append(layer)
        if len(gone) == 1:
            layer.forward = _without(layer, *gone)
    model.model.layers, model.config.use_cache = torch.nn.ModuleList(left), False
    try:
        yield
    finally:
        model.model.layers, model.config.use_cache = whole, cached
        for layer in whole:
            vars(layer).pop("forward", None)


def _without(layer: Any, place: int) -> Any:
    """A block's forward with one of its two sublayers: the feed-forward one where `place` is even."""

    def feed_forward(hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        found: torch.Tensor = hidden_states + layer.mlp(layer.post_attention_layernorm(hidden_states))
        return found

    def attention(hidden_states: torch.Tensor, *_: Any, **arguments: Any) -> torch.Tensor:
        mixed, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **arguments)
        found: torch.Tensor = hidden_states + mixed
        return found

    return attention if place % 2 else feed_forward


class Peers:
    """All of them, for one model and the first documents of some tasks.

    Args:
        model, tokenizer: as transformers loads them.
        documents: task -> documents.
        wheels: folder of the wheel from which P1 makes its tasks; None where only P2 is wanted.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        documents: Mapping[str, Sequence[Document]],
        wheels: Path | None = None,
    ) -> None:
        from lm_eval.api.instance import Instance

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self.model, self.tokenizer, self.documents = model, tokenizer, documents
        self._wrappers: dict[int, Any] = {}
        self._requests = {
            task: [
                Instance(request_type="loglikelihood", doc={}, arguments=request, idx=0)
                for document in scored
                for request in document.requests
            ]
            for task, scored in documents.items()
        }
        self._tasks = {}
        if wheels is not None:
            with tempfile.TemporaryDirectory() as workspace:
                for task in documents:
                    self._tasks[task] = harness.load(Recipe(task), None, wheels, Path(workspace))

    @classmethod
    def load(cls, folder: Path, dtype: str, *what: Any) -> Peers:
        """With the weights in a folder."""
        return cls(*load(folder, dtype), *what)

    def _wrapper(self, batch: int) -> Any:
        from lm_eval.models.huggingface import HFLM

        if batch not in self._wrappers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._wrappers[batch] = HFLM(
                    pretrained=self.model, tokenizer=self.tokenizer, backend="causal", batch_size=batch
                )
        return self._wrappers[batch]

    def p1(self, task: str, removed: Sequence[Player]) -> None:
        """Evaluate one coalition on one task."""
        from lm_eval.evaluator import simple_evaluate

        with warnings.catch_warnings(), without(self.model, removed):
            warnings.simplefilter("ignore")
            simple_evaluate(
                model=self._wrapper(P1_BATCH),
                tasks=[self._tasks[task]],
                limit=len(self.documents[task]),
                bootstrap_iters=0,
            )

    def p2(self, task: str, removed: Sequence[Player], batch: int) -> list[float]:
        """Evaluate one coalition on one task: the log-likelihood of each choice of each document."""
        with without(self.model, removed):
            return self._scores(task, batch)

    def p3(self, task: str, removed: Sequence[Player], batch: int) -> list[float]:
        """As `p2`, with the removed sublayers taken out of the model."""
        with cut(self.model, removed):
            return self._scores(task, batch)

    def _scores(self, task: str, batch: int) -> list[float]:
        scored = self._wrapper(batch).loglikelihood(self._requests[task], disable_tqdm=True)
        return [float(score) for score, _ in scored]


class Apart:
    """`Peers` in a process of their own, where nothing of the sweep is set up.

    Args:
        threads: of torch.
        keep_memory: give them the sweep's setting of memory (cornerstone/schedule/malloc.py), which stock runs do not
            have.
        what: the arguments of `Peers.load`.
    """

    def __init__(self, threads: int, keep_memory: bool, *what: Any) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start, (threads, keep_memory, what))

    def seconds(self, kind: str, *arguments: Any) -> float:
        """Seconds of one call of `Peers.p1` or `Peers.p2`."""
        return self.scored(kind, *arguments)[0]

    def scored(self, kind: str, *arguments: Any) -> tuple[float, list[float]]:
        """Seconds of one call, and the log-likelihoods of all choices (of P2)."""
        return self._pool.submit(_scored, kind, arguments, time.perf_counter).result()

    def cpu(self, kind: str, *arguments: Any) -> tuple[float, list[float]]:
        """As `scored`, in seconds of the processor."""
        return self._pool.submit(_scored, kind, arguments, time.process_time).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


_HERE: list[Peers] = []


def _start(threads: int, keep_memory: bool, what: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()
    _HERE.append(Peers.load(*what))


def _scored(kind: str, arguments: tuple[Any, ...], clock: Callable[[], float]) -> tuple[float, list[float]]:
    started = clock()
    scores = getattr(_HERE[0], kind)(*arguments)
    return clock() - started, scores or []
