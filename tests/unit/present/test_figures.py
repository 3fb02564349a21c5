"""The figures: what is drawn, how often, at which height, and that the files repeat themselves."""

import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, Wedge
from matplotlib.text import Text

from cornerstone.config.config import Config
from cornerstone.errors import CornerstoneError
from cornerstone.files import read_csv
from cornerstone.game import players
from cornerstone.plan.layout import PICTURES, Layout
from cornerstone.present import figures
from cornerstone.present.figures import drawing
from cornerstone.present.figures.ablation import ablation
from cornerstone.present.figures.shares import SHADES, shares
from cornerstone.present.figures.values import values
from cornerstone.present.tables import TASK_NAMES

MODEL = "some-model"
KINDS = [entry.kind for entry in figures.FIGURES]
TASKS = ["boolq", "piqa", "winogrande", "arc_easy", "arc_challenge", "openbookqa"]
Frames = dict[str, pd.DataFrame]


def make(players: int, documents: int = 100, feed_forward: str = "ffn", tasks: list[str] = TASKS) -> Frames:
    """Frames of one made-up model; the first two players matter, the others are noise."""
    rng = np.random.default_rng(players)
    kinds = ["attn" if i % 2 == 0 else feed_forward for i in range(players)]
    who = pd.DataFrame(
        {
            "model": MODEL,
            "player": [f"{kind}{i // 2}" for i, kind in enumerate(kinds)],
            "position": range(players),
            "kind": kinds,
            "block": [i // 2 for i in range(players)],
        }
    )
    half = 1 / np.sqrt(documents)
    shapley, ablation, deletion, quality, baselines = [], [], [], [], []
    for task in [*tasks, "mean"]:
        value = rng.normal(0.01, 0.02, players) + np.where(np.arange(players) < 2, 0.3, 0)
        both = who.assign(task=task, low=value - half, high=value + half)
        shapley.append(both.assign(estimator="window-k4", value=value))
        ablation.append(both.assign(accuracy=0.75 - value, drop=value))
        if task != "mean":
            baselines.append(
                {"model": MODEL, "task": task, "metric": "acc", "documents": documents, "split": "test"}
                | {"source": "hub", "original": 0.75, "empty": 0.4, "chance": 0.25}
            )
        for order, keeps in (("shapley", 0.6), ("ablation", 0.5), ("depth", 0.4)):
            least, most = np.linspace(0.75, 0.75 * keeps, 5), np.linspace(0.75, 0.25 / (1 + keeps), 5)
            for direction, accuracy in (("least", least), ("most", most)):
                above = accuracy - np.linspace(0.75, 0.75 * 0.4 if direction == "least" else 0.25 / 1.4, 5)
                above = np.where((order == "depth") | (np.arange(5) == 0), np.nan, above)
                curve = {"model": MODEL, "task": task, "order": order, "direction": direction}
                numbers = {"accuracy": accuracy, "low": accuracy - half, "high": accuracy + half, "above_depth": above}
                paired = {"above_depth_low": above - half / 2, "above_depth_high": above + half / 2}
                removed = {"removed": np.linspace(0, players / 2, 5).astype(int), "players_total": players}
                deletion.append(pd.DataFrame(curve | removed | numbers | paired))
            ranks = {"model": MODEL, "task": task, "order": order, "separation": (least - most).mean()}
            quality.append(ranks | {"low": (least - most).mean() - half, "high": (least - most).mean() + half})
    return {
        "shapley": pd.concat(shapley, ignore_index=True),
        "ablation": pd.concat(ablation, ignore_index=True),
        "deletion": pd.concat(deletion, ignore_index=True),
        "order_quality": pd.DataFrame(quality),
        "baselines": pd.DataFrame(baselines),
        "cornerstones": who.assign(top_three=np.arange(players) < 3),
    }


def draw(kind: str, frames: Frames, width: float = figures.WIDTHS[""]) -> Figure:
    return figures.figure(kind).draw(frames, MODEL, width)


FORMATS = ("svg", "pdf", "png")
PAGE, COLUMN = figures.WIDTHS[""], figures.WIDTHS["-column"]
DOTS = ("o",)


def save(figure: Figure, stem: Path) -> None:
    drawing.save_figure(figure, [stem.with_suffix(f".{ending}") for ending in FORMATS])


def dots(ax: Axes) -> np.ndarray:
    """[marks, 2] what stands at a place of its own, in order of x."""
    marks = [np.stack([x_of(line), y_of(line)], 1) for line in ax.lines if line.get_marker() in DOTS]
    return np.concatenate(marks)[np.argsort(np.concatenate(marks)[:, 0], kind="stable")]


def of_task(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    return rows[rows["task"] == task]


def titles(figure: Figure) -> list[str]:
    return [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]


def legend(figure: Figure) -> list[str]:
    assert len(figure.legends) == 1
    assert all(ax.get_legend() is None for ax in figure.axes)
    return [text.get_text() for text in figure.legends[0].get_texts()]


def wedges(ax: Axes) -> list[Wedge]:
    return [patch for patch in ax.patches if isinstance(patch, Wedge)]


def x_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), float)


