"""What a reader sees of two models side by side: tables, figures, sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cornerstone.analysis import compare
from cornerstone.config.config import Config
from cornerstone.files import write_frames
from cornerstone.plan.layout import Layout
from cornerstone.present import comparisons, summary, tables
from cornerstone.present.figures import COMPARISONS, figure, kinds
from cornerstone.present.figures.drawing import BLUE, ORANGE, VERMILLION, save_figure
from tests import pairs
from tests.pairs import SHORT, TUNED


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    made = pairs.compared(tmp_path_factory.mktemp("results"))
    values = {
        "base": pairs.save(made, "base", pairs.weights(8, 1)),
        "tuned": pairs.save(made, "tuned", pairs.weights(8, 2)[::-1]),
        "short": pairs.save(made, "short", pairs.weights(4, 3)),
    }
    for pair in made.pairs:
        frames = compare.comparison(made, pair, (values[pair[0]], values[pair[1]]))
        write_frames(frames, map(Path, Layout(made).compared(pair).values()))
    return made


def read(config: Config, pair: tuple[str, str]) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(path) for name, path in Layout(config).compared(pair).items()}


def test_models_of_other_depth_have_no_differences(config: Config) -> None:
    shown = {pair: Layout(config).compared(pair) for pair in config.pairs}
    assert kinds(shown[TUNED], COMPARISONS) == ["differences", "agreement", "depth"]
    assert kinds(shown[SHORT], COMPARISONS) == ["depth"]
    assert [table.name for table in comparisons.there(shown[SHORT])] == ["compare_depth", "compare_shares"]
    assert comparisons.there([]) == []


def test_tables_hold_all_pairs_in_all_formats(config: Config, tmp_path: Path) -> None:
    sources: dict[str, list[Path]] = {}
    for pair in config.pairs:
        for name, path in Layout(config).compared(pair).items():
            sources.setdefault(name, []).append(Path(path))
    chosen = comparisons.there(sources)
    tables.write(sources, [tmp_path / f"{table.name}.csv" for table in chosen], chosen)
    for table in chosen:
        assert all((tmp_path / f"{table.name}.{ending}").is_file() for ending in ("csv", "md", "tex"))
    shares = pd.read_csv(tmp_path / "compare_shares.csv")
    assert shares[["first", "second"]].to_numpy().tolist() == [list(TUNED), list(SHORT)]
    text = (tmp_path / "compare_agreement.md").read_text()
    assert "Mean over tasks" in text
    assert "drop when removed" in text


def test_the_layers_that_differ_are_listed_surest_first(config: Config) -> None:
    frame = read(config, TUNED)["differences"]
    shown = comparisons.layers(frame)
    mean = frame[frame["task"] == "mean"]
    for quantity, name in comparisons.QUANTITIES.items():
        rows = mean[mean["quantity"] == quantity]
        listed = shown[shown["quantity"] == name]
        assert len(listed) == max(comparisons.LISTED, rows["differs"].sum())
        assert set(rows.loc[rows["differs"], "player"]) <= set(listed["layer"])
        assert listed["layer"].iloc[0] == rows.sort_values(["p_holm", "p"], kind="stable")["player"].iloc[0]
        row = rows.set_index("player").loc[listed["layer"].iloc[0]]
        assert listed["difference_percent"].iloc[0] == pytest.approx(100 * row["difference"])
        assert listed["p"].iloc[0] == comparisons.probability(row["p_holm"])


def test_missing_correlations_are_empty() -> None:
    row = {"first": "a", "second": "b", "quantity": "value", "task": "mean", "rank_correlation": -0.001}
    frame = pd.DataFrame([row | dict.fromkeys(("corrected", "low", "high", "within_first", "within_second"), np.nan)])
    shown = comparisons.agreements(frame).iloc[0]
    assert shown["rank_correlation"] == "0.00"
    assert shown["corrected"] == shown["low"] == ""


def test_differences_are_drawn_where_they_are(config: Config) -> None:
    frames = read(config, TUNED)
    drawn = figure("differences").draw({"differences": frames["differences"]}, "base and tuned")
    assert drawn.get_suptitle() == "tuned less base"
    mean = frames["differences"].query("task == 'mean'")
    axes: Any = drawn.axes
    for ax, quantity in zip(axes, ("value", "drop"), strict=True):
        rows: Any = mean[mean["quantity"] == quantity]
        points = {
            (x, round(y, 9)): (to_hex(line.get_color()).upper(), line.get_markerfacecolor() != "white")
            for line in ax.lines
            if line.get_marker() == "o"
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        }
        expected = {
            (row.position, round(100 * row.difference, 9)): (BLUE if row.kind == "attn" else VERMILLION, row.differs)
            for row in rows.itertuples()
        }
        assert points == expected


def test_rankings_are_drawn_with_their_correlations(config: Config, tmp_path: Path) -> None:
    frames = read(config, TUNED)
    drawn = figure("agreement").draw(frames, "base and tuned")
    axes: Any = drawn.axes
    assert len(axes) == 4
    mean = frames["differences"].query("task == 'mean' and quantity == 'value'")
    points = {tuple(point) for line in axes[0].lines[1:] for point in np.transpose(line.get_data())}
    assert points == set(zip(mean["first_rank"], mean["second_rank"], strict=True))
    assert drawn.axes[0].yaxis_inverted()  # the highest on top
    assert not drawn.axes[0].xaxis_inverted()
    best = mean.sort_values("first_rank")["player"].head(3)
    assert drawn.axes[0].get_xlabel() == f"rank in base\nhighest: {', '.join(best)}"
    agreed = frames["agreement"].query("quantity == 'value'").set_index("task")
    labels = [text.get_text() for text in drawn.axes[1].get_yticklabels()]
    assert labels == ["alpha", "beta", "Mean over tasks"]
    plain = next(line for line in axes[1].lines if line.get_markerfacecolor() == "white")
    assert plain.get_xdata().tolist() == agreed["rank_correlation"].tolist()
    save_figure(drawn, [tmp_path / "agreement.png"])
    assert (tmp_path / "agreement.png").stat().st_size > 1000


def test_depth_shows_both_models_by_role(config: Config) -> None:
    frame = read(config, SHORT)["depth"]
    drawn = figure("depth").draw({"depth": frame}, "base and short")
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["attention or another mixer", "feed-forward"] * 2
    line: Any = drawn.axes[0].lines[0]
    rows = frame.query("model == 'base' and role == 'mixer' and quantity == 'value' and task == 'mean'")
    assert line.get_xdata().tolist() == pytest.approx(rows["depth"].tolist())
    assert line.get_ydata().tolist() == pytest.approx((100 * rows["value"]).tolist())
    assert [to_hex(line.get_color()).upper() for line in drawn.axes[0].lines[:2]] == [BLUE, ORANGE]


def test_the_summary_says_what_was_found(config: Config) -> None:
    frames = read(config, TUNED)
    words = comparisons.findings(frames["concentration"], frames["agreement"], 0.95)
    row = frames["concentration"].iloc[0]
    assert f"Difference, tuned less base: {row['difference_percent']:.1f} points" in words
    assert "Rankings of the layers by value: rank correlation" in words
    assert "Brackets hold 95% intervals." in words
    share = frames["concentration"].assign(verdict="larger", low=np.nan)
    alone = comparisons.findings(share, None, 0.9)
    assert "tuned concentrates more" in alone
    assert "no interval: too few documents" in alone
    assert "Rankings" not in alone


def test_a_pair_has_its_place_on_the_page(config: Config, tmp_path: Path) -> None:
    baselines = pd.DataFrame(
        {
            "model": model, "task": ["alpha"], "metric": "acc", "documents": 30, "split": "validation",
            "source": "embedded", "original": 0.5, "empty": 0.2, "chance": 0.25,
        }
        for model in config.run
    )  # fmt: skip
    folder = tmp_path / "figures" / "compare"
    pictures = [str(folder / "base--tuned" / "agreement.png"), str(folder / "base--short" / "depth.png")]
    shown = [Layout(config).compared(pair) for pair in config.pairs]
    compared = summary.compared(
        config.pairs, [each["concentration"] for each in shown], [shown[0]["agreement"]], pictures
    )
    assert compared[SHORT].agreement is None
    assert [str(path) for path in compared[TUNED].figures] == pictures[:1]
    only = config.model_copy(update={"run": []})
    by_model = {model: baselines.explode("task").query("model == @model") for model in config.run}
    summary.write(only, {}, by_model, {}, [], tmp_path / "summary.md", compared)
    page = (tmp_path / "summary.md").read_text()
    assert page.index("## base and tuned") < page.index("## base and short")
    assert "![agreement](figures/compare/base--tuned/agreement.png)" in page
    assert "How far the rankings of the sublayers by base and tuned agree: alpha (acc, 30 documents" in page
