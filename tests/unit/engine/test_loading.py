from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cornerstone.engine import encoding, loading
from cornerstone.errors import ModelError
from tests import tiny
from tests.helpers import script

REQUESTS = [
    [("Question: What is hot?\nAnswer:", f" {choice}") for choice in ("the sun", "the moon", "cold water")],
    [("Sarah went", " home."), ("Maria went", " home.")],
    [("How? ", "Put it into water."), ("How? ", "Put it away.")],  # the blank goes to the continuation
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    return loading.load(folder, "float32", "cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_loading_gives_the_saved_weights_ready_to_score(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    original = tiny.make("llama").state_dict()
    assert all(torch.equal(weight, original[key]) for key, weight in model.state_dict().items())
    assert not model.training
    assert tokenizer.decode(tokenizer.encode("Put it into hot water")) == "Put it into hot water"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_number_format_is_the_one_asked_for(folder: Path, dtype: str) -> None:
    assert loading.load(folder, dtype, "cpu")[0].dtype == getattr(torch, dtype)


@pytest.mark.parametrize("gone", ["config.json", "model.safetensors"])
def test_missing_files_are_one_message(copy: Path, gone: str) -> None:
    (copy / gone).unlink()
    with pytest.raises(ModelError, match=f"the model in {copy} can't be loaded: .*Fetch it again") as caught:
        loading.load(copy, "float32")
    assert len(str(caught.value).splitlines()) == 1


def test_pickles_are_never_loaded(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="can't be loaded"):
        loading.load(copy, "float32")


def test_a_damaged_safetensors_file_is_a_model_error(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="can't be loaded"):
        loading.load(copy, "float32")


def test_weights_that_lack_a_layer_are_refused(copy: Path) -> None:
    """Otherwise transformers fills the layer with random numbers, others on each load."""
    raw = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**raw, "num_hidden_layers": tiny.BLOCKS + 1}))
    with pytest.raises(ModelError, match="lack 9 tensors"):
        loading.load(copy, "float32")


def test_encoding_is_the_tokenizers_of_the_whole_text(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    packed = encoding.encode(model, tokenizer, REQUESTS)
    assert [document.choices for document in packed] == [3, 2, 2]
    for choices, document in zip(REQUESTS, packed, strict=True):
        for choice, (context, continuation) in enumerate(choices):
            context = context.rstrip()
            whole = tokenizer.encode(choices[choice][0] + continuation, add_special_tokens=False)
            start = len(tokenizer.encode(context, add_special_tokens=False))
            targets = [(node, token) for node, token, c in document.targets if c == choice]
            assert [token for _, token in targets] == whole[start:]
            path, node = [], targets[-1][0]
            while node >= 0:
                path.append(document.tokens[node])
                node = document.parents[node]
            assert path[::-1] == whole[:-1]


def test_an_empty_context_is_the_begin_token(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    (document,) = encoding.encode(model, tokenizer, [[("", "yes no"), ("", "no")]])
    assert document.tokens[0] == tokenizer.bos_token_id
    assert document.parents.count(-1) == 1


def test_long_documents_are_cut_to_what_the_model_takes(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    context = "water and sun " * 1500
    (document,) = encoding.encode(model, tokenizer, [[(context, " yes"), (context, " yes")]])
    whole = tokenizer.encode(f"{context} yes", add_special_tokens=False)
    longest = model.config.max_position_embeddings
    assert len(whole) > longest + 1
    assert len(document) == longest
    assert list(document.tokens) == whole[-(longest + 1) : -1]


@pytest.mark.parametrize(
    ("device_map", "gpus", "asked"), [("auto", 2, r"2 GPU\(s\)"), ("cuda:0", 0, "device_map: cuda:0")]
)
def test_gpus_that_are_not_there(device_map: str, gpus: int, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=f"{asked}.*torch sees no GPU here. Give the job GPUs"):
        loading.device_of(device_map, gpus)


def test_where_a_model_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = [str(loading.device_of(*asked)) for asked in (("auto", 0), ("auto", 1), ("cpu", 1), ("cuda:1", 0))]
    assert found == ["cpu", "cuda:0", "cpu", "cuda:1"]


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"tiny\.compile: true needs a C\+\+ compiler .* or set compile: false"):
        loading.need_compiler("tiny")
    script(tmp_path, "clang++", "")
    loading.need_compiler("tiny")
