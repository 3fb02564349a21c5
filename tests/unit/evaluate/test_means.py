"""Mean contributions as files: made once, by whichever job is first."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cornerstone import files
from cornerstone.assets import documents as tasks
from cornerstone.assets import fetch
from cornerstone.assets.recipe import fetched
from cornerstone.config.config import Config
from cornerstone.engine import averaging
from cornerstone.engine.means import Means
from cornerstone.errors import AssetError, ConfigError, StoreError
from cornerstone.evaluate import result as store
from cornerstone.evaluate.job import Job
from cornerstone.evaluate.parts import Loaded
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from tests import tiny
from tests.helpers import configured, documents

DATA = documents([[("Is the wind", " strong?"), ("Is the wind", " here?")], [("Put it", " down."), ("Put it", " up.")]])
REFERENCE = documents([[("Eggs in hot", " water."), ("Eggs in hot", " oil.")] for _ in range(5)], "beta")
MEAN = {"kind": "mean", "documents": {"task": "beta", "limit": 3}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("model"))


def job(saved: Path, folder: Path, changes: dict[str, Any] | None = None, results: str = "results") -> Job:
    """On the tiny model; its files are below a folder."""
    paths = {"results": str(folder / results), "resources": str(folder / "resources")}
    config = configured({"models.tiny.id": str(saved), "paths": paths, "models.tiny.removal": MEAN, **(changes or {})})
    marker = folder / "tiny.json"
    files.write_text(marker, json.dumps({"path": str(saved), "asset": fetch.asset_key(config.models["tiny"])}))
    tasks.write(DATA, folder / "alpha.json")
    tasks.write(REFERENCE, Path(Layout(config).documents_for("tiny", "beta")))
    return Job(config, "tiny", "alpha", marker, folder / "alpha.json", fingerprint.of_result(config, "tiny", "alpha"))


def loaded(made: Job) -> Loaded:
    """The job's model and all documents."""
    wanted = made.wanted()
    return made.load(wanted, [wanted.missing([])])


def the_file(folder: Path) -> Path:
    (path,) = (folder / "results" / "tiny").glob("means-*.safetensors")
    return path


def scores(made: Job, *names: str) -> list[Any]:
    paths = [Path(Layout(made.config).coalition("tiny", "alpha", name)) for name in names]
    made.run_files(paths)
    return [store.read(path)["documents"]["loglikelihood"] for path in paths]


def test_the_first_job_makes_the_file_and_the_next_one_reads_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full, dropped = scores(job(saved, tmp_path), "full", "drop-attn1")
    assert "3 documents of beta, the last of their order (3 of them are scored, too)" in capsys.readouterr().err
    path = the_file(tmp_path)
    assert load_file(path)["contributions"].shape == (8, 32)
    zero = scores(job(saved, tmp_path, {"models.tiny.removal": "zero"}, "zero"), "full", "drop-attn1")
    assert full == zero[0]
    assert dropped != zero[1]
    monkeypatch.setattr("cornerstone.evaluate.means.mean_contributions", lambda *_: pytest.fail("made again"))
    (found,) = (tmp_path / "results").rglob("drop-attn1.json")
    assert store.read(found)["provenance"]["model"]["removal"] == MEAN
    found.unlink()
    assert scores(job(saved, tmp_path), "full", "drop-attn1") == [full, dropped]


