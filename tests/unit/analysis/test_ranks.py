from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cornerstone.analysis import moderated
from cornerstone.analysis import ranks as ranking
from cornerstone.analysis.intervals import of_values, over_tasks
from cornerstone.analysis.ranks import (
    Sample,
    above_median,
    among_top,
    estimates,
    halves,
    held_out,
    holm,
    pairwise,
)
from cornerstone.estimators.values import Values
from cornerstone.game.game import MEAN

APART = [0.0, 3.0, 1.0, 5.0, 2.0, 4.0]
"""True values; the ranks are 6, 3, 5, 1, 4, 2."""


def drawn(
    truth: Sequence[float],
    seed: int,
    documents: int = 40,
    tasks: int = 2,
    clusters: int | None = None,
    scale: float = 1,
) -> dict[str, Sample]:
    """Noise of its own on each document, and noise that all players of a document share."""
    rng = np.random.default_rng(seed)
    labels = np.arange(documents) % (clusters or documents)
    found = {}
    for task in range(tasks):
        rows = np.array(truth) + rng.normal(0, scale, (documents, len(truth))) + rng.normal(0, 3, (documents, 1))
        found[f"task{task}"] = Sample(Values(rows), labels.astype(str), None)
    return found


def test_holm_by_hand() -> None:
    # sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.4 * 1
    assert holm(np.array([0.03, 0.01, 0.4, 0.02])) == pytest.approx([0.06, 0.04, 0.4, 0.06])
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([0.2])).tolist() == [0.2]


def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni() -> None:
    for seed in range(20):
        p = np.random.default_rng(seed).random(9) ** 3
        adjusted = holm(p)
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
        assert (adjusted >= p).all()
        assert (adjusted <= np.minimum(1, 9 * p)).all()
        assert adjusted[p.argmin()] == pytest.approx(min(1, 9 * p.min()))
        shuffled = np.random.default_rng(seed).permutation(9)
        assert holm(p[shuffled]).tolist() == adjusted[shuffled].tolist()


def test_holm_rejects_step_by_step() -> None:
    """The textbook rule: walk up the sorted p-values while p_(k) <= alpha / (m - k + 1)."""
    for seed in range(30):
        p = np.random.default_rng(seed).random(8) ** 4
        rejected = np.zeros(8, bool)
        for step, which in enumerate(np.argsort(p)):
            if p[which] > 0.05 / (8 - step):
                break
            rejected[which] = True
        assert (holm(p) <= 0.05).tolist() == rejected.tolist()


def test_estimates_are_those_of_each_task_and_their_mean() -> None:
    samples = drawn(APART, 0)
    found = estimates(samples, 0.9)
    assert list(found) == ["task0", "task1", MEAN]
    moderated = ranking.drawn(samples)
    parts = [of_values(sample.values, sample.clusters, 0.9, None, moderated[task]) for task, sample in samples.items()]
    for task, part in zip(found, [*parts, over_tasks(parts, 0.9)], strict=True):
        for name in ("value", "se", "low", "high"):
            assert getattr(found[task], name).tolist() == getattr(part, name).tolist()


def test_contrasts_are_paired_and_their_bound_is_as_wide() -> None:
    samples = drawn(APART, 1, scale=0.1)
    weights = np.zeros((6, 1))
    weights[1], weights[0] = 1, -1
    paired, single = estimates(samples, 0.95, weights)[MEAN], estimates(samples, 0.95)[MEAN]
    assert paired.value[0] == pytest.approx(single.value[1] - single.value[0])
    assert paired.se[0] < single.se[0] / 5  # what the players of a document share cancels
    still = {"task": Sample(Values(np.zeros((9, 6))), np.arange(9).astype(str), 1)}
    unseen = stats.beta.ppf(0.975, 1, 9)
    assert estimates(still, 0.95)["task"].high == pytest.approx([unseen] * 6)
    assert estimates(still, 0.95, weights)["task"].high == pytest.approx([2 * unseen])


