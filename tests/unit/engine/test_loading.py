from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone.engine import encoding, loading
from cornerstone.engine.streaming import streamed
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


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", "/config.json is missing or names no model_type"),
        ("model.safetensors", " holds neither model.safetensors nor"),
    ],
)
def test_missing_files_are_one_message(copy: Path, gone: str, message: str) -> None:
    (copy / gone).unlink()
    with pytest.raises(ModelError, match=f"{copy}{message}") as caught:
        loading.load(copy, "float32")
    assert len(str(caught.value).splitlines()) == 1


def test_pickles_are_never_loaded(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds neither"):
        loading.load(copy, "float32")


def test_a_damaged_safetensors_file_is_a_model_error(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="is no whole safetensors file"):
        loading.load(copy, "float32")


def test_weights_that_lack_a_layer_are_refused(copy: Path) -> None:
    """Otherwise transformers fills the layer with random numbers, others on each load."""
    raw = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**raw, "num_hidden_layers": tiny.BLOCKS + 1}))
    with pytest.raises(ModelError, match="lack 9 tensors"):
        loading.load(copy, "float32")


def resident(folder: Path) -> Any:
    return loading.load(folder, "float32", "cpu")


def streamed_(folder: Path) -> Any:
    return streamed.load(folder, "float32", torch.device("cpu"))


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("load", [resident, streamed_])
def test_tensors_that_the_model_does_not_use_are_refused(copy: Path, load: Callable[[Path], Any]) -> None:
    name = "model.layers.2.self_attn.v_proj.bias"
    edit(copy, lambda tensors: tensors.update({name: torch.ones(16)}))
    with pytest.raises(
        ModelError, match=rf"hold 1 tensor\(s\) that the model .* such as {name} \[16\]: .*attention_bias"
    ):
        load(copy)


@pytest.mark.parametrize("load", [resident, streamed_])
@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "mtp.layers.0.weight", "vision_tower.patch.weight"]
)
def test_tensors_that_no_text_depends_on_are_passed_over(copy: Path, load: Callable[[Path], Any], name: str) -> None:
    edit(copy, lambda tensors: tensors.update({name: torch.ones(4)}))
    assert load(copy)[0] is not None


@pytest.mark.parametrize("load", [resident, streamed_])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_number_formats_that_need_scales_are_refused(
    copy: Path, load: Callable[[Path], Any], dtype: torch.dtype
) -> None:
    name = "model.layers.2.self_attn.v_proj.weight"
    edit(copy, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    with pytest.raises(ModelError, match=f"{name} in .* has the number format") as refused:
        load(copy)
    assert "resident" not in str(refused.value)  # it is refused there, too


@pytest.mark.parametrize("load", [resident, streamed_])
def test_quantised_weights_are_refused_with_the_remedy(copy: Path, load: Callable[[Path], Any]) -> None:
    raw = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**raw, "quantization_config": {"quant_method": "fp8"}}))
    with pytest.raises(ModelError, match=r"are quantised \(fp8\). `snakemake fetch` makes plain weights"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "mask"), [("gpt2", "transformer.h.0.attn"), ("gpt_neox", "gpt_neox.layers.0.attention")]
)
def test_masks_that_old_files_keep_are_passed_over(tmp_path: Path, name: str, mask: str) -> None:
    folder = tiny.save(name, tmp_path)
    more = {f"{mask}.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool), f"{mask}.masked_bias": torch.tensor(-1e9)}
    edit(folder, lambda tensors: tensors.update(more))
    assert resident(folder)[0] is not None


def test_kernels_that_config_json_names_are_left_out(copy: Path) -> None:
    raw = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**raw, "_attn_implementation": "flash_attention_2"}))
    assert resident(copy)[0].config._attn_implementation == "sdpa"
    assert loading.shapes_only(copy, "float32")[0].config._attn_implementation == "sdpa"


def test_numbers_that_float16_can_not_hold_are_refused(copy: Path) -> None:
    name = "model.layers.2.self_attn.v_proj.weight"
    edit(copy, lambda tensors: tensors[name][0].fill_(7e4))
    assert resident(copy)[0] is not None
    with pytest.raises(ModelError, match=f"{name} .* has numbers that float16 can't hold. Set dtype: bfloat16"):
        loading.load(copy, "float16", "cpu")


def test_tokens_that_the_model_has_no_embedding_for(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    more = deepcopy(tokenizer)
    more.add_tokens(["<picture>"])
    assert encoding.encode(model, more, REQUESTS) == encoding.encode(model, tokenizer, REQUESTS)
    wrong = rf"{tokenizer.name_or_path} \(tokenizer.json\) makes tokens of document 7 for which .* no embedding"
    with pytest.raises(ModelError, match=wrong):
        encoding.encode(model, more, [[("a <picture>", " b"), ("a", " c")]], [7])


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
