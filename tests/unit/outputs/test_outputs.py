"""What leaves the tool: files and columns as described, results as frames."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cornerstone
from cornerstone.analysis import deletion, write
from cornerstone.errors import CoalitionError, ConfigError, StoreError
from cornerstone.files import sha256, write_frames, write_text
from cornerstone.game.coalitions import parse
from cornerstone.outputs import page
from cornerstone.outputs.described import Column, Described, description
from cornerstone.outputs.package import package, text, undescribed
from cornerstone.outputs.results import Results
from tests.helpers import ROOT
from tests.unit.analysis.test_write import DATA, Run

CHANGES: dict[str, Any] = {
    "value_functions": ["margin"],
    "deletion": {"share": 0.5, "points": 1, "orders": ["shapley"]},
}


def finished(folder: Path) -> Run:
    """A folder of results as a run leaves it, as far as numbers go."""
    run = Run(folder, CHANGES)
    frames = run.relations() | write.estimates(run.config, "tiny", run.values, DATA)
    games = {task: write.games.read_all(run.config, "tiny", run.values)[task] for task in run.config.run_tasks}
    players = run.config.models["tiny"].all_players()
    points = deletion.deletion_points(run.config, players, frames["orders"])
    frames["deletion"] = deletion.deletion_curves(run.config, "tiny", points, games)
    frames["order_quality"] = deletion.order_quality(run.config, "tiny", points, games)
    paths = [Path(run.layout.csv("tiny", stem)) for stem in frames]
    write_frames(frames, paths)
    write_text(Path(run.layout.provenance("tiny")), json.dumps(write.provenance(run.config, "tiny")))
    write_text(Path(run.layout.package), text(run.config, [*paths, *run.values]))
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    finished(folder)
    return folder


@pytest.fixture(scope="module")
def results(made: Path) -> Results:
    return cornerstone.load(made)


def test_every_file_and_column_that_is_written_is_described(made: Path) -> None:
    assert undescribed(made) == {}


def test_what_is_not_described_is_found(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "copy"))
    path = folder / "tiny" / "ablation.csv"
    pd.read_csv(path).rename(columns={"drop": "fall"}).to_csv(path, index=False)
    shutil.rmtree(path.parent / ".sha256")
    (folder / "tiny" / "more.csv").write_text("a\n1\n")
    assert undescribed(folder) == {"tiny/ablation.csv": ["fall", "-drop"], "tiny/more.csv": []}


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / page.NAME).read_text(encoding="utf-8") == page.page(), "run: cornerstone schema"


def test_the_page_says_every_column_that_is_described() -> None:
    said = page.page()
    for entry in description().files:
        if not entry.hidden:
            assert entry.heading in said or entry.paths[0].rpartition("/")[2] in said
            assert all(f"`{column.name}`" in said for column in entry.columns)


def test_kinds_of_files_do_not_overlap_in_what_they_promise() -> None:
    """The first pattern that fits counts, so a later one that it hides would never be used."""
    files = description().files
    for place, entry in enumerate(files):
        for path in entry.paths:
            example = path.replace("<", "").replace(">", "")
            assert description().of(example) is files[place], path


def test_a_column_that_lacks_or_is_too_many_does_not_fit() -> None:
    entry = Described(("a.csv",), "a", columns=(Column("x", "number", ""), Column("y", "number", "", optional=True)))
    assert entry.undescribed(["x"]) == []
    assert entry.undescribed(["x", "y"]) == []
    assert entry.undescribed(["y", "z"]) == ["z", "-x"]


def test_the_data_package_lists_each_table_with_checksum_and_fields(made: Path, results: Results) -> None:
    found = json.loads((made / "datapackage.json").read_text())
    resources = {resource["path"]: resource for resource in found["resources"]}
    assert set(resources) == {
        path.relative_to(made).as_posix() for pattern in ("*.csv", "*.parquet") for path in made.rglob(pattern)
    }
    for name, resource in resources.items():
        assert resource.get("sha256", resource.get("hash", "").removeprefix("sha256:")) == sha256(made / name)
        assert resource.get("size", resource.get("bytes")) == (made / name).stat().st_size
        assert all(field["type"] != "any" and field["description"] for field in resource["schema"]["fields"])
    assert [field["name"] for field in resources["tiny/ablation.csv"]["schema"]["fields"]] == list(results.ablation())
    assert text(results.config, [made / name for name in resources]) == (made / "datapackage.json").read_text()


def test_the_types_of_the_data_package_are_those_of_the_tables(made: Path) -> None:
    """As a validator of Frictionless would find: every value is of its column's type, and there where it must be."""
    numbers = {"string": "O", "integer": "i", "number": "if", "boolean": "b"}
    found = json.loads((made / "datapackage.json").read_text())
    for resource in found["resources"]:
        if resource["format"] != "csv":
            continue
        frame = pd.read_csv(made / resource["path"], keep_default_na=False, na_values=[""])
        for field in resource["schema"]["fields"]:
            column = frame[field["name"]]
            where = f"{resource['path']}: {field['name']}"
            assert not (field.get("constraints") and column.isna().any()), f"{where} is empty somewhere"
            there = column.dropna()
            if len(there) and field["type"] != "string":
                kind = pd.Series(there.tolist()).dtype.kind
                assert kind in numbers[field["type"]], f"{where} holds {kind}"


def test_results_are_read_wherever_they_are(made: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(made, tmp_path / "moved"))
    assert cornerstone.load(moved).values().equals(cornerstone.load(made).values())


