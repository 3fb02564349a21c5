"""Pruned checkpoints: stock tools give them the scores of the original with hooks in the place of removed layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from cornerstone.adding.proof import disturb
from cornerstone.assets.fetch import fetch_model
from cornerstone.command import pruning
from cornerstone.config.config import Config
from cornerstone.engine.network import Network
from cornerstone.engine.structure import kinds_of
from cornerstone.errors import AssetError, ConfigError, CornerstoneError, ModelError, StoreError
from cornerstone.files import write_csv, write_text
from cornerstone.game.players import players_of
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.prune import choose
from cornerstone.prune import prune as module
from cornerstone.prune.blocks import without_blocks
from cornerstone.prune.made import Pruned
from cornerstone.prune.prune import prune
from cornerstone.prune.silence import silencing
from tests import tiny, types
from tests.helpers import configured
from tests.parity import stock

REQUESTS = [
    ("Question: Which one is a source of energy?\nAnswer:", " wind"),
    ("Wind turns the wheel. " * 6 + "Question: does it?\nAnswer:", " no"),
    ("", "yes no yes"),
]

Make = Callable[..., tuple[Config, Path]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(name: str, changes: dict[str, Any] | None = None) -> tuple[Config, Path]:
        """The entry `tiny` of a random model on disk, whose norms and biases are no zeros and ones."""
        folder = tmp_path / "original"
        model = tiny.make(name)
        torch.manual_seed(1)
        disturb(model)
        model.save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        keys = {"id": str(folder), "blocks": tiny.BLOCKS, "feed_forward": tiny.TINY[name].kind}
        entry = {"models.tiny": {"source": "folder", "dtype": "float32", **keys}}
        paths = {"paths.resources": str(tmp_path / "resources"), "paths.results": str(tmp_path / "results")}
        config = configured({**entry, **paths, **(changes or {})})
        layout = Layout(config)
        weights, marker = Path(layout.weights("tiny")), Path(layout.model_marker("tiny"))
        fetch_model("tiny", config.models["tiny"], weights, Path(layout.wheels), marker)
        return config, folder

    return made


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def likelihoods(folder: Path, removed: Sequence[str] = ()) -> list[float]:
    """What stock lm-eval says of a folder, some modules hooked to zero."""
    lm = stock.harness(loaded(folder), AutoTokenizer.from_pretrained(folder), batch_size=1)
    return stock.loglikelihoods(lm, REQUESTS, removed)


def pruned(config: Config, out: Path, layers: Sequence[str], **options: Any) -> Pruned:
    return prune(config, "tiny", choose.named(config, "tiny", layers), out, **options)


@pytest.mark.parity
@pytest.mark.parametrize("name", tiny.TINY)
def test_stock_lm_eval_on_the_folder_says_what_hooks_on_the_original_say(name: str, make: Make, tmp_path: Path) -> None:
    """Block 1 goes as a whole; of blocks 2 and 3 one sublayer each."""
    config, original = make(name)
    recipe, out = tiny.TINY[name], tmp_path / "out"
    made = pruned(config, out, ["block1", "attn3", f"{recipe.kind}2"])
    paths = [recipe.attention.format(1), recipe.feed_forward.format(1)]
    paths += [recipe.attention.format(3), recipe.feed_forward.format(2)]
    found = likelihoods(out)
    np.testing.assert_allclose(found, likelihoods(original, paths), rtol=1e-5, atol=1e-4)
    assert not np.allclose(found, likelihoods(original), atol=1e-2)
    assert made.blocks == (1,)
    assert set(made.zeroed) == {"attn3", f"{recipe.kind}2"}
    model = loaded(out)
    assert model.config.num_hidden_layers == tiny.BLOCKS - 1
    assert sum(p.numel() for p in model.parameters()) == made.parameters[1] < made.parameters[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original", "out", "resources"]


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox", "gpt2", "qwen2"])
def test_the_cache_of_keys_and_values_fits(name: str, make: Make, tmp_path: Path) -> None:
    """With the cache, each token is computed by itself: a block that wrote into another's place would be seen."""
    config, _ = make(name)
    pruned(config, tmp_path / "out", ["block0", "block2"])
    model, tokens = loaded(tmp_path / "out"), torch.arange(2, 42)[None]
    with torch.inference_mode():
        whole, cache, steps = model(tokens, use_cache=False).logits, None, []
        for place in range(tokens.shape[1]):
            step = model(tokens[:, place : place + 1], past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            steps.append(step.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-3, atol=1e-3)


def test_what_counts_blocks_in_the_configuration_follows(make: Make, tmp_path: Path) -> None:
    config, original = make("gemma2")
    pruned(config, tmp_path / "out", ["block0", "block1"])
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (original, tmp_path / "out"))
    assert after["layer_types"] == before["layer_types"][2:]
    assert after["num_hidden_layers"] == 2
    same = {key for key in before if before[key] == after.get(key)}
    assert set(before) - same <= {"layer_types", "num_hidden_layers", "transformers_version"}