def y_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


def whiskers(ax: Axes) -> list[np.ndarray]:
    return [
        segment for lines in ax.collections if isinstance(lines, LineCollection) for segment in lines.get_segments()
    ]


@pytest.mark.parametrize("kind", ["shares", "ablation", "values", "deletion"])
def test_files_repeat_byte_for_byte(kind: str, tmp_path: Path) -> None:
    # Two tasks show as much as six do, in a third of the time.
    frames = make(60, documents=10, tasks=["boolq", "arc_easy"])
    for folder in ("a", "b"):
        save(draw(kind, frames), tmp_path / folder / kind)
    for extension in FORMATS:
        first, second = (tmp_path / folder / f"{kind}.{extension}" for folder in ("a", "b"))
        assert first.stat().st_size > 5000
        assert first.read_bytes() == second.read_bytes()
    assert len(list((tmp_path / "a").glob("[!.]*"))) == 3
    assert "<text" in (tmp_path / "a" / f"{kind}.svg").read_text()


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    figure = draw("ablation", make(8))
    for folder in ("a", "b"):
        save(figure, tmp_path / folder / "x")
    for extension in FORMATS:
        assert (tmp_path / f"a/x.{extension}").read_bytes() == (tmp_path / f"b/x.{extension}").read_bytes()


def test_nothing_global_changes(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save(draw("values", make(8)), tmp_path / "x")
    assert dict(matplotlib.rcParams) == before


def test_the_users_own_settings_do_not_matter(tmp_path: Path) -> None:
    frames = make(8, tasks=["boolq"])
    save(draw("values", frames), tmp_path / "a")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "path"}):
        save(draw("values", frames), tmp_path / "b")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_panels_are_the_tasks_in_the_papers_order() -> None:
    frames = make(8, tasks=[*reversed(TASKS), "my_task"])
    names = [*(TASK_NAMES[task] for task in TASKS), "my_task"]
    assert titles(draw("shares", frames)) == ["", *names]
    mean = ["Mean over tasks: attention", "Mean over tasks: feed-forward"]
    assert titles(draw("ablation", frames)) == [*mean, *names]
    assert titles(draw("values", frames)) == ["Mean over tasks", *names]
    assert titles(draw("deletion", frames)) == ["Mean over tasks", "Gain over depth", "Separation", *names]


def test_a_column_of_a_paper_shows_the_mean_alone() -> None:
    frames = make(8)
    assert titles(draw("values", frames, COLUMN)) == ["Mean over tasks"]
    assert titles(draw("deletion", frames, COLUMN)) == ["Mean over tasks", "Gain over depth", "Separation"]
    assert len(draw("ablation", frames, COLUMN).axes) == 2
    assert len(draw("shares", frames, COLUMN).axes) == 1
    for kind in ("shares", "ablation", "values", "deletion"):
        assert draw(kind, frames, COLUMN).get_figwidth() == COLUMN


def test_one_task_is_its_own_mean() -> None:
    frames = make(8, tasks=["boolq"])
    assert titles(draw("values", frames)) == ["BoolQ"]
    assert titles(draw("ablation", frames)) == ["BoolQ: attention", "BoolQ: feed-forward"]


