"""All results of a model and task as one table: values.parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cornerstone.assets.documents import METRICS
from cornerstone.errors import StoreError
from cornerstone.evaluate.result import read
from cornerstone.evaluate.scoring import Scores
from cornerstone.evaluate.wanted import Wanted
from cornerstone.files import write_atomically
from cornerstone.game.coalitions import parse
from cornerstone.game.players import Player

if TYPE_CHECKING:
    import pandas as pd


def table(paths: Iterable[Path], players: tuple[Player, ...], expected: str, wanted: Wanted) -> pd.DataFrame:
    """Read many results into one table.

    Args:
        paths: result files of one model and task.
        players: the model's players.
        expected: fingerprint that each must carry.
        wanted: the documents that are read; others that a file holds are passed over.

    Returns:
        A row per coalition and document: coalition, doc_id, cluster, a column per metric (0 or 1), and `margin` and
        `log-probability` (see `Scores`).

    Raises:
        StoreError: a damaged file, a foreign one (other fingerprint, other name), other documents, too few of them, or
            scores that do not follow from the log-likelihoods beside them.
    """
    import pandas as pd  # not above: jobs that only write results do without

    labels, counts = [], []
    columns: dict[str, list[np.ndarray]] = {}
    data = wanted.data
    for path in paths:
        result = read(path)
        found = result["provenance"]["fingerprint"]
        if found != expected:
            raise StoreError(
                f"{path} was made by other settings or code (fingerprint {found}, now {expected}). Delete it "
                "and run the workflow again."
            )
        label = result["coalition"]["name"]
        parse(label, players)
        if label != path.stem:
            raise StoreError(f"{path} holds the result of {label}. Delete it and run the workflow again.")
        try:
            rows = wanted.rows(result["blocks"])
            scores = _columns(path, result["documents"], sum(block["count"] for block in result["blocks"]))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{path} is damaged: its arrays do not fit each other ({type(error).__name__}: {error}). Delete it and "
                "run the workflow again."
            ) from error
        try:
            chosen = [rows[place] for place in range(len(data.documents))]
        except KeyError:
            lacking = sum(place not in rows for place in range(len(data.documents)))
            raise StoreError(
                f"{path} lacks {lacking} of the {len(data.documents)} documents, or holds them with other content than "
                f"{data.source} has now. Run `snakemake {path}` to score them."
            ) from None
        for column, values in scores.items():
            columns.setdefault(column, []).append(values[chosen])
        labels.append(label)
        counts.append(len(chosen))
    if not labels:
        raise StoreError("there is no result to read. Run the workflow's evaluate step first.")
    joined = pd.DataFrame({column: np.concatenate(parts) for column, parts in columns.items()})
    joined.insert(0, "coalition", pd.Series(labels).repeat(counts).to_numpy())
    joined.insert(2, "cluster", joined["doc_id"].map({d.doc_id: d.cluster for d in data.documents}))
    return joined


def _columns(path: Path, documents: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    """What one file says of each of its `count` documents. Metrics are made from the log-likelihoods anew."""
    scores = Scores(documents["loglikelihood"], documents["length"], documents["gold"])
    found = {"doc_id": np.asarray(documents["doc_id"], np.int64)}
    if not len(found["doc_id"]) == len(scores.gold) == count:
        raise ValueError(f"{len(found['doc_id'])} doc_id, {len(scores.gold)} gold choices, blocks of {count} documents")
    for metric in METRICS:
        if metric in documents:
            found[metric] = scores.correct(metric).astype(np.int8)
            if not np.array_equal(found[metric], documents[metric]):
                raise StoreError(
                    f"{path}: `{metric}` does not follow from the log-likelihoods beside it: the file was changed. "
                    "Delete it and run the workflow again."
                )
    return found | {"margin": scores.margin, "log-probability": scores.log_probability}


def write(
    paths: Iterable[Path],
    players: tuple[Player, ...],
    expected: str,
    made_by: str,
    wanted: Wanted,
    target: Path,
) -> None:
    """Write what `table` returns as a Parquet file, atomically.

    Its `attrs`, which pandas keeps in the file, say what made it (`made_by`, see `fingerprint.of_values`) and from
    which documents.
    """
    frame = table(paths, players, expected, wanted)
    frame.attrs = {"fingerprint": made_by, "documents": wanted.data.digest}
    write_atomically(target, lambda temporary: frame.to_parquet(temporary, index=False))