def test_lists_of_blocks_are_renumbered() -> None:
    """Qwen3's mixtures name the blocks that are no mixtures by their places."""
    settings = {**tiny.TINY["qwen3_moe"].settings, "mlp_only_layers": [1, 3]}
    torch.manual_seed(0)
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3_moe"](**settings)).eval()
    kinds = [type(layer.mlp).__name__ for layer in model.model.layers]
    config = without_blocks(model, [0])
    assert config.mlp_only_layers == [0, 2]
    again = AutoModelForCausalLM.from_config(config)
    assert [type(layer.mlp).__name__ for layer in again.model.layers] == kinds[1:]


def test_a_place_that_decides_what_a_block_is_refuses_the_removal() -> None:
    settings = {**tiny.TINY["qwen3_moe"].settings, "decoder_sparse_step": 2}
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["qwen3_moe"](**settings)).eval()
    with pytest.raises(ModelError, match=r"would be another one as block 0 .*--keep-blocks"):
        without_blocks(model, [0])


def test_no_block_left_is_refused(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama")
    with pytest.raises(ModelError, match="no block would be left"):
        pruned(config, tmp_path / "out", [f"block{i}" for i in range(tiny.BLOCKS)])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("llama", "ffn", ["down_proj.weight"]),
        ("gpt2", "attn", ["c_proj.weight", "c_proj.bias"]),
        ("opt", "ffn", ["fc2.weight", "fc2.bias"]),
        ("gemma2", "ffn", ["down_proj.weight"]),
        ("mixtral", "moe", ["experts.down_proj"]),
        ("gpt_neox", "attn", ["dense.weight", "dense.bias"]),
    ],
)
def test_the_output_projection_is_what_is_zeroed(name: str, kind: str, words: list[str]) -> None:
    model = tiny.make(name)
    disturb(model)
    place = 2 if kind == "attn" else 3
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (found,) = silencing(tiny.network(model, name), [place]).values()
    assert sorted(found) == sorted(name for name in found for word in words if name.endswith(word))
    assert len(found) == len(words)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_norm_behind_the_projection_with_a_bias_is_zeroed_instead() -> None:
    model = tiny.make("olmo2")
    for layer in model.model.layers:
        layer.post_feedforward_layernorm = torch.nn.LayerNorm(32)
    disturb(model)
    (found,) = silencing(tiny.network(model, "olmo2"), [1]).values()
    assert sorted(found) == [f"model.layers.0.post_feedforward_layernorm.{word}" for word in ("bias", "weight")]


