"""Weights that pass through slots: what is read when, how much is held, and what goes wrong."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone.engine.streaming import streamed
from cornerstone.engine.streaming.streamed import Streamed
from cornerstone.engine.weights import footprint, names_by_sublayer
from cornerstone.errors import ModelError
from tests import tiny

CPU = torch.device("cpu")
LONG = 30.0
"""Seconds after which a test that waits for a thread gives up; nothing waits that long when all is well."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save("llama", tmp_path)


def load(folder: Path, dtype: str = "float32") -> tuple[Any, Streamed]:
    model, _, weights = streamed.load(folder, dtype, CPU)
    return model, weights


def same(model: Any, sublayers: Sequence[int], name: str = "llama") -> bool:
    """Whether the parameters of these sublayers are those of the original."""
    original = tiny.make(name)
    found = dict(model.named_parameters())
    expected = dict(original.named_parameters())
    names = names_by_sublayer(original)
    return all(torch.equal(found[key], expected[key]) for sublayer in sublayers for key in names[sublayer])


def test_each_sublayer_is_there_when_it_is_used(folder: Path) -> None:
    model, weights = load(folder)
    for sublayers in ([0, 1, 2, 3, 4, 5, 6, 7], [1, 4, 6], [7]):  # a walk leaves out what no coalition keeps
        with weights.walk(sublayers):
            for sublayer in sublayers:
                weights.use(sublayer)
                weights.use(sublayer)  # for the next batch
                assert same(model, [sublayer])


def test_what_is_outside_the_blocks_is_there_always(folder: Path) -> None:
    model, _ = load(folder)
    original = tiny.make("llama")
    assert torch.equal(model.lm_head.weight, original.lm_head.weight)
    assert torch.equal(model.model.embed_tokens.weight, original.model.embed_tokens.weight)
    assert torch.equal(model.model.norm.weight, original.model.norm.weight)
    assert all(parameter.device == CPU for parameter in model.parameters())
    assert all(buffer.device == CPU for buffer in model.buffers())


def test_both_sublayers_of_a_parallel_block_are_there_together(tmp_path: Path) -> None:
    model, weights = load(tiny.save("gpt_neox", tmp_path))
    with weights.walk([0, 1, 3, 4, 5]):
        for sublayers in ([0, 1], [3], [4, 5]):
            for sublayer in sublayers:
                weights.use(sublayer)
            assert same(model, sublayers, "gpt_neox")


@pytest.mark.parametrize(("name", "sublayers"), [("llama", range(8)), ("llama", [2, 5]), ("mixtral", range(8))])
def test_each_weight_is_read_once_a_walk(name: str, sublayers: Sequence[int], tmp_path: Path) -> None:
    model, weights = load(tiny.save(name, tmp_path))
    names = names_by_sublayer(model)
    sizes = {key: parameter.nbytes for key, parameter in model.named_parameters()}
    expected = sum(sizes[key] for sublayer in sublayers for key in names[sublayer])
    for walk in (1, 2):
        with weights.walk(sublayers):
            for sublayer in sublayers:
                weights.use(sublayer)
        assert (weights.traffic.walks, weights.traffic.bytes) == (walk, walk * expected)


def test_memory_held_is_two_units_and_what_is_outside_the_blocks(folder: Path) -> None:
    model, weights = load(folder)
    sizes = footprint(tiny.make("llama"))
    assert weights.held == sizes.streamed(2) == sizes.fixed + 2 * max(sizes.units)
    with weights.walk(range(8)):
        for sublayer in range(8):
            weights.use(sublayer)
            live = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
            assert sum(live.values()) <= weights.held


def test_tied_embeddings_are_one_tensor(tmp_path: Path) -> None:
    model, weights = load(tiny.save("gemma2", tmp_path))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert weights.held == footprint(tiny.make("gemma2")).streamed(2)