def test_values_of_estimators_and_value_functions(results: Results, made: Path) -> None:
    frame = results.values()
    assert set(frame["estimator"]) == {"window-k2", "window-k1"}
    assert set(frame["function"]) == {"accuracy", "margin"}
    assert len(frame) == 2 * 2 * 3 * 4
    one = results.values("window-k1", "margin").drop(columns="function")
    pd.testing.assert_frame_equal(one, pd.read_csv(made / "tiny" / "shapley_window-k1_margin.csv"))


def test_documents_and_coalitions(results: Results, made: Path) -> None:
    documents = results.documents("alpha")
    assert list(documents)[:5] == ["model", "task", "coalition", "doc_id", "cluster"]
    assert len(documents) == 16 * 9
    coalitions = results.coalitions("alpha")
    assert len(coalitions) == 16
    row = coalitions.set_index("coalition").loc["drop-attn0-ffn1"]
    assert (row["removed"], row["players"], row["documents"]) == (2, "attn0 ffn1", 9)
    assert row["acc"] == pytest.approx(documents.query("coalition == 'drop-attn0-ffn1'")["acc"].mean())


def test_coalitions_of_deletion_curves_are_there_once(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "copy"))
    values = pd.read_parquet(folder / "tiny" / "alpha" / "values.parquet")
    some, curve = values["coalition"].isin(["full", "drop-attn0"]), values["coalition"].isin(["full", "drop-ffn1"])
    kept = values[some]
    kept.attrs = values.attrs
    kept.to_parquet(folder / "tiny" / "alpha" / "values.parquet", index=False)
    values[curve].to_parquet(folder / "tiny" / "alpha" / "deletion.parquet", index=False)
    assert sorted(cornerstone.load(folder).coalitions("alpha")["coalition"]) == ["drop-attn0", "drop-ffn1", "full"]


def test_a_contrast_is_the_difference_of_two_values_and_its_opposite_the_other_way_round(results: Results) -> None:
    there, back = results.contrast("attn0", "ffn1"), results.contrast("ffn1", "attn0")
    values = results.values("window-k2", "accuracy").set_index(["task", "player"])["value"]
    assert there["task"].tolist() == ["alpha", "beta", "mean"]
    for row in there.to_dict("records"):
        assert row["difference"] == pytest.approx(values[row["task"], "attn0"] - values[row["task"], "ffn1"])
        assert row["difference"] == pytest.approx(row["first_value"] - row["second_value"])
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["low"], -back["high"])
    assert ((there["p"] < 0.05) == ((there["low"] > 0) | (there["high"] < 0))).all()


def test_a_contrast_is_paired(made: Path) -> None:
    """Players that add the same on each document differ by nothing, however much documents differ."""
    folder = made.parent / "twins"
    shutil.copytree(made, folder)
    for task in ("alpha", "beta"):
        path = folder / "tiny" / task / "values.parquet"
        frame = pd.read_parquet(path)
        players = cornerstone.load(folder).config.models["tiny"].all_players()
        kept = np.array([bin(parse(c, players)).count("1") for c in frame["coalition"]])
        frame["margin"] = kept * frame["doc_id"].to_numpy() ** 2.0
        frame.to_parquet(path, index=False)
    found = cornerstone.load(folder).contrast("attn0", "ffn1", "margin")
    np.testing.assert_allclose(found[["difference", "se", "low", "high"]].to_numpy(), 0, atol=1e-9)
    assert (found["first_value"] > 0.1).all()


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda r: r.contrast("attn0", "attn0"), ConfigError, "compared with itself"),
        (lambda r: r.contrast("attn0", "ffn9"), CoalitionError, "there is no player 'ffn9'"),
        (lambda r: r.contrast("attn0", "ffn1", "soft"), ConfigError, "there is no value function 'soft'"),
        (lambda r: r.values("exact"), ConfigError, "there is no estimator 'exact' in these results"),
        (
            lambda r: r.coalitions("gamma"),
            ConfigError,
            "there is no task 'gamma' in these results; there are alpha, beta",
        ),
        (lambda r: r.documents("alpha", "other"), ConfigError, "there is no model 'other'"),
        (
            lambda r: r.table("nothing"),
            StoreError,
            r"nothing\.csv is missing\. There are the tables ablation, .*shapley_window-k1.*: choose one, or",
        ),
    ],
)
def test_what_is_not_there_is_named(ask: Any, error: type[Exception], said: str, results: Results) -> None:
    with pytest.raises(error, match=said):
        ask(results)


def test_a_folder_without_a_data_package_says_what_to_do(made: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"^\S+/datapackage\.json is missing\. Run the workflow to make it, or name the"
    ):
        cornerstone.load(tmp_path)
    (tmp_path / "datapackage.json").write_text("{}")
    with pytest.raises(
        StoreError, match=r"datapackage\.json can't be read: it is not what the workflow writes \('config'\)\. Run"
    ):
        cornerstone.load(tmp_path)


def test_values_that_the_estimates_were_not_made_from_are_refused(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "copy"))
    path = folder / "tiny" / "alpha" / "values.parquet"
    frame = pd.read_parquet(path)
    frame.attrs["fingerprint"] = "0" * 16
    frame.to_parquet(path, index=False)
    with pytest.raises(StoreError, match="is newer or older than the estimates beside it"):
        cornerstone.load(folder).coalitions("alpha")


def test_reading_results_needs_no_torch(made: Path) -> None:
    code = (
        "import sys, cornerstone; assert 'pandas' not in sys.modules\n"
        f"r = cornerstone.load({str(made)!r}); r.values(); r.contrast('attn0', 'ffn1'); r.coalitions('alpha')\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_two_files_of_one_name_are_two_resources(made: Path, results: Results) -> None:
    names = [resource["name"] for resource in package(results.config, made.rglob("*.csv"))["resources"]]
    assert len(set(names)) == len(names)