class Constant(torch.nn.Linear):
    """A projection that adds 1, whatever its parameters are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


def test_what_adds_something_with_zero_parameters_is_refused() -> None:
    model = tiny.make("llama")
    model.model.layers[1].mlp.down_proj.__class__ = Constant
    with pytest.raises(
        ModelError, match=r"of kind ffn in block 1 .* adds something even where its parameters are zero"
    ):
        silencing(Network(model, tiny.network(tiny.make("llama"), "llama").players), [3])


def test_blocks_can_be_kept(make: Make, tmp_path: Path) -> None:
    config, original = make("llama")
    made = pruned(config, tmp_path / "out", ["block1"], keep_blocks=True)
    assert (made.blocks, set(made.zeroed)) == ((), {"attn1", "ffn1"})
    assert made.parameters[0] == made.parameters[1]
    paths = ["model.layers.1.self_attn", "model.layers.1.mlp"]
    np.testing.assert_allclose(likelihoods(tmp_path / "out"), likelihoods(original, paths), rtol=1e-5, atol=1e-4)


def test_weights_keep_their_number_format(make: Make, tmp_path: Path) -> None:
    config, original = make("llama", {"models.tiny.dtype": "bfloat16"})
    loaded(original).to(torch.bfloat16).save_pretrained(original)
    layout = Layout(config)
    weights, marker = Path(layout.weights("tiny")), Path(layout.model_marker("tiny"))
    fetch_model("tiny", config.models["tiny"], weights, Path(layout.wheels), marker)
    pruned(config, tmp_path / "out", ["ffn1"])
    before, after = loaded(original).state_dict(), loaded(tmp_path / "out").state_dict()
    assert {value.dtype for value in after.values()} == {torch.bfloat16}
    assert [name for name in before if not torch.equal(before[name], after[name])] == [
        "model.layers.1.mlp.down_proj.weight"
    ]


def test_a_folder_is_never_overwritten_unasked_and_never_a_foreign_one(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama")
    out, other = tmp_path / "out", tmp_path / "other"
    pruned(config, out, ["ffn1"])
    first = (out / "prune.json").read_text()
    with pytest.raises(AssetError, match=r"exists\. Choose another --out, or replace it: --overwrite"):
        pruned(config, out, ["ffn2"])
    assert (out / "prune.json").read_text() == first
    pruned(config, out, ["ffn2"], overwrite=True)
    assert json.loads((out / "prune.json").read_text())["removed"] == ["ffn2"]
    other.mkdir()
    (other / "letters.txt").write_text("mine")
    with pytest.raises(AssetError, match="exists, and `cornerstone prune` did not make it"):
        pruned(config, other, ["ffn2"], overwrite=True)
    assert (other / "letters.txt").read_text() == "mine"


def test_what_fails_leaves_nothing_and_keeps_what_was_there(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = make("llama")
    out = tmp_path / "out"
    pruned(config, out, ["ffn1"])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    own = module._own_scores
    monkeypatch.setattr(module, "_own_scores", lambda *arguments: [score + 1 for score in own(*arguments)])
    with pytest.raises(ModelError, match="does not do what the coalition does"):
        pruned(config, out, ["ffn2"], overwrite=True)
    with pytest.raises(ModelError, match="Nothing was written"):
        pruned(config, tmp_path / "new", ["ffn2"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original", "out", "resources"]

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_own_scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pruned(config, tmp_path / "new", ["ffn2"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["original", "out", "resources"]


def test_the_card_and_the_facts_say_what_was_done(make: Make, tmp_path: Path) -> None:
    config, original = make("llama")
    for name, score in (("full", 0.75), ("drop-attn1-ffn1", 0.5)):
        for task, metric in (("alpha", "acc"), ("beta", "acc_norm")):
            path = Path(Layout(config).coalition("tiny", task, name))
            write_text(path, json.dumps({"results": {task: {f"{metric},none": score}}}))
    pruned(config, tmp_path / "out", ["block1"])
    facts = json.loads((tmp_path / "out" / "prune.json").read_text())
    assert facts["removed"] == ["attn1", "ffn1"]
    assert facts["coalition"] == "drop-attn1-ffn1"
    assert facts["blocks_removed"] == [1]
    assert facts["zeroed"] == {}
    assert facts["prune_layers"] == "1"
    card = (tmp_path / "out" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "transformers"
    assert "| beta | acc_norm | 0.7500 | 0.5000 |" in card
    check = facts["check_log_likelihood"]
    assert check["ends"] == 5
    texts = [(text, end) for text, ends in module.REQUESTS for end in ends]
    for folder, when in ((original, "before"), (tmp_path / "out", "after")):
        lm = stock.harness(loaded(folder), AutoTokenizer.from_pretrained(folder), batch_size=1)
        assert check[when] == pytest.approx(np.mean(stock.loglikelihoods(lm, texts, [])), abs=1e-3)
    assert check["before"] != pytest.approx(check["after"], abs=1e-3)
    assert f"5 ends of check sentences: {check['before']:.1f} nats before, {check['after']:.1f} after" in card
    assert "no evaluation" in card
    assert facts["doubts"] == []
    assert "llama-quantize --prune-layers 1" in card
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1  # the weights are readable, too
    recipe = yaml.safe_load((tmp_path / "out" / "mergekit.yaml").read_text())
    assert [part["sources"][0]["layer_range"] for part in recipe["slices"]] == [[0, 1], [2, 4]]
    assert recipe["slices"][0]["sources"][0]["model"] == str(original)


def test_mergekit_scales_what_is_zero_and_llama_cpp_can_not_say_it(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama")
    pruned(config, tmp_path / "out", ["ffn1", "attn1", "attn2"], keep_blocks=True)
    facts = json.loads((tmp_path / "out" / "prune.json").read_text())
    assert facts["prune_layers"] is None
    slices = [part["sources"][0] for part in yaml.safe_load((tmp_path / "out" / "mergekit.yaml").read_text())["slices"]]
    assert [part["layer_range"] for part in slices] == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert slices[1]["parameters"]["scale"] == [
        {"filter": "down_proj", "value": 0.0}, {"filter": "o_proj", "value": 0.0}, {"value": 1.0}
    ]  # fmt: skip
    assert "llama-quantize" not in (tmp_path / "out" / "README.md").read_text()
    assert facts["speed"] is None


def test_the_card_says_how_fast_it_is_where_that_was_measured(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama")
    made = pruned(config, tmp_path / "out", ["block1", "block2"], speed=True)
    facts = json.loads((tmp_path / "out" / "prune.json").read_text())
    assert made.speed is not None
    assert 0 < facts["speed"]["reading"][0] == made.speed.reading[0]
    assert f"- {made.speed.words()}" in (tmp_path / "out" / "README.md").read_text()


def test_where_mergekit_can_not_say_it_there_is_no_recipe(make: Make, tmp_path: Path) -> None:
    config, _ = make("gpt2")  # its projections have biases, and its names are alike in both sublayers
    pruned(config, tmp_path / "out", ["ffn1"])
    assert not (tmp_path / "out" / "mergekit.yaml").exists()
    assert "mergekit-yaml" not in (tmp_path / "out" / "README.md").read_text()


def ranked_results(config: Config) -> None:
    """Tables of a run in which the values of tiny's 8 players rise, and the drops fall."""
    layout = Layout(config)
    names = [player.name for player in config.models["tiny"].all_players()]
    frames = [
        pd.DataFrame({"order": order, "fold": "all", "player": names, "position": range(8)}).assign(
            value=[sign * i / 10 for i in range(8)]
        )
        for order, sign in (("shapley", 1), ("ablation", -1))
    ]
    write_csv(pd.concat(frames), Path(layout.csv("tiny", "orders")))
    facts = {"fingerprint": fingerprint.of_estimates(config, "tiny"), "values": {}}
    write_text(Path(layout.provenance("tiny")), json.dumps(facts))


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("shapley", ("attn0", "ffn0", "attn1")),
        ("ablation", ("ffn3", "attn3", "ffn2")),
        ("depth", ("ffn3", "attn3", "ffn2")),
    ],
)
def test_layers_are_chosen_by_an_order(order: str, names: tuple[str, ...], tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path)})
    ranked_results(config)
    found = choose.ranked(config, "tiny", 3, order)
    assert found.players == names
    assert set(found.names) == set(names)
    assert found.order == order