@pytest.mark.parametrize("equal", [True, False])
def test_tied_embeddings_that_the_files_have_twice(equal: bool, tmp_path: Path) -> None:
    """As transformers does: tied if they are equal, else taken as they are."""
    folder = tiny.save("gemma2", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding.clone() if equal else 2 * embedding
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model, _ = load(folder)
    assert torch.equal(model.lm_head.weight, tensors["lm_head.weight"])
    assert torch.equal(model.model.embed_tokens.weight, embedding)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == equal


@pytest.mark.parametrize("name", ["model.layers.2.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight"])
def test_a_missing_tensor_is_named(name: str, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"lack 1 tensors that config.json asks for, such as {name}\. Fetch"):
        load(folder)


def test_other_devices_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="can't be streamed to the device meta"):
        streamed.load(folder, "float32", torch.device("meta"))


class Gates:
    """Stands between the thread and its reading: notes what is read, and lets tests hold it up."""

    def __init__(self, weights: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = {sublayer: threading.Event() for sublayer in range(8)}
        self.ended = {sublayer: threading.Event() for sublayer in range(8)}
        self.open = {sublayer: threading.Event() for sublayer in range(8)}
        self.count: Counter[int] = Counter()
        original = weights._read

        def read(sublayer: int, stopped: Callable[[], bool], into: torch.Tensor) -> None:
            self.count[sublayer] += 1
            self.begun[sublayer].set()
            assert self.open[sublayer].wait(LONG)
            original(sublayer, stopped, into)
            self.ended[sublayer].set()

        monkeypatch.setattr(weights, "_read", read)


def test_the_next_unit_is_read_while_this_one_computes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights = load(folder)
    gates = Gates(weights, monkeypatch)
    for sublayer in range(8):
        gates.open[sublayer].set()
    with weights.walk(range(8)):
        for sublayer in range(8):
            weights.use(sublayer)
            if sublayer < 7:  # nothing but the thread itself can bring this about
                assert gates.ended[sublayer + 1].wait(LONG)
            assert same(model, [sublayer])  # and it is not in the way
            assert not any(gates.begun[later].is_set() for later in range(sublayer + 2, 8))  # there is no third slot
    assert set(gates.count.values()) == {1}


def test_the_walk_waits_until_the_weights_are_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights = load(folder)
    gates, used = Gates(weights, monkeypatch), threading.Event()

    def walk() -> None:
        with weights.walk([3]):
            weights.use(3)
            assert same(model, [3])
            used.set()

    thread = threading.Thread(target=walk)
    thread.start()
    assert gates.begun[3].wait(LONG)
    assert not used.is_set()
    gates.open[3].set()
    assert used.wait(LONG)
    thread.join()
    assert 0 < weights.traffic.waited <= weights.traffic.seconds


def test_a_walk_that_is_broken_off_ends_its_thread(folder: Path) -> None:
    model, weights = load(folder)
    before = threading.active_count()

    def walk() -> None:
        with weights.walk(range(8)):
            weights.use(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk()
    assert threading.active_count() == before
    with weights.walk([5]):  # and the next walk is not disturbed
        weights.use(5)
        assert same(model, [5])


def test_a_file_that_shrinks_is_an_error_of_the_walk(folder: Path) -> None:
    _, weights = load(folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:30_000])

    def walk() -> None:
        with weights.walk(range(8)):
            for sublayer in range(8):
                weights.use(sublayer)

    for _ in range(2):
        with pytest.raises(ModelError, match=r"model\.safetensors ends inside .*\. Fetch the model again"):
            walk()


def test_any_error_of_the_thread_reaches_the_walk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, weights = load(folder)

    def fail(*_: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(weights, "_read", fail)
    with weights.walk([0, 1]):
        for _ in range(2):  # it does not wait for ever for a thread that is gone
            with pytest.raises(ModelError, match="could not be brought into memory: no more"):
                weights.use(0)


def test_a_walk_that_does_other_than_it_said(folder: Path) -> None:
    _, weights = load(folder)
    with pytest.raises(RuntimeError, match="outside a walk"):
        weights.use(0)
    with pytest.raises(RuntimeError, match="announced"), weights.walk([0, 2]):
        weights.use(1)
    with weights.walk([0]):
        weights.use(0)
        with pytest.raises(RuntimeError, match="did not announce"):
            weights.use(1)
    with pytest.raises(RuntimeError, match="before the one before"), weights.walk([0]), weights.walk([0]):
        pass
