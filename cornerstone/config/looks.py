"""Run until a result is settled: which looks at the documents there are, and at which of them a run is.

A look is a whole run of the workflow on so many documents. The next one has twice as many, which contain those before.
Where a run is stands in a file of the results (`FILE`), which is written between runs only. So every process of a run,
on whatever machine, is at the same look, and a run that was killed goes on there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from cornerstone import reading
from cornerstone.config import source
from cornerstone.errors import ConfigError, UnreadableError
from cornerstone.game.functions import LOGARITHMS, SOFT
from cornerstone.game.game import ACCURACY
from cornerstone.settings import Section

FILE = "until.json"
"""In the folder of results: at which look each model is."""
Limits = Mapping[str, int | None]
"""Task -> how many documents; None: all."""


class Until(Section):
    """More documents, step by step, until a result is settled."""

    settled: str | None = Field(
        None,
        pattern=r"^top[1-9][0-9]{0,3}$",
        description="`top3`: until three layers are confirmed to be the three highest, as a cornerstone is, at an "
        "error rate that is spent over all looks. Give this or `half_width`.",
    )
    half_width: float | None = Field(
        None,
        gt=0,
        description="Until no layer's interval (mean over tasks, at `intervals.level`) reaches farther than this to "
        "either side: 0.01 is a point of accuracy. Other value functions have units of their own.",
    )
    by: str = Field(
        ACCURACY, description="The value function that decides: `accuracy`, or one of `value_functions`, often sooner."
    )
    at_most: int = Field(
        ge=2,
        le=10**9,
        description="Documents of each task at the last look. (Where tasks have limits that differ: of the one with "
        "the largest; the others grow in proportion.) The first look has `documents.limit`, each further one twice as "
        "many. It may be raised later: the looks go on.",
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Until:
        if (self.settled is None) == (self.half_width is None):
            raise ValueError("say one of `settled: top3` and `half_width: 0.01`, and not both")
        return self

    @property
    def top(self) -> int | None:
        """How many layers are to be confirmed as the highest; None where a half-width is asked for."""
        return None if self.settled is None else int(self.settled.removeprefix("top"))

    @property
    def goal(self) -> str:
        """What is asked for, in words."""
        return f"half-widths of {self.half_width:g}" if self.top is None else f"the top {self.top}"


@dataclass(frozen=True)
class Look:
    """One of the looks of a model.

    Attributes:
        number: from 1.
        documents: of the task that has most.
    """

    number: int
    documents: int

    def spent(self, level: float) -> float:
        """The error rate of a test at this look, where that over all looks is to be 1 - `level`.

        Of alpha = 1 - level, look j has

            alpha_j = alpha / (j (j + 1)),        alpha_1 + ... + alpha_J = alpha J / (J + 1) <= alpha

        so by Bonferroni's inequality the chance of a wrong rejection at any look is alpha at most, however many looks
        there will be and whatever their dependence. A spending function in the sense of Lan and DeMets (1983,
        "Discrete sequential boundaries for clinical trials"); alpha / J at each of J looks would spend the same, but
        then J could not be raised after the fact. Half of alpha belongs to the first look, where clear results settle.

        >>> [round(Look(j, 0).spent(0.95), 5) for j in (1, 2, 3)]
        [0.025, 0.00833, 0.00417]
        """
        return (1 - level) / (self.number * (self.number + 1))

    def next(self, at_most: int) -> Look:
        """The look after this one."""
        return Look(self.number + 1, min(2 * self.documents, at_most))


def first(limits: Limits) -> Look:
    """The first look of a model: as many documents as are asked for without `until`."""
    return Look(1, max(limit or 0 for limit in limits.values()))


def scaled(limit: int, start: Look, now: Look) -> int:
    """The limit of a task at a look: its first one, grown as that of the task with most documents; never less.

    >>> scaled(16, Look(1, 24), Look(3, 96)), scaled(16, Look(1, 24), Look(4, 100))
    (64, 67)
    """
    return max(limit, round(limit * now.documents / start.documents))


def check(
    until: Until | None,
    functions: Sequence[str],
    metrics: Collection[str],
    limits: Mapping[str, Limits],
    players: Mapping[str, int],
) -> None:
    """Raise ValueError where what is asked for has no meaning.

    Args:
        until: what is asked for; None: nothing.
        functions: the value functions that are evaluated.
        metrics: of the tasks.
        limits: model -> of its tasks, at the first look.
        players: model -> how many.
    """
    if until is None:
        return
    if until.by not in functions:
        near = source.near(until.by, functions, " Did you mean `{}`?")
        raise ValueError(
            f"`until.by`: {until.by!r} is not evaluated; there are {', '.join(functions)}.{near} Others are added "
            "under `value_functions`"
        )
    shares = until.by == SOFT or (until.by == ACCURACY and not set(metrics) & set(LOGARITHMS))
    if until.half_width is not None and shares and until.half_width >= 0.5:
        raise ValueError(
            f"`until.half_width`: {until.half_width:g} is half of the range of accuracy, or more: any run has that. A "
            "point is 0.01"
        )
    for model, of_tasks in limits.items():
        whole = next((task for task, limit in of_tasks.items() if limit is None), None)
        if whole:
            raise ValueError(
                f"`until`: {model} is scored on all documents of {whole} from the start, so there is nothing to raise. "
                "Set `documents.limit` to the number for the first look, or leave `until` out"
            )
        start = first(of_tasks).documents
        if until.at_most <= start:
            raise ValueError(
                f"`until.at_most`: {until.at_most} documents are no more than the {start} that {model} begins with "
                "(`limit`). Raise it, lower the limit, or leave `until` out"
            )
        if until.top is not None and until.top >= players[model]:
            raise ValueError(
                f"`until.settled`: {until.settled} of the {players[model]} players of {model} is no question; ask for "
                "fewer"
            )


def made_for(until: Until | None, limits: Limits, level: float) -> str:
    """16 hexadecimal digits of the settings for which looks count; `at_most` is none of them."""
    goal = None if until is None else until.model_dump(exclude={"at_most"})
    text = json.dumps([goal, dict(limits), level], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def path_in(results: str) -> Path:
    """Where it is written at which look each model is."""
    return Path(results) / FILE


def written(path: Path) -> Mapping[str, Any]:
    """What is written there: model -> `settings` (see `made_for`), and the documents of all `looks` so far.

    Raises:
        ConfigError: it can't be read, or is no such file.
    """
    try:
        found = reading.parsed(path)
        for said in found.values():
            looks = said["looks"]
            whole = all(type(each) is int and each > 0 for each in looks)
            if not whole or not looks or looks != sorted(set(looks)) or not isinstance(said["settings"], str):
                raise TypeError
    except UnreadableError as error:
        if error.missing:
            return {}
        raise ConfigError(error.then(_AGAIN)) from error
    except (AttributeError, KeyError, TypeError):
        raise ConfigError(f"{path} is no file of this program, or was changed. {_AGAIN}") from None
    return dict(found)


_AGAIN = "Delete it: then the looks of `until` begin anew, and what is evaluated stays."


def present(path: Path, settings: Mapping[str, str]) -> dict[str, Look]:
    """At which look each model is, where that was written for these settings; others are at their first.

    Args:
        path: see `path_in`.
        settings: model -> what `made_for` returned.

    Raises:
        ConfigError: see `written`.
    """
    found = {}
    for model, said in written(path).items():
        if said["settings"] == settings.get(model):
            found[model] = Look(len(said["looks"]), said["looks"][-1])
    return found
