"""Which documents depend on each other, and in which order a task's documents are taken.

The first n documents of a split are no random sample of it: of BoolQ's first fifty, 78 % are answered by yes, of the
split 62 %. So documents are put in a random order once; whoever takes the first n of that order has a random sample,
and a larger one holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Sequence

import numpy as np


def clusters(marks: Sequence[Collection[Hashable]]) -> list[str]:
    """Group documents that have something in common.

    Args:
        marks: [document] what each has that makes it depend on others: its contexts, the passage it is about. Documents
            with an equal mark are in one cluster, and so are those that a chain of such documents joins. A mark that
            all have (the same question of each) says nothing, and is passed over.

    Returns:
        [document] the index of the first document of its cluster, as text.

    >>> clusters([["a"], ["b", "c"], ["d"], ["c", "d"]])
    ['0', '1', '1', '1']
    """
    from scipy import sparse  # not above: jobs that score do without

    first: dict[Hashable, int] = {}
    common = set(marks[0]).intersection(*marks) if marks else set()
    pairs = [(i, first.setdefault(mark, i)) for i, own in enumerate(marks) for mark in own if mark not in common]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    graph = sparse.coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(marks), len(marks)))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    _, lowest = np.unique(labels, return_index=True)
    return [str(lowest[label]) for label in labels]


def order(strata: Sequence[Hashable], clustered: Sequence[str], hashes: Sequence[str], seed: int) -> list[int]:
    """A random order of documents whose every beginning is a stratified sample.

    Each cluster is one unit of the sample, so documents that depend on each other are neighbours. Units are drawn at
    random within their stratum. The strata are then merged so that each beginning of the order holds each stratum in
    its share of the whole, up to one unit (systematic sampling; Cochran, Sampling Techniques, 1977, chapters 5 and 8).

    Args:
        strata: [document] such as the gold choice; a cluster counts for the stratum of its first document.
        clustered: [document] cluster.
        hashes: [document] of its content. The random numbers are made from these, so a document keeps its random
            number whatever else is in the split, on every machine and with every version of every library.
        seed: of the sample.

    Returns:
        The indices of all documents.
    """
    units: dict[str, list[int]] = {}
    for i, cluster in enumerate(clustered):
        units.setdefault(cluster, []).append(i)
    members: dict[Hashable, list[tuple[str, list[int]]]] = {}
    for unit in units.values():
        number = hashlib.sha256(f"{seed} {hashes[unit[0]]}".encode()).hexdigest()
        members.setdefault(strata[unit[0]], []).append((number, unit))
    placed = []
    for stratum in members.values():
        stratum.sort()
        sizes = np.array([len(unit) for _, unit in stratum])
        middles = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
        placed += [(middle, number, unit) for middle, (number, unit) in zip(middles.tolist(), stratum, strict=True)]
    return [i for _, _, unit in sorted(placed) for i in unit]