@pytest.mark.parametrize(
    ("values", "middle"), [([5.0, 1, 3], [2]), ([5.0, 1, 3, 2], [2, 3]), ([1.0, 1, 1, 1], [1, 2]), ([7.0], [0])]
)
def test_the_median_player_by_hand(values: list[float], middle: list[int]) -> None:
    weights = ranking.median_contrast(np.array(values))
    assert np.array(values) @ weights == pytest.approx(np.array(values) - np.median(values))
    expected = np.eye(len(values))
    for player in middle:
        expected[player] -= 1 / len(middle)
    assert weights.tolist() == expected.tolist()


def test_what_is_above_the_median_has_small_p_values_and_nothing_else() -> None:
    found = above_median(drawn([0, 0, 0, 2, 0, 0, -2], 2), 0.95)
    assert list(found) == ["task0", "task1", MEAN]
    for p in found.values():
        assert p[3] < 1e-4
        assert (p[[0, 1, 2, 4, 5]] > 0.05).all()
        assert p[6] == 1


def test_p_values_above_the_median_are_holms_of_the_paired_contrasts() -> None:
    samples = drawn(APART, 3, scale=8)
    for task, p in above_median(samples, 0.95).items():
        value = estimates(samples, 0.95)[task].value
        contrast = estimates(samples, 0.95, ranking.median_contrast(value))[task]
        assert p.tolist() == holm(contrast.p_above()).tolist()


def test_where_all_players_are_alike_the_chance_of_a_wrong_name_is_kept() -> None:
    wrong = np.mean([(above_median(drawn([0.0] * 7, seed), 0.95)[MEAN] <= 0.05).any() for seed in range(300)])
    assert wrong <= 0.08


def intervals_of(samples: dict[str, Sample], level: float) -> dict[str, np.ndarray]:
    return {task: ranking.rank_intervals(p, level) for task, p in pairwise(samples, level).items()}


def test_who_is_among_the_top_by_hand() -> None:
    # of four players, one is among the top two if it is above two of the other three: twice the second smallest p
    above = np.array([[0.001, 0.002, 0.9], [0.5, 0.004, 0.003], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]])
    assert among_top(above, 2) == pytest.approx(holm(np.array([0.004, 0.008, 1, 1])))
    assert among_top(above, 4).tolist() == [0] * 4


def test_only_who_is_surely_among_the_top_three_is_named() -> None:
    apart, close = (among_top(pairwise(drawn(truth, 4, scale=0.2), 0.95)[MEAN]) for truth in (APART, [0.0] * 6))
    assert (apart <= 0.05).tolist() == [False, True, False, True, False, True]
    assert (close > 0.05).all()


def test_names_without_cornerstones_are_as_rare_as_promised() -> None:
    """Values that rise evenly: half of the layers are above the median, but who is among the top three is open."""
    truth = np.linspace(0, 1, 8).tolist()
    wrong, median = [], []
    for seed in range(60):
        samples = drawn(truth, seed, documents=30, tasks=1)
        named = set(np.flatnonzero(among_top(pairwise(samples, 0.95)[MEAN]) <= 0.05).tolist())
        wrong.append(bool(named - {5, 6, 7}))
        median.append(bool((above_median(samples, 0.95)[MEAN] <= 0.05).any()))
    assert np.mean(wrong) <= 0.05
    assert np.mean(median) > 0.3  # which is why that is no cornerstone