def test_what_another_job_wrote_first_is_used(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = averaging.mean_contributions

    def slow(*arguments: Any) -> Means:
        means = real(*arguments)
        config = job(saved, tmp_path).config
        path = Path(Layout(config).means("tiny", fingerprint.of_means(config, "tiny")))
        files.write_once(path, lambda temporary: save_file({"contributions": means.contributions + 1}, temporary))
        return means

    monkeypatch.setattr("cornerstone.evaluate.means.mean_contributions", slow)
    made = job(saved, tmp_path)
    used = loaded(made).network.means
    monkeypatch.undo()
    path = the_file(tmp_path)
    first = load_file(path)["contributions"]
    path.unlink()
    own = loaded(made).network.means
    assert used is not None
    assert own is not None
    assert torch.equal(used.contributions, first)
    assert torch.equal(own.contributions + 1, first)


def test_the_reference_documents_are_the_last_with_their_right_choice(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    from cornerstone.evaluate import means

    real = means.encode

    def encode(model: Any, tokenizer: Any, texts: Any, *rest: Any) -> Any:
        seen.extend(texts)
        return real(model, tokenizer, texts, *rest)

    monkeypatch.setattr(means, "encode", encode)
    loaded(job(saved, tmp_path))
    right = [" water.", " oil.", " water.", " oil.", " water."]  # the gold choices go round
    assert seen == [[("Eggs in hot", choice)] for choice in right[2:]]


def test_a_damaged_file_is_one_message(saved: Path, tmp_path: Path) -> None:
    made = job(saved, tmp_path)
    loaded(made)
    path = the_file(tmp_path)
    os.truncate(path, 100)
    with pytest.raises(StoreError, match=r"tiny/means-[0-9a-f]{16}\.safetensors can't be used: .*Delete it"):
        loaded(made)
    save_file({"contributions": torch.zeros(6, 32)}, path)
    with pytest.raises(StoreError, match="it is of another model, or damaged"):
        loaded(made)


def test_means_that_are_not_finite_are_not_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = Means(torch.full((8, 32), float("inf")), {})
    monkeypatch.setattr("cornerstone.evaluate.means.mean_contributions", lambda *_: means)
    with pytest.raises(StoreError, match="mean contributions of tiny are no finite numbers"):
        loaded(job(saved, tmp_path))
    assert list(tmp_path.rglob("means-*")) == []


def test_missing_reference_documents_name_the_file(saved: Path, tmp_path: Path) -> None:
    made = job(saved, tmp_path)
    Path(Layout(made.config).documents_for("tiny", "beta")).unlink()
    with pytest.raises(AssetError, match=r"documents/embedded/beta\.json is missing\. Run `snakemake fetch`"):
        loaded(made)


def test_what_is_decisive() -> None:
    def of(removal: Any, **changes: Any) -> str:
        config = configured({"models.tiny.removal": removal, **changes})
        return fingerprint.of_result(config, "tiny", "alpha")

    variants: list[Any] = ["zero", MEAN, {**MEAN, "documents": {"task": "alpha", "limit": 3}}]
    variants.append({**MEAN, "documents": {"task": "beta", "limit": 4}})
    assert len({of(variant) for variant in variants}) == 4
    assert of("zero") == fingerprint.of_result(configured(), "tiny", "alpha")
    assert of(MEAN, **{"documents.seed": 1}) != of(MEAN)
    hub = {"documents.source": "hub", "tasks.beta.revision": "1" * 40}
    assert of(MEAN, **hub) != of(MEAN, **{**hub, "tasks.beta.revision": "2" * 40})
    assert of("zero", **hub) == of("zero", **{**hub, "tasks.beta.revision": "2" * 40})


def fetched_tasks(config: Config) -> dict[str, list[str]]:
    return {name: [made.task for made in recipes] for name, (_, recipes) in fetched(config).items()}


def test_the_documents_of_means_are_fetched() -> None:
    config = configured({"run_tasks": ["alpha"], "models.tiny.removal": MEAN})
    assert fetched_tasks(config) == {"embedded": ["alpha", "beta"]}
    assert Layout(config).reference("tiny") == ["resources/documents/embedded/beta.json"]
    plain = configured({"run_tasks": ["alpha"]})
    assert fetched_tasks(plain) == {"embedded": ["alpha"]}
    assert Layout(plain).reference("tiny") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models.tiny.removal": "mean"}, "documents of 'boolq', which is not under `tasks`"),
        ({"models.tiny.removal": "median"}, "removal: Input should be 'zero' or 'mean'; it is 'median'"),
        ({"models.tiny.removal": 0}, "removal: Input should be 'zero' or 'mean'; it is 0"),
        ({"models.tiny.removal": {"kind": "mean", "documents": {"limit": 0}}}, "removal.documents.limit: "),
        (
            {
                **{"models.tiny.removal": MEAN, "models.tiny.players": "experts"},
                **{"models.tiny.feed_forward": "moe", "models.tiny.experts": 4},
            },
            "`removal: mean` is not defined for `players: experts`",
        ),
    ],
)
def test_bad_settings_are_one_message(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(changes)
    (line,) = str(caught.value).splitlines()[1:]
    assert said in line
