"""`cornerstone add`: the entry that it writes for folders, files and repositories, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cornerstone import cli
from cornerstone.adding import add as command
from cornerstone.adding import description, edit
from cornerstone.assets.look import Origin
from cornerstone.config import config
from cornerstone.config.models import Model
from cornerstone.errors import AssetError, ConfigError, ModelError
from tests import tiny
from tests.helpers import ROOT, raw
from tests.unit.adding.models import save, write_gguf
from tests.unit.adding.test_edit import added

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(raw(), sort_keys=False))
    return tmp_path


def add(*arguments: str) -> tuple[str, Model]:
    """What the command adds to the project's own config.yaml: the new lines, and the entry as it is read."""
    before = (ROOT / "config.yaml").read_text()
    path = Path("config.yaml")
    path.write_text(before)
    assert cli.main(["add", *arguments]) == 0
    names = set(config.load_files([path]).models) - set(config.load_files([ROOT / "config.yaml"]).models)
    return added(before, path.read_text()), config.load_files([path]).models[names.pop()]


@pytest.mark.parametrize(
    ("model_type", "keys", "unfolded"),
    [
        ("llama", {}, False),
        ("mixtral", {"feed_forward": "moe"}, False),
        ("deepseek_v3", {"sublayers": ["attn+ffn", "3 x attn+moe"]}, False),
        ("qwen3_next", {"sublayers": ["2 x linear+moe, attn+moe"]}, True),
        ("mamba", {"sublayers": ["4 x mamba"]}, True),
    ],
)
def test_a_folder(
    model_type: str, keys: dict[str, Any], unfolded: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(model_type, tmp_path / "Tiny Model")
    capsys.readouterr()
    lines, model = add(str(folder))
    (written,) = yaml.safe_load(lines).items()
    resources = {"gpus": 0, "memory_gb": 8, "runtime_minutes": 60}
    common = {"source": "folder", "id": str(folder), "blocks": 4, "dtype": "bfloat16", "resources": resources}
    assert written == ("tiny-model", common | keys)
    assert len(model.all_players()) == sum(len(block) for block in model.kinds())
    assert lines.startswith(f"\n  # {model_type}: 4 blocks, ")
    assert ("each choice is a row of its own" in lines) == unfolded
    captured = capsys.readouterr()
    assert captured.out.startswith("config.yaml: added models.tiny-model.\n")
    assert "Its layout is proven on a tiny random copy of 4 blocks." in captured.out
    assert captured.out.endswith("  Choose it: run: [tiny-model]\n")
    assert captured.err == "cornerstone: recognising its layout\n"


QWEN = {
    **{"model_type": "qwen2", "torch_dtype": "bfloat16", "vocab_size": 151936, "tie_word_embeddings": True},
    **{"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "max_window_layers": 24},
    **{"num_attention_heads": 14, "num_key_value_heads": 2, "bos_token_id": 151643, "eos_token_id": 151643},
}


def test_the_worked_example_of_the_documentation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(where: str, folder: Path, revision: str | None) -> Origin:
        (folder / "config.json").write_text(json.dumps(QWEN))
        tiny.tokenizer().save_pretrained(folder)
        return Origin("hub", where, COMMIT)

    monkeypatch.setattr(command, "look", look)
    lines, model = add("Qwen/Qwen2.5-0.5B")
    page = (ROOT / "docs" / "adding-a-model.md").read_text()
    assert f"```\n{capsys.readouterr().out}```\n" in page
    assert f"```yaml\n{lines.lstrip().replace(COMMIT, '<40 digits>')}```\n" in page.replace(
        "```yaml\n  #", "```yaml\n#"
    )
    assert len(model.all_players()) == 48


def test_a_relative_path_and_a_name(tmp_path: Path) -> None:
    save("llama", tmp_path / "models" / "x")
    lines, model = add("./models/x", "--name", "mine")
    assert list(yaml.safe_load(lines)) == ["mine"]
    assert model.id == "models/x"


def test_print_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save("llama", tmp_path / "model")
    before = Path("config.yaml").read_bytes()
    assert cli.main(["add", "model", "--print"]) == 0
    assert Path("config.yaml").read_bytes() == before
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["model"]["blocks"] == 4
    Model.model_validate(shown["model"])


def test_twice_is_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("llama", tmp_path / "model")
    assert cli.main(["add", "model"]) == 0
    before = Path("config.yaml").read_bytes()
    capsys.readouterr()
    assert cli.main(["add", str(folder), "--name", "again"]) == 0
    assert Path("config.yaml").read_bytes() == before
    assert capsys.readouterr().out.startswith(f"config.yaml: models.model is {folder} already. Nothing is changed.")


def test_a_hub_repository_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commits = [COMMIT]

    def look(where: str, folder: Path, revision: str | None) -> Origin:
        assert (where, revision) == ("org/Some-Model", None)
        save("llama", folder)
        return Origin("hub", where, commits[-1])

    monkeypatch.setattr(command, "look", look)
    lines, model = add("org/Some-Model")
    assert (model.source, model.id, model.revision) == ("hub", "org/Some-Model", COMMIT)
    assert f"    revision: {COMMIT} # the newest commit when this was added\n" in lines
    before = Path("config.yaml").read_bytes()
    capsys.readouterr()
    assert cli.main(["add", "org/Some-Model"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"config.yaml: models.some-model is org/Some-Model at {COMMIT} already. Nothing is changed.")
    assert Path("config.yaml").read_bytes() == before
    commits.append("f" * 40)
    assert cli.main(["add", "org/Some-Model"]) == 0
    models = yaml.safe_load(Path("config.yaml").read_text())["models"]
    assert (models["some-model"]["revision"], models["some-model-fffffff"]["revision"]) == (COMMIT, "f" * 40)


@pytest.mark.parametrize("split", [1, 2])
def test_a_gguf_file(split: int, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "some.Q4_0.gguf", split)[0]
    lines, model = add(path.name)
    assert next(iter(yaml.safe_load(lines))) == path.stem.lower()
    assert (model.source, model.id, model.blocks, model.dtype) == ("gguf", path.name, 4, "bfloat16")
    assert len(model.all_players()) == 8


def test_a_study_is_written_on_top_of_the_config(tmp_path: Path) -> None:
    save("llama", tmp_path / "model")
    before = Path("config.yaml").read_bytes()
    Path("study.yaml").write_text("# mine\nseed: 1\n")
    assert cli.main(["add", "model", "--config", "config.yaml", "--config", "study.yaml"]) == 0
    assert Path("config.yaml").read_bytes() == before
    assert Path("study.yaml").read_text().startswith("# mine\nseed: 1\n\nmodels:\n  # llama: ")
    assert "model" in config.load_files([Path("config.yaml"), Path("study.yaml")]).models


@pytest.mark.parametrize(
    ("said", "dtype"), [("float16", "float16"), ("bfloat16", "bfloat16"), ("float32", "bfloat16"), (None, "bfloat16")]
)
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_half_precision_is_that_of_the_checkpoint(said: str | None, dtype: str, key: str, tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model", **{"dtype": None, key: said})
    assert description.describe(folder).dtype == dtype


def test_sizes_of_quantised_weights_are_those_of_plain_ones(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    plain = description.describe(folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "quantization_config": {"quant_method": "fp8"}}))
    quantised = description.describe(folder)
    assert quantised.quantised == "fp8"
    assert (quantised.parameters, quantised.bytes) == (plain.parameters, plain.bytes)


def test_weights_that_cannot_be_dequantised_are_refused(tmp_path: Path) -> None:
    save("llama", tmp_path / "model", quantization_config={"quant_method": "gptq"})
    with pytest.raises(AssetError, match="the weights in model are quantised by gptq, which transformers can't undo"):
        command.add("model", [Path("config.yaml")])


def test_a_folder_without_a_tokenizer_is_named_as_it_was_given(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=r"^model has no tokenizer"):
        command.add("model", [Path("config.yaml")])


def test_parameters_and_bytes(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = save("mixtral", tmp_path / "model")
    found = description.describe(folder)
    count = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert found.parameters == count
    assert 2 * count <= found.bytes < 2.1 * count
    assert found.experts == 4
    experts = 4 * 4 * 3 * 32 * 64  # blocks, experts, matrices of each
    assert found.multiplied < found.parameters - experts / 2 + 1  # two of four are chosen
    assert found.multiplied > experts / 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "new_kind"}, "model_type: new_kind, which is not among those of transformers .* too new"),
        ({"model_type": "new_kind", "auto_map": {"AutoModel": "x.Y"}}, "No code of a model is ever run"),
        ({"model_type": None}, "names no model_type"),
        (
            {"model_type": "vit", "architectures": ["ViTModel"]},
            r"model_type: vit \(ViTModel\)\. What was looked for is a causal language model, and .* has none",
        ),
    ],
)
def test_a_type_that_is_not_supported(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    save("llama", tmp_path / "model", **changes)
    before = Path("config.yaml").read_bytes()
    with pytest.raises((ModelError, AssetError), match=said):
        command.add("model", [Path("config.yaml")])
    assert Path("config.yaml").read_bytes() == before


def test_a_decoder_of_an_encoder_is_refused(tmp_path: Path) -> None:
    save("llama", tmp_path / "model")
    settings = {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], "is_encoder_decoder": True}
    (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="attends to an encoder"):
        command.add("model", [Path("config.yaml")])


def test_what_is_wrong_with_the_configuration_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any) -> Origin:
        raise AssertionError

    monkeypatch.setattr(command, "look", never)
    with pytest.raises(ConfigError, match="--name tiny: there is a model of this name"):
        command.add("org/some", [Path("config.yaml")], name="tiny")
    Path("config.yaml").write_text(yaml.safe_dump(raw({"seed": "x"})))
    with pytest.raises(ConfigError, match=r"config\.yaml:\d+: seed: "):
        command.add("org/some", [Path("config.yaml")])
    Path("config.yaml").write_text("run: [tiny\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: can't be read as YAML: .*line 2"):
        command.add("org/some", [Path("config.yaml")])


def test_an_entry_that_would_be_refused_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("llama", tmp_path / "model")
    monkeypatch.setattr(command, "make_entry", lambda *given: edit.Entry("model", {"source": "folder", "id": "x"}))
    before = Path("config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"config\.yaml:\d+: models\.model\.blocks: is missing") as caught:
        command.add("model", [Path("config.yaml")])
    assert "/tmp" not in str(caught.value)
    assert Path("config.yaml").read_bytes() == before