def test_groups_stand_beside_each_other_and_are_named() -> None:
    frames = make(4, tasks=["boolq"])
    names = ["early", "middle", "late", "rest"]
    for name in ("shapley", "ablation"):
        frames[name] = frames[name].assign(kind="group", block=0, player=names * 2)
    for kind in ("values", "ablation"):
        ax = draw(kind, frames).axes[0]
        assert [label.get_text() for label in ax.get_xticklabels()] == names
        assert list(ax.get_xticks()) == [0, 1, 2, 3]
    bars = [bar for bar in draw("values", frames).axes[0].patches if isinstance(bar, Rectangle)]
    assert sorted(bar.get_x() for bar in bars) == pytest.approx([-0.4, 0.6, 1.6, 2.6])


def test_each_file_has_the_width_of_its_name_and_says_what_it_shows(tmp_path: Path) -> None:
    frames, paths = make(8), [tmp_path / f"values{ending}" for ending in PICTURES]
    figures.figure("values").write(frames, MODEL, paths, 0.9)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == sorted(path.name for path in paths)
    svg = (tmp_path / "values.svg").read_text()
    assert f'width="{72 * PAGE:g}pt"' in svg
    assert svg.index("<title>Shapley values of the sublayers of some-model") < svg.index("<metadata>")
    assert "<desc>The 90% intervals count the choice of documents" in svg
    for ending, width in figures.WIDTHS.items():
        pdf = (tmp_path / f"values{ending}.pdf").read_bytes()
        assert re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)[1] == f"{72 * width:g}".encode()  # type: ignore[index]
        assert b"/FontFile2" in pdf  # the fonts are embedded


@pytest.mark.parametrize("feed_forward", ["ffn", "moe"])
def test_pies_show_the_shares_and_colour_the_cornerstones(feed_forward: str) -> None:
    frames = make(60, feed_forward=feed_forward)
    top = ["attn0", f"{feed_forward}0", f"{feed_forward}1"]
    figure = shares(frames["shapley"], MODEL, PAGE, top)
    assert legend(figure) == [*top, "other among the top four", "all others"]
    bars, *pies = figure.axes
    said = [text.get_text() for text in bars.texts]
    for ax, task in zip(pies, TASKS, strict=True):
        rows = frames["shapley"].pipe(of_task, task).set_index("player")
        percent = 100 * rows["value"].clip(lower=0) / rows["value"].clip(lower=0).sum()
        assert sum(wedge.theta2 - wedge.theta1 for wedge in wedges(ax)) == pytest.approx(360, abs=1e-3)
        first = wedges(ax)[0]
        assert (first.theta2 - first.theta1) / 3.6 == pytest.approx(percent.max(), abs=1e-3)
        texts = [text.get_text() for text in ax.texts]
        for player in percent.nlargest(4).index:
            assert f"{player}\n{percent[player]:.1f} %" in texts
        assert said[TASKS.index(task)] == f"top three {percent[top].sum():.1f} %"
        # The coloured wedges are the share of table 1.
        greys = {drawing.MID_GREY.lower(), drawing.PALE_GREY.lower()}
        coloured = [wedge for wedge in wedges(ax) if to_hex(wedge.get_facecolor()) not in greys]
        share = sum(wedge.theta2 - wedge.theta1 for wedge in coloured) / 3.6
        assert share == pytest.approx(percent[top].sum(), abs=1e-3)
        others = 60 - len(wedges(ax)) + 1
        assert any(text.startswith(f"other\n{others} layers") for text in texts)


def test_pie_labels_do_not_overlap() -> None:
    value = {"attn0": 0.5, "ffn0": 0.3, "attn1": 0.011, "ffn1": 0.01, "attn2": 0.005, "ffn2": -0.1}
    frame = make(6, tasks=["boolq"])["shapley"].query("task == 'boolq'")
    figure = shares(frame.assign(value=frame["player"].map(value)), MODEL, PAGE)
    figure.draw_without_rendering()
    # Text's own method: an annotation's would add its leader line.
    boxes = [Text.get_window_extent(text) for text in figure.axes[1].texts if text.get_text()]
    assert len(boxes) == 5
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)


def test_pie_without_a_positive_value_says_so() -> None:
    frame = make(8, tasks=["boolq"])["shapley"].assign(value=-0.1)
    for ax in shares(frame, MODEL, PAGE).axes:
        assert [text.get_text() for text in ax.texts] == ["no positive value"]


