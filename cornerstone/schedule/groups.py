"""Which coalitions and documents are walked together: where each walk reads all weights, in the fewest walks.

Files are written after each group, so a job of several groups keeps most of its work when it is stopped.

Hidden states are alive for every coalition and every document of a walk, so the two share the memory: with c
coalitions together there is room for room / c tokens of documents. Coalitions are cut into groups of equal size, and
the batches of documents into as many walks for each group as need be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cornerstone.engine import sweep
from cornerstone.engine.stages import Stage
from cornerstone.errors import ConfigError
from cornerstone.schedule.memory import Room

T = TypeVar("T")

MORE_WORK = 1.05
"""How much more arithmetic smaller groups may cost (where weights are streamed: with equally few walks): their files
come sooner."""
LEAST_GROUPS = 4
"""Groups that a job is divided into where that costs no more than `MORE_WORK`: a kill then costs a quarter of it."""


@dataclass(frozen=True)
class Grouping:
    """How coalitions and batches are walked.

    Attributes:
        together: coalitions of a group; the last may have fewer.
        tokens_together: batches are walked together up to this many tokens, in their order.
        walks: walks that each group makes, one after another, over all documents.
    """

    together: int
    tokens_together: int
    walks: int

    def groups(self, coalitions: Sequence[T]) -> list[list[T]]:
        """Coalitions, or what stands for them, in sweep order: group by group."""
        return [list(coalitions[i : i + self.together]) for i in range(0, len(coalitions), self.together)]

    def runs(self, batches: Sequence[int]) -> list[list[int]]:
        """The batches (tokens of each) walk by walk, by index."""
        return walks(batches, self.tokens_together)

    def count(self, coalitions: int) -> int:
        """How many walks that many coalitions take."""
        return -(-coalitions // self.together) * self.walks


def fewest_walks(
    count: int, batches: Sequence[int], room: int, work: Callable[[int], float] = lambda together: 0.0
) -> Grouping:
    """The grouping that makes the fewest walks.

    Where several make equally few, it takes the smallest groups that cost at most `MORE_WORK` times the least
    arithmetic: a group's files are written when it has all documents.

    Args:
        count: coalitions.
        batches: tokens of each batch, in the order in which they are walked.
        room: tokens whose hidden states fit into memory, those of several coalitions counted each.
        work: arithmetic of groups of that many coalitions.

    Raises:
        ConfigError: not even one state of the largest batch fits.
    """
    if max(batches) > room:
        raise ConfigError(
            "there is no room for the hidden states of one batch. Give the job more memory (memory.budget_gb of the "
            "model, where it is set), or lower batch_tokens."
        )
    candidates: dict[int, Grouping] = {}
    groups = 1
    while groups <= count:
        together = -(-count // groups)
        if together * max(batches) <= room:
            candidates[together] = Grouping(together, room // together, len(walks(batches, room // together)))
        # the next number of groups that makes them smaller
        groups = -(-count // (together - 1)) if together > 1 else count + 1
    fewest = min(grouping.count(count) for grouping in candidates.values())
    best = sorted(together for together, grouping in candidates.items() if grouping.count(count) == fewest)
    costs = {together: work(together) for together in best} if len(best) > 1 else {best[0]: 0.0}
    limit = MORE_WORK * min(costs.values())
    return candidates[next(together for together in best if costs[together] <= limit)]


MOST_TOGETHER = 64
"""Coalitions walked together at most: files are written after each group."""


def groups_within(coalitions: Sequence[int], state_bytes: int, budget_bytes: float) -> list[list[int]]:
    """Cut coalitions (in sweep order) into groups whose live states fit into a memory budget.

    At most two generations of states are alive, so a group of n coalitions needs up to 2n states; at least
    one coalition is walked at a time, whatever the budget.
    """
    most = max(1, min(MOST_TOGETHER, int(budget_bytes // (2 * state_bytes))))
    return [list(coalitions[i : i + most]) for i in range(0, len(coalitions), most)]


def divided(count: int, most: int, work: Callable[[int], float]) -> int:
    """How many coalitions a group has: groups are of equal size, and `LEAST_GROUPS` or the next fewer that cost little.

    Args:
        count: coalitions.
        most: of them that fit into a group.
        work: arithmetic of groups of that many coalitions.
    """
    fewest = max(1, -(-count // most))
    together = -(-count // fewest)
    if fewest < LEAST_GROUPS < count:
        limit = MORE_WORK * work(together)
        smaller = (-(-count // groups) for groups in range(LEAST_GROUPS, fewest, -1))
        together = next((each for each in smaller if work(each) <= limit), together)
    return max(1, together)


def walks(batches: Sequence[int], tokens_together: int) -> list[list[int]]:
    """Cut batches into runs that are walked together.

    Args:
        batches: tokens of each, padding included.
        tokens_together: of a run at most; at least one batch.

    Returns:
        The indices of each run, in order.
    """
    found: list[list[int]] = []
    total = 0
    for index, tokens in enumerate(batches):
        if not found or total + tokens > tokens_together:
            found.append([])
            total = 0
        found[-1].append(index)
        total += tokens
    return found


@dataclass(frozen=True)
class Division:
    """How a job's coalitions are divided, for its documents and its memory.

    Attributes:
        batches: tokens of each batch.
        token_bytes: of one token's hidden state.
        room: what memory there is.
    """

    batches: tuple[int, ...]
    token_bytes: int
    room: Room

    def grouping(self, coalitions: Sequence[int], stages: Sequence[Stage]) -> Grouping:
        """Groups and walks for coalitions in sweep order.

        Raises:
            ConfigError: see `fewest_walks`.
        """

        def work(together: int) -> float:
            starts = range(0, len(coalitions), together)
            return sum(sweep.work(coalitions[start : start + together], stages) for start in starts)

        if not self.room.streamed:
            state_bytes = max(self.batches) * self.token_bytes
            most = max(map(len, groups_within(coalitions, state_bytes, self.room.states)), default=1)
            return Grouping(divided(len(coalitions), most, work), 0, len(self.batches))
        return fewest_walks(len(coalitions), self.batches, self.room.states // self.token_bytes, work)
