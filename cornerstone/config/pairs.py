"""Which models may be compared: two that are active, and scored on the same documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

Pair = tuple[str, str]
"""The names of two models."""
Scored = Mapping[str, tuple[str, int | None]]
"""Task -> source of its documents, and how many (None: all)."""


def name_of(pair: Pair) -> str:
    """What a pair is called: its folder.

    >>> name_of(("base", "tuned"))
    'base--tuned'
    """
    return "--".join(pair)


def check_pairs(
    entries: Sequence[Sequence[str]],
    models: Collection[str],
    run: Collection[str],
    scored: Callable[[str], Scored],
) -> None:
    """Check that each entry of `compare` is two active models that are scored on the same documents.

    Args:
        entries: of `compare`.
        models: all that the config knows.
        run: those that are active.
        scored: what a model is scored on; the seed of the documents is one for all.

    Raises:
        ValueError: one is not.
    """
    seen: dict[frozenset[str], str] = {}
    for entry in entries:
        shown = f"[{', '.join(entry)}]"
        if len(entry) != 2:
            raise ValueError(
                f"`compare`: {shown} has {len(entry)} models; write two for each pair, such as [base, tuned]"
            )
        for model in entry:
            if model not in models:
                raise ValueError(
                    f"`compare`: {shown} names '{model}', which is not under `models`; there: {', '.join(models)}"
                )
            if model not in run:
                raise ValueError(f"`compare`: {shown} names '{model}', which is not run; add it to `run`")
        first, second = entry
        if first == second:
            raise ValueError(f"`compare`: {shown} names one model twice; name two")
        if frozenset(entry) in seen:
            raise ValueError(f"`compare` names a pair twice: {seen[frozenset(entry)]} and {shown}")
        seen[frozenset(entry)] = shown
        _same_documents(first, scored(first), second, scored(second))
    folders = [name_of((first, second)) for first, second in entries]
    for folder in folders:
        if folders.count(folder) > 1:
            raise ValueError(f"`compare`: two pairs would share the folder {folder}; rename a model")


def _same_documents(first: str, by_first: Scored, second: str, by_second: Scored) -> None:
    """Raise ValueError where two models are scored on different documents."""
    where = f"under `models.{first}.documents` and `models.{second}.documents`"
    for task, (source, limit) in by_first.items():
        other_source, other_limit = by_second[task]
        if source != other_source:
            raise ValueError(
                f"`compare`: {first} is scored on documents of `source: {source}`, {second} on those of `source: "
                f"{other_source}`; set the same source {where}"
            )
        if limit != other_limit:
            counts = ["all" if count is None else str(count) for count in (limit, other_limit)]
            raise ValueError(
                f"`compare`: {first} is scored on {counts[0]} documents of {task}, {second} on {counts[1]}; set the "
                f"same limit {where}"
            )
