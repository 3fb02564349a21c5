"""What `cornerstone prune` has made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cornerstone.prune.choose import Choice
from cornerstone.prune.speed import Speed


@dataclass(frozen=True)
class Pruned:
    """What was written.

    Attributes:
        folder: of the pruned model.
        choice: which layers were removed.
        blocks: places of the blocks that are gone.
        zeroed: name of a sublayer that stays, with zeros -> its parameters that are zero, as the original calls them.
        parameters: number of them before and after (those that are zero are still counted).
        silent: of those that are there, how many belong to zeroed projections.
        deviation: of the log-likelihoods from the engine's, the largest, relative.
        check: mean log-likelihood of the ends of the check texts, in nats, before and after.
        checked: how many ends these are.
        speed: beside the original's; None where it was not measured.
    """

    folder: Path
    choice: Choice
    blocks: tuple[int, ...]
    zeroed: dict[str, tuple[str, ...]]
    parameters: tuple[int, int]
    silent: int
    deviation: float
    check: tuple[float, float]
    checked: int
    speed: Speed | None = None

    def check_words(self) -> str:
        """A sentence for people on what the removal does to the check texts."""
        before, after = self.check
        return (
            f"mean log-likelihood of {self.checked} ends of check sentences: {before:.1f} nats before, {after:.1f} "
            "after (a few sentences that show gross damage; no evaluation)"
        )