def test_without_curves_an_order_comes_from_the_estimates(tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path), "deletion.orders": []})
    ranked_results(config)
    names = [player.name for player in config.models["tiny"].all_players()]
    shown = Layout(config).shown("tiny")
    for stem, column in (("shapley", "value"), ("ablation", "drop")):
        frame = pd.DataFrame({"task": "mean", "player": names, "position": range(8), column: np.arange(8) / 10})
        write_csv(frame, Path(shown[stem]))
    assert choose.ranked(config, "tiny", 2, "shapley").players == ("attn0", "ffn0")


@pytest.mark.parametrize(
    ("original", "low", "doubts"),
    [(0.6, 0.01, []), (0.4, 0.01, ["at chance or below"]), (0.4, -0.01, ["at chance or below", "not clearly better"])],
)
def test_an_order_that_may_be_worth_little_is_doubted(
    original: float, low: float, doubts: list[str], tmp_path: Path
) -> None:
    config = configured({"paths.results": str(tmp_path)})
    ranked_results(config)
    layout = Layout(config)
    baselines = pd.DataFrame({"task": ["alpha", "beta"], "original": original, "chance": [0.5, float("nan")]})
    write_csv(baselines, Path(layout.csv("tiny", "baselines")))
    quality = {"task": ["alpha", "mean"], "order": "shapley", "separation": 0.1, "low": [-1.0, low], "high": 0.2}
    write_csv(pd.DataFrame(quality), Path(layout.csv("tiny", "order_quality")))
    config_of_curves = configured({"paths.results": str(tmp_path), "deletion.orders": ["shapley"]})
    ranked_results(config_of_curves)
    found = choose.ranked(config_of_curves, "tiny", 3, "shapley").doubts
    assert len(found) == len(doubts)
    assert all(words in doubt for words, doubt in zip(doubts, found, strict=True))