def test_default_cornerstones_have_the_largest_mean() -> None:
    frame = make(8)["shapley"]
    frame.loc[frame["player"] == "ffn3", "value"] = 0.9
    assert legend(shares(frame, MODEL, PAGE))[:3] == ["attn0", "ffn0", "ffn3"]


@pytest.mark.parametrize(("players", "documents", "feed_forward"), [(60, 10, "ffn"), (160, 100, "moe")])
def test_ablation_lines_stand_at_the_right_heights(players: int, documents: int, feed_forward: str) -> None:
    frames = make(players, documents, feed_forward)
    figure = draw("ablation", frames)
    name = {"ffn": "feed-forward", "moe": "mixture of experts"}[feed_forward]
    levels = ["original model", "chance", "all sublayers removed"]
    assert legend(figure) == ["attention", name, "drop may be 0", *levels]
    attention, feed, *panels = figure.axes
    for ax, task in zip([attention, feed, *panels], ["mean", "mean", *TASKS], strict=True):
        horizontal = {line.get_linestyle(): y_of(line)[0] for line in ax.lines if line.get_marker() not in DOTS}
        assert horizontal == {"-": 75, "--": 25, ":": 40}
        rows = frames["ablation"].pipe(of_task, task)
        if task == "mean":
            rows = rows[rows["kind"] == ("attn" if ax is attention else feed_forward)]
        np.testing.assert_allclose(dots(ax), np.stack([rows["position"], 100 * rows["accuracy"]], 1))
        low, high = ax.get_ylim()
        assert 0 <= low < high <= 100
        assert len(whiskers(ax)) == (players // 2 if task == "mean" else 0)
    filled = [line for line in attention.lines if line.get_marker() in DOTS and line.get_markerfacecolor() != "white"]
    clear = frames["ablation"].query("task == 'mean' and kind == 'attn' and (low > 0 or high < 0)")
    assert [x for line in filled for x in x_of(line)] == list(clear["position"])


def test_ablation_whiskers_mirror_the_interval_of_the_drop() -> None:
    frames = make(2, tasks=["boolq"])
    frames["ablation"] = frames["ablation"].assign(accuracy=0.5, drop=0.25, low=0.15, high=0.45)
    for ax in draw("ablation", frames).axes:
        ((_, low), (_, high)) = whiskers(ax)[0]
        assert (low, high) == pytest.approx((30, 60))


@pytest.mark.parametrize("players", [60, 64, 160])
def test_values_have_a_bar_and_a_whisker_per_player(players: int) -> None:
    frames = make(players, documents=10)
    figure = draw("values", frames)
    assert legend(figure) == ["attention", "feed-forward", "may be 0", "interval"]
    for ax, task in zip(figure.axes, ["mean", *TASKS], strict=True):
        rows = frames["shapley"].pipe(of_task, task)
        bars = sorted((bar for bar in ax.patches if isinstance(bar, Rectangle)), key=lambda bar: bar.get_x())
        np.testing.assert_allclose([bar.get_height() for bar in bars], 100 * rows["value"])
        segments = sorted(whiskers(ax), key=lambda segment: segment[0, 0])
        np.testing.assert_allclose([segment[:, 1] for segment in segments], 100 * rows[["low", "high"]])
        ticks = ax.get_xticks()
        assert 5 <= len(ticks) <= 12
        clear = (rows["low"] > 0) | (rows["high"] < 0)
        assert [bar.get_alpha() == 1 for bar in bars] == list(clear)
        # A block starts at its attention: position = 2 x block.
        assert [2 * int(label.get_text()) for label in ax.get_xticklabels()] == list(ticks)


def test_intervals_that_are_not_known_are_left_out() -> None:
    frames = make(8)
    for name in ("shapley", "ablation", "deletion", "order_quality"):
        unknown = [column for column in map(str, frames[name]) if column.endswith(("low", "high"))]
        frames[name] = frames[name].assign(**dict.fromkeys(unknown, np.nan))
    for kind in ("ablation", "values", "deletion"):
        figure = draw(kind, frames)
        figure.draw_without_rendering()
        assert not any(whiskers(ax) for ax in figure.axes)


def test_deletion_shows_two_orders_and_what_the_one_is_worth() -> None:
    frames = make(60, documents=10)
    # Single removal is the best order here, and random is not in the curves.
    frames["order_quality"].loc[frames["order_quality"]["order"] == "ablation", "separation"] = 0.6
    figure = draw("deletion", frames)
    ends = ["least important first", "most important first"]
    assert legend(figure) == ["by Shapley value", "by depth", *ends, "whole model", "chance"]
    curves, gain, separation, *small = figure.axes
    whole, chance, *lines = curves.lines
    # Those of the mean are the means over the tasks.
    assert (y_of(whole)[0], y_of(chance)[0]) == (75, 25)
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 2
    assert len({line.get_color() for line in lines}) == 2
    assert len(whiskers(curves)) == 4 * 5
    np.testing.assert_allclose(y_of(lines[0]), 100 * np.linspace(0.75, 0.45, 5))
    np.testing.assert_allclose(x_of(lines[0]), [0, 7, 15, 22, 30])
    assert curves.get_ylim()[0] >= 0
    for ax in (gain, *small):
        zero, least, most = ax.lines
        assert y_of(zero)[0] == 0
        np.testing.assert_allclose(y_of(least), 15 * np.arange(1, 5) / 4)
        assert (y_of(most) < 0).all()
        assert least.get_color() == most.get_color() == lines[0].get_color()
        assert len(whiskers(ax)) == 2 * 4
    assert len({ax.get_ylim() for ax in small}) == 1
    assert [label.get_text() for label in separation.get_yticklabels()] == ["depth", "Shapley value", "single removal"]


def test_deletion_without_the_order_by_depth_shows_the_metric_on_each_task() -> None:
    frames = make(8)
    rows, quality = frames["deletion"], frames["order_quality"]
    alone = rows[rows["order"] == "ablation"].assign(above_depth=np.nan)
    frames |= {"deletion": alone, "order_quality": quality[quality["order"] == "ablation"]}
    figure = draw("deletion", frames)
    assert titles(figure)[:3] == ["Mean over tasks", "Separation", TASK_NAMES["boolq"]]
    assert "by single removal" in legend(figure)
    np.testing.assert_allclose(y_of(figure.axes[2].lines[2]), 100 * np.linspace(0.75, 0.375, 5))


@pytest.mark.parametrize("kind", ["ablation", "values", "deletion"])
@pytest.mark.parametrize("tasks", [1, 5, 6])
def test_labels_legend_and_panels_keep_apart(kind: str, tasks: int) -> None:
    figure = draw(kind, make(160, documents=10, tasks=TASKS[:tasks]))
    figure.draw_without_rendering()
    outer = [box for ax in figure.axes if (box := ax.get_tightbbox())]
    assert len(outer) == len(figure.axes)
    boxes = [*outer, figure.legends[0].get_window_extent()]
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)
    for ax in figure.axes:
        labels = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
        assert not any(a.overlaps(b) for a, b in pairwise(labels))


