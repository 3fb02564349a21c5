from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cornerstone.assets.sample import clusters, order


def drawn(strata: list[int], seed: int = 0, clustered: list[str] | None = None) -> list[int]:
    alone = [str(i) for i in range(len(strata))]
    return order(strata, clustered or alone, [f"hash{i}" for i in range(len(strata))], seed)


def test_documents_with_something_in_common_are_one_cluster_through_others_too() -> None:
    assert clusters([["p"], ["q"], ["p", "r"], [], ["r"], ["s"], []]) == ["0", "1", "0", "3", "0", "5", "6"]
    assert clusters([]) == []


def test_an_order_holds_every_document_once() -> None:
    strata = np.random.default_rng(0).integers(0, 3, 100).tolist()
    assert sorted(drawn(strata)) == list(range(100))


def test_each_beginning_holds_each_stratum_in_its_share() -> None:
    strata = [0] * 50 + [1] * 30 + [2] * 20
    chosen = np.array(strata)[drawn(strata)]
    for count in range(1, 101):
        for stratum, share in ((0, 0.5), (1, 0.3), (2, 0.2)):
            assert abs((chosen[:count] == stratum).sum() - share * count) <= 1


def test_each_document_comes_first_equally_often() -> None:
    # of 8 documents in two strata, the first four are two of each: a half for each document
    strata, runs = [0, 1] * 4, 2000
    counts = np.zeros(8)
    for seed in range(runs):
        counts[drawn(strata, seed)[:4]] += 1
    np.testing.assert_allclose(counts / runs, 0.5, atol=4 * np.sqrt(0.25 / runs))


def test_the_seed_and_nothing_else_decides() -> None:
    strata = [0, 1, 1, 0, 2] * 8
    assert drawn(strata, 3) == drawn(strata, 3)
    assert drawn(strata, 3) != drawn(strata, 4)


def test_a_document_keeps_its_place_among_the_others_when_the_split_grows() -> None:
    hashes = [f"hash{i}" for i in range(60)]
    alone = [str(i) for i in range(60)]
    few = order([0] * 40, alone[:40], hashes[:40], 0)
    many = order([0] * 60, alone, hashes, 0)
    assert [i for i in many if i < 40] == few


@pytest.mark.parametrize("seed", range(5))
def test_documents_of_a_cluster_are_neighbours(seed: int) -> None:
    clustered = [str(i % 7) if i % 3 else str(100 + i) for i in range(60)]
    chosen = drawn([i % 2 for i in range(60)], seed, clustered)
    seen = [clustered[i] for i in chosen]
    changes = sum(a != b for a, b in pairwise(seen))
    assert changes == len(set(clustered)) - 1