def test_the_command_says_what_was_done_and_what_is_doubted(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama")
    ranked_results(config)
    baselines = pd.DataFrame({"task": ["alpha"], "original": [0.4], "chance": [0.5]})
    write_csv(baselines, Path(Layout(config).csv("tiny", "baselines")))
    files = [Path("config.yaml"), Path("studies/quick.yaml")]
    said = pruning.prune(config, "tiny", tmp_path / "out", 2, "shapley", None, False, False, False, files)
    assert "; 1 block taken out\n" in said.text
    assert "ends of check sentences: " in said.text
    (doubt,) = said.data["doubts"]
    assert f"  WARNING: {doubt}\n" in said.text
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"- Warning: {doubt}" in card
    paths = " ".join(Layout(config).coalition("tiny", task, "drop-attn0-ffn0") for task in config.scored_tasks)
    assert f"`snakemake --cores 2 {paths} --configfile studies/quick.yaml` measures each task" in card


def test_a_choice_of_groups_is_a_coalition_of_groups(tmp_path: Path) -> None:
    groups = {"groups": {"early": ["block0"], "late": ["attn2", "block3"]}}
    config = configured({"models.tiny.players": groups})
    assert choose.named(config, "tiny", ["late"]).names == ("attn2", "attn3", "ffn3")
    assert choose.named(config, "tiny", ["late"]).coalition == "drop-late"
    assert choose.named(config, "tiny", ["attn2"]).coalition is None
    assert choose.named(config, "tiny", ["late", "early"]).coalition == "drop-early-late"


@pytest.mark.parametrize(
    ("changes", "ask", "said"),
    [
        ({}, lambda c: choose.named(c, "big", ["ffn0"]), "there is no model 'big' in the configuration"),
        ({}, lambda c: choose.named(c, "tiny", ["ffn9"]), "there is no player 'ffn9'"),
        ({}, lambda c: choose.named(c, "tiny", []), "--layers names no layer"),
        ({}, lambda c: choose.ranked(c, "tiny", 3, "luck"), "--order: there is no 'luck'"),
        ({}, lambda c: choose.ranked(c, "tiny", 8, "depth"), "--remove 8: tiny has 8 players; remove 1 to 7"),
        ({}, lambda c: choose.ranked(c, "tiny", 0, "depth"), "--remove 0"),
        ({"models.tiny.removal": "mean"}, lambda c: choose.named(c, "tiny", ["ffn0"]), "with `removal: mean`"),
        (
            {"models.tiny.players": "heads", "models.tiny.heads": 4},
            lambda c: choose.named(c, "tiny", ["ffn0"]),
            "its players are heads, parts of sublayers",
        ),
    ],
)
def test_a_wrong_choice_is_explained(changes: dict[str, Any], ask: Any, said: str, tmp_path: Path) -> None:
    tasks = {"tasks.boolq": {"metric": "acc"}, "paths.results": str(tmp_path)}
    with pytest.raises(CornerstoneError, match=said.replace("(", r"\(")):
        ask(configured({**tasks, **changes}))


def test_an_order_needs_results_of_this_configuration(tmp_path: Path) -> None:
    config = configured({"paths.results": str(tmp_path)})
    with pytest.raises(StoreError, match="is missing"):
        choose.ranked(config, "tiny", 2, "shapley")
    ranked_results(config)
    other = configured({"paths.results": str(tmp_path), "seed": 5})
    with pytest.raises(StoreError, match=r"made by other settings or code .* or name the layers: --layers"):
        choose.ranked(other, "tiny", 2, "shapley")
    with pytest.raises(ConfigError, match="--order perplexity needs `log-probability`"):
        choose.ranked(config, "tiny", 2, "perplexity")


def test_an_entry_with_other_blocks_than_the_weights_is_refused(make: Make, tmp_path: Path) -> None:
    config, _ = make("llama", {"models.tiny.blocks": 5})
    with pytest.raises(
        ModelError, match=r"models\.tiny says 5 blocks of other kinds than the weights have \(4 blocks\)"
    ):
        pruned(config, tmp_path / "out", ["ffn1"])


@pytest.mark.parametrize("name", ["bamba", "bloom", "deepseek_v3", "falcon", "gpt_oss", "lfm2", "qwen3_next"])
def test_blocks_of_any_kind_of_sublayer_pass_the_stream_on_as_it_is(name: str) -> None:
    """Mixtures with shared experts, Mamba, convolutions, linear attention: each block returns what it is given."""
    model = types.make(name).float().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    kinds = kinds_of(model)
    network = Network(model, players_of(kinds), kinds)
    parameters = dict(model.named_parameters())
    found = silencing(network, range(len(network.players)))
    with torch.no_grad():
        for names in found.values():
            assert len(names) <= 4
            for parameter_name in names:
                parameters[parameter_name].zero_()
    passed: list[bool] = []
    for block in network.blocks:
        block.register_forward_hook(
            lambda module, args, kwargs, output: passed.append(
                torch.equal(
                    args[0] if args else kwargs["hidden_states"], output if torch.is_tensor(output) else output[0]
                )
            ),
            with_kwargs=True,
        )
    with torch.inference_mode():
        model(torch.arange(2, 20)[None], use_cache=False)
    assert passed == [True] * len(network.blocks)