def lucky(seed: int, players: int = 8, documents: int = 60, replicates: int = 10) -> dict[str, Sample]:
    """All values are 0, and what makes them differ is the draw of coalitions, which all documents share."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(replicates, 1, players)) + rng.normal(0, 0.1, (replicates, documents, players))
    return {"task": Sample(Values(rows.mean(axis=0), rows), np.arange(documents).astype(str), None)}


def test_luck_in_the_coalitions_is_not_held_out() -> None:
    """Chosen on half of the documents and of the replicates: what the other halves say is 0 on average."""
    chosen, held = [], []
    for seed in range(80):
        samples = lucky(seed)
        found = held_out(samples, 0.95, seed)
        assert found is not None
        chosen.append(samples["task"].values.documents.mean(axis=0)[found.chosen].mean())
        held.append(found.estimate.value[found.chosen].mean())
    assert np.mean(chosen) > 0.1
    assert abs(np.mean(held)) < 4 * np.std(held) / np.sqrt(80)


def test_two_or_three_replicates_can_not_be_halved() -> None:
    samples = {task: Sample(Values(s.values.documents, s.values.replicates[:3]), s.clusters, None)  # type: ignore[index]
               for task, s in lucky(0).items()}  # fmt: skip
    assert held_out(samples, 0.95, 0) is None


def test_variances_are_drawn_together_and_none_is_zero() -> None:
    """One document that differs must not make an interval narrower."""
    rng = np.random.default_rng(0)
    rows = (rng.random((24, 12)) < 0.05).astype(float)
    rows[:, 3] = 0
    widths = []
    for differing in range(3):
        rows[:differing, 3] = 1 / 7
        found = estimates({"a": Sample(Values(rows), np.arange(24).astype(str), 1)}, 0.95)["a"]
        widths.append(found.high[3] - found.low[3])
        assert found.se[3] > 0
    assert max(widths) < 1.2 * min(widths)


def answers(rng: np.random.Generator, documents: int, players: int = 30) -> np.ndarray:
    """Drops of right answers, [D, N]: three players matter, the others hardly change anything."""
    effect, spread = np.full(players, 0.02), np.full(players, 0.15)
    effect[:3], spread[:3] = (1.5, 1.0, 0.8), 0.6
    margin = rng.normal(0.4, 1, (documents, 1))
    left = margin - effect - spread * rng.normal(size=(documents, players))
    return (margin > 0).astype(float) - (left > 0)


def test_moderated_intervals_are_narrower_and_cover() -> None:
    """Of 24 documents a task: the mean over six tasks, against the interval of each player by itself."""
    rng = np.random.default_rng(0)
    truth = answers(rng, 100_000).mean(axis=0)
    covered, narrower = [], []
    for _ in range(60):
        labels = np.arange(24).astype(str)
        samples = {f"task{i}": Sample(Values(answers(rng, 24)), labels) for i in range(6)}
        found = estimates(samples, 0.95)[MEAN]
        plain = over_tasks([of_values(sample.values, labels, 0.95) for sample in samples.values()], 0.95)
        covered.append((found.low <= truth) & (truth <= found.high))
        narrower.append((found.high - found.low).mean() / (plain.high - plain.low).mean())
    assert 0.93 <= np.mean(covered) <= 0.99
    assert np.mean(narrower) < 0.85


def test_ranks_of_players_far_apart_are_known() -> None:
    found = intervals_of(drawn(APART, 4, scale=0.2), 0.95)
    assert list(found) == ["task0", "task1", MEAN]
    for ranks in found.values():
        assert ranks.tolist() == [[6, 6], [3, 3], [5, 5], [1, 1], [4, 4], [2, 2]]


def test_ranks_in_pure_noise_are_open() -> None:
    for seed in range(5):
        ranks = intervals_of(drawn([0.0] * 6, seed, documents=12), 0.999)[MEAN]
        assert ranks.tolist() == [[1, 6]] * 6


def test_ranks_of_two_groups_are_those_of_the_group() -> None:
    ranks = intervals_of(drawn([0, 4, 0, 4, 0], 5, scale=0.5), 0.9999)[MEAN]
    assert ranks.tolist() == [[3, 5], [1, 2], [3, 5], [1, 2], [3, 5]]


def test_rank_intervals_cover_the_true_rank_as_often_as_they_say() -> None:
    truth = [0.0, 0.3, 0.6, 0.9]
    covered, widths = [], []
    for seed in range(250):
        ranks = intervals_of(drawn(truth, seed, documents=30, tasks=1), 0.8)[MEAN]
        covered.append((ranks[:, 0] <= [4, 3, 2, 1]) & (ranks[:, 1] >= [4, 3, 2, 1]))
        widths.append(np.ptp(ranks, axis=1).mean())
    assert (np.mean(covered, axis=0) >= 0.78).all()
    assert 0.3 < np.mean(widths) < 2.5


def test_halves_share_no_cluster_and_leave_nothing_out() -> None:
    for seed in range(20):
        clusters = np.array([f"c{i % 9}" for i in range(30)])
        parts = halves(clusters, np.random.default_rng(seed))
        assert parts is not None
        first, second = parts
        assert sorted([*first, *second]) == list(range(30))
        assert not set(clusters[first]) & set(clusters[second])
        assert (len(set(clusters[first])), len(set(clusters[second]))) == (4, 5)


def test_three_clusters_can_not_be_halved() -> None:
    assert halves(np.array(["a", "b", "c"] * 5), np.random.default_rng(0)) is None
    assert halves(np.array(["a", "b", "c", "d"]), np.random.default_rng(0)) is not None


def split(samples: dict[str, Sample], seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng([seed, 1])
    found = {}
    for task, sample in samples.items():
        parts = halves(sample.clusters, rng)
        assert parts is not None
        found[task] = parts
    return found


def changed(samples: dict[str, Sample], seed: int, half: int, rng: np.random.Generator) -> dict[str, Sample]:
    """The same samples with other values on one half of the documents."""
    found = {}
    for task, parts in split(samples, seed).items():
        rows = samples[task].values.documents.copy()
        rows[parts[half]] = rng.permuted(rows[parts[half]], axis=1) + rng.normal(0, 9, rows[parts[half]].shape)
        found[task] = Sample(Values(rows), samples[task].clusters, None)
    return found


def test_the_choice_does_not_see_the_second_half_nor_the_test_the_first() -> None:
    samples, rng = drawn(APART, 6, scale=2, clusters=20), np.random.default_rng(0)
    for seed in range(4):
        base = held_out(samples, 0.95, seed)
        assert base is not None
        other = held_out(changed(samples, seed, 1, rng), 0.95, seed)
        assert other is not None
        assert other.chosen.tolist() == base.chosen.tolist()
        assert other.estimate.value.tolist() != base.estimate.value.tolist()
        third = held_out(changed(samples, seed, 0, rng), 0.95, seed)
        assert third is not None
        assert third.estimate.value.tolist() == base.estimate.value.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_chosen_is_highest_on_the_first_half_and_estimated_on_the_second(seed: int) -> None:
    samples = drawn(APART, seed, scale=12, clusters=20)  # so noisy that the median player differs between the halves
    found = held_out(samples, 0.9, seed)
    assert found is not None
    sides = [
        {
            task: Sample(samples[task].values.of(parts[half]), samples[task].clusters[parts[half]], None)
            for task, parts in split(samples, seed).items()
        }
        for half in (0, 1)
    ]
    first, second = (estimates(side, 0.9)[MEAN] for side in sides)
    assert found.chosen.tolist() == np.argsort(-first.value)[:3].tolist()
    assert found.estimate.value == pytest.approx(second.value)
    assert found.estimate.low == pytest.approx(second.low)


def test_held_out_values_are_not_too_high_where_chosen_ones_are() -> None:
    """Of players that are all worth 0, the highest three of one half are worth 0 on the other."""
    chosen_high, held = [], []
    for seed in range(60):
        samples = drawn([0.0] * 12, seed, documents=24, tasks=1)
        found = held_out(samples, 0.95, seed)
        assert found is not None
        parts = split(samples, seed)["task0"]
        first = samples["task0"].values.documents[parts[0]]
        second = samples["task0"].values.documents[parts[1]]
        chosen_high.append((first.mean(axis=0) - first.mean())[found.chosen].mean())
        held.append(found.estimate.value[found.chosen].mean() - second.mean())
    assert np.mean(chosen_high) > 0.2
    assert abs(np.mean(held)) < 0.06


def test_well_separated_players_are_chosen() -> None:
    found = held_out(drawn([0, 0, 3, 0, 3, 0, 3, 0, 0], 8), 0.95, 0)
    assert found is not None
    assert sorted(found.chosen.tolist()) == [2, 4, 6]
    assert (found.estimate.value[found.chosen] > 1).all()


def test_too_few_clusters_in_any_task_or_no_linear_estimator_have_no_halves() -> None:
    samples = drawn(APART, 9)
    assert held_out(samples, 0.95, 0) is not None
    few = drawn(APART, 9, clusters=3)
    assert held_out({**samples, "task1": few["task1"]}, 0.95, 0) is None
    rows = samples["task0"].values.documents
    bent = Sample(Values(rows, None, np.zeros((100, 6))), samples["task0"].clusters, None)
    assert held_out({**samples, "task0": bent}, 0.95, 0) is None


def test_some_documents_of_a_sample_keep_their_groups() -> None:
    labels = np.array(list("abcd"))
    whole = Sample(Values(np.arange(8.0).reshape(4, 2)), labels, group=np.array(list("xxyy")))
    part = whole.of(whole.values, np.array([1, 2]))
    assert part.units.tolist() == ["x", "y"]
    assert part.clusters.tolist() == ["b", "c"]
    assert part.values.documents.tolist() == [[2, 3], [4, 5]]
    assert replace(whole, group=None).of(whole.values, np.array([0, 3])).units.tolist() == ["a", "d"]


def test_what_was_not_seen_is_the_mean_square_of_what_was() -> None:
    """By hand, on two tasks; a nested design's values are those of its samples of coalitions."""
    alone = Sample(Values(np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.0]])), np.array(list("abc")))
    nested = Sample(
        Values(np.array([[1.0, 0.0], [0.0, 0.2], [0.3, 0.0], [0.5, 0.0]]), clusters=np.array(list("aabb"))),
        np.array(list("abcd")),
    )
    of_alone = [(1 - 0.5) ** 2, (0.5 - 0.5) ** 2]
    means = np.array([[0.5, 0.1], [0.4, 0.0]])
    of_nested = [(0.5 - 0.45) ** 2, (0.1 - 0.05) ** 2, (0.4 - 0.45) ** 2]
    assert means.mean(axis=0).tolist() == [0.45, 0.05]
    assert ranking._square({"a": alone}, ["a"]) == pytest.approx(np.mean(of_alone))
    assert ranking._square({"b": nested}, ["b"]) == pytest.approx(np.mean(of_nested))
    both = ranking._square({"a": alone, "b": nested}, ["a", "b"])
    assert both == pytest.approx(np.mean(of_alone + of_nested))
    nothing = Sample(Values(np.zeros((3, 2))), np.array(list("abc")))
    assert ranking._square({"a": nothing}, ["a"]) == 0


