"""All tables of a comparison: those that the layout names, from the same documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cornerstone.analysis import compare
from cornerstone.errors import StoreError
from cornerstone.files import write_frames
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from tests import pairs
from tests.pairs import SHORT, TUNED


def test_the_tables_are_those_of_the_layout(tmp_path: Path) -> None:
    config = pairs.compared(tmp_path, changes={"value_functions": ["margin"]})
    values = {
        "base": pairs.save(config, "base", pairs.weights(8, 1)),
        "tuned": pairs.save(config, "tuned", pairs.weights(8, 2)),
        "short": pairs.save(config, "short", pairs.weights(4, 3)),
    }
    layout = Layout(config)
    for pair in config.pairs:
        frames = compare.comparison(config, pair, (values[pair[0]], values[pair[1]]))
        assert frames.keys() == layout.compared(pair).keys()
        write_frames(frames, [Path(path) for path in layout.compared(pair).values()])
    stems = {path.stem for path in (tmp_path / "compare" / "base--tuned").iterdir()}
    assert {"differences", "differences_margin", "agreement", "concentration"} <= stems
    assert {path.stem for path in (tmp_path / "compare" / "base--short").glob("*.csv")} == {
        *("depth", "depth_margin", "bands", "bands_margin", "concentration")
    }
    differences = pd.read_csv(layout.compared(TUNED)["differences"])
    assert differences.groupby(["quantity", "task"])["player"].count().to_dict() == {
        (quantity, task): 8 for quantity in ("value", "drop") for task in ("alpha", "beta", "mean")
    }


def test_the_same_results_under_two_names_do_not_differ(tmp_path: Path) -> None:
    config = pairs.compared(tmp_path)
    same = pairs.weights(8, 1)
    values = pairs.save(config, "base", same), pairs.save(config, "tuned", same)
    frames = compare.comparison(config, TUNED, values)
    assert (frames["differences"]["difference"] == 0).all()
    assert frames["agreement"]["rank_correlation"].tolist() == pytest.approx([1.0] * 6)
    assert frames["concentration"]["difference_percent"].tolist() == [0]


def test_other_documents_are_refused(tmp_path: Path) -> None:
    config = pairs.compared(tmp_path)
    values = pairs.save(config, "base", pairs.weights(8, 1)), pairs.save(config, "tuned", pairs.weights(8, 2), 29)
    message = r"base and tuned were scored on different documents of alpha \(30 and 29\)"
    with pytest.raises(StoreError, match=message):
        compare.comparison(config, TUNED, values)


def test_the_fingerprint_is_that_of_both_models(tmp_path: Path) -> None:
    config = pairs.compared(tmp_path)
    found = compare.provenance(config, TUNED)
    assert found["fingerprint"] == fingerprint.of_comparison(config, TUNED)
    prints = {fingerprint.of_comparison(config, pair) for pair in (TUNED, SHORT)}
    for model in TUNED:
        entry = config.models[model].model_copy(update={"dtype": "bfloat16"})
        other = config.model_copy(update={"models": {**config.models, model: entry}})
        prints.add(fingerprint.of_comparison(other, TUNED))
    assert len(prints) == 4
    other = config.model_copy(update={"models": {**config.models, "short": config.models["base"]}})
    assert fingerprint.of_comparison(other, TUNED) == found["fingerprint"]


def test_documents_of_a_cluster_stay_together(tmp_path: Path) -> None:
    config = pairs.compared(tmp_path)
    values = pairs.save(config, "base", pairs.weights(8, 1)), pairs.save(config, "tuned", pairs.weights(8, 2))
    frame = compare.comparison(config, TUNED, values)["differences"]
    rows = frame[(frame["quantity"] == "drop") & (frame["task"] == "alpha")]
    drops = []
    for paths in values:
        wide = pd.read_parquet(paths[0]).pivot(index="doc_id", columns="coalition", values="acc").astype(float)
        drops.append(wide["full"] - wide["drop-attn0"])
    sums = (drops[1] - drops[0] - (drops[1] - drops[0]).mean()).groupby(np.arange(30) // 2).sum()
    assert rows["se"].iloc[0] == pytest.approx(np.sqrt(15 / 14 * (sums**2).sum()) / 30, rel=0.02)  # but moderated