def test_a_legend_that_is_too_wide_takes_another_line() -> None:
    figure = draw("ablation", make(8), figures.WIDTHS["-neurips"])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_unfit_frames_are_refused() -> None:
    frames = make(8)
    with pytest.raises(CornerstoneError, match="no rows for the model other"):
        values(frames["shapley"], "other", PAGE)
    mixed = pd.concat([frames["shapley"], frames["shapley"].assign(estimator="window-k3")])
    with pytest.raises(CornerstoneError, match="one estimator"):
        values(mixed, MODEL, PAGE)
    with pytest.raises(CornerstoneError, match="no baseline for boolq"):
        ablation(frames["ablation"], frames["baselines"].query("task != 'boolq'"), MODEL, PAGE)


def test_every_kind_of_player_has_a_name_and_colours() -> None:
    kinds = {*players.KINDS, "expert", "head", "group"}
    assert kinds == drawing.KINDS.keys() == SHADES.keys()


def test_heads_of_a_block_are_drawn_side_by_side() -> None:
    frames = make(8)
    frame = frames["ablation"].assign(kind="head", block=frames["ablation"]["position"] // 4)
    ax = ablation(frame, frames["baselines"], MODEL, PAGE).axes[0]
    assert list(dots(ax)[:, 0]) == list(range(8))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1"]
    assert list(ax.get_xticks()) == [0, 4]


def test_captions_name_what_was_measured() -> None:
    baselines = make(8, documents=300)["baselines"]
    for kind in KINDS:
        text = figures.figure(kind).caption(MODEL, baselines)
        assert MODEL in text
        assert text.count("(acc, 300 documents, test, hub)") == len(TASKS)
        assert "ARC-Easy" in text
        assert "interval" in text or "false discovery rate" in text
    assert "difference to the original model" in figures.figure("ablation").caption(MODEL, baselines)
    with pytest.raises(CornerstoneError, match="no figure is called 'pie'; there are shares, ablation, values, inter"):
        figures.figure("pie")


def test_the_interval_of_a_caption_has_the_level_that_was_asked_for() -> None:
    baselines = make(8)["baselines"]
    assert "The 95% intervals count" in figures.figure("values").caption(MODEL, baselines)
    assert "The 80% intervals count" in figures.figure("values").caption(MODEL, baselines, 0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_needs_all_that_it_reads(kind: str) -> None:
    reads = figures.figure(kind).reads
    assert kind in figures.kinds(reads)
    for missing in reads:
        assert kind not in figures.kinds(name for name in reads if name != missing)


def test_kinds_come_in_the_order_of_the_registry() -> None:
    assert figures.kinds(["ablation", "baselines", "by_removed", "shapley", "cornerstones"]) == [
        "shares", "ablation", "values"
    ]  # fmt: skip
    assert figures.kinds([]) == []


def test_figures_are_drawn_from_the_tables_that_the_analysis_writes(config: Config, tmp_path: Path) -> None:
    shown = Layout(config).shown("tiny")
    kinds = figures.kinds(shown)
    assert kinds == [kind for kind in KINDS if kind != "deletion"]
    for kind in kinds:
        frames = {name: read_csv(Path(shown[name])) for name in figures.figure(kind).reads}
        figure = figures.figure(kind).draw(frames, "tiny")
        assert figure.axes
        drawing.save_figure(figure, [tmp_path / f"{kind}.svg"])
    assert sorted(path.stem for path in tmp_path.glob("[!.]*")) == sorted(kinds)


def test_every_kind_has_a_module_and_every_module_that_draws_a_kind() -> None:
    folder = Path(figures.__file__).parent
    drawn = {path.stem for path in folder.glob("*.py") if "\ndef draw(" in path.read_text(encoding="utf-8")}
    assert drawn == {entry.kind for entry in (*figures.FIGURES, *figures.COMPARISONS)}


def test_the_cornerstones_of_a_papers_model_are_the_papers() -> None:
    frames = {name: frame.assign(model="llama3-8b") for name, frame in make(8).items()}
    frames["cornerstones"]["top_three"] = [False] * 5 + [True] * 3
    assert legend(figures.figure("shares").draw(frames, "llama3-8b"))[:3] == ["attn0", "ffn0", "ffn1"]
    mine = {name: frame.assign(model=MODEL) for name, frame in frames.items()}
    assert legend(figures.figure("shares").draw(mine, MODEL))[:3] == ["ffn2", "attn3", "ffn3"]


def test_logarithms_are_named_and_have_no_bounds() -> None:
    texts, shares = pd.DataFrame({"metric": ["word_perplexity"]}), pd.DataFrame({"metric": ["acc", "acc_norm+acc"]})
    assert drawing.metric_label(texts) == "-100 ln(word perplexity)"
    assert drawing.points_label(texts) == "points of -100 ln(word perplexity)"
    assert drawing.metric_label(pd.DataFrame({"metric": ["bits_per_byte"]})) == "-100 × bits per byte"
    assert (drawing.metric_label(shares), drawing.points_label(shares)) == ("metric (%)", "percentage points")
    low, high = drawing.limits([-340.0, -300.0], 0, drawing.are_shares(texts))
    assert low < -340
    assert -300 < high < 0
    assert drawing.limits([-3.0, 103.0], 0, drawing.are_shares(shares)) == (0, 100)