def test_tasks_are_drawn_together_only_where_their_units_are_one() -> None:
    """Bounded values of all tasks are of one kind; without a bound, a task's variances come from it alone."""
    rng = np.random.default_rng(3)
    quiet, loud = rng.normal(0, 0.1, (20, 12)), rng.normal(0, 10, (20, 12))
    labels = np.arange(20).astype(str)

    def variances(bound: float | None, *tasks: np.ndarray) -> list[np.ndarray]:
        found = ranking.drawn({str(i): Sample(Values(rows), labels, bound) for i, rows in enumerate(tasks)})
        return [variance for variance, _ in found.values()]

    alone = variances(None, quiet)[0]
    assert variances(None, quiet, loud)[0] == pytest.approx(alone)
    assert (variances(1, quiet, loud / 20)[0] > alone * 1.01).any()
    some = variances(None, np.zeros((20, 12)), quiet)  # nothing to learn from the first; the second still is drawn
    assert len(some) == 1
    assert some[0] == pytest.approx(alone)


def test_a_drawn_variance_by_hand() -> None:
    """Each variance is that of one document more, as far off as what was seen, then moderated."""
    rng = np.random.default_rng(8)
    rows, labels = rng.normal(0, 1, (10, 9)), np.arange(10).astype(str)
    sample = Sample(Values(rows), labels)
    per_document = rows.var(axis=0, ddof=1) + ranking._square({"a": sample}, ["a"]) / 10
    expected, df = moderated.moderated(per_document, np.full(9, 9.0))
    found, found_df = ranking.drawn({"a": sample})["a"]
    assert found == pytest.approx(expected / 10)
    assert found_df == pytest.approx(df)
