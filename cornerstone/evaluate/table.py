"""All results of a model and task as one table: values.parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cornerstone.assets.documents import TaskDocuments
from cornerstone.config.config import Config
from cornerstone.errors import StoreError
from cornerstone.evaluate.result import ARRAYS, read, scores_of
from cornerstone.evaluate.seal import SEAL
from cornerstone.evaluate.wanted import Wanted
from cornerstone.files import write_table
from cornerstone.game.coalitions import parse
from cornerstone.game.functions import SHARES
from cornerstone.game.players import Player
from cornerstone.log import log

if TYPE_CHECKING:
    import pandas as pd


def table(
    paths: Iterable[Path],
    players: tuple[Player, ...],
    expected: str,
    wanted: Wanted,
    config: Config,
    shares: Mapping[str, frozenset[int]] | None = None,
) -> pd.DataFrame:
    """Read many results into one table.

    Args:
        paths: result files of one model and task.
        players: the model's players.
        expected: fingerprint that each must carry.
        wanted: the documents that are read; others that a file holds are passed over.
        config: the configuration, which says what value functions are asked for.
        shares: the coalitions that are read on the documents of some samples only, see `Plan`.

    Returns:
        A row per coalition and document: coalition, doc_id, cluster, a column per metric of the task and per value
        function (see `Scores`). Where documents are dealt out to samples of coalitions, `sample`, too.

    Raises:
        StoreError: a damaged file, a foreign one (other fingerprint, other name), other documents, too few of them, or
            scores that do not follow from the log-likelihoods beside them.
    """
    import pandas as pd  # not above: jobs that only write results do without

    labels, counts, unsealed, made_from = [], [], 0, hashlib.sha256()
    columns: dict[str, list[np.ndarray]] = {}
    for path in paths:
        part = wanted.within((shares or {}).get(path.stem))
        if not part.places:
            continue  # a sample without documents: there are too few of them
        data, result = part.data, read(path)
        unsealed += SEAL not in result
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
            arrays = _whole(result["documents"], data, sum(block["count"] for block in result["blocks"]))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{path} is damaged: its arrays do not fit each other ({type(error).__name__}: {error}). Delete it and "
                "run the workflow again."
            ) from error
        try:
            chosen = [rows[place] for place in part.places]
        except KeyError:
            lacking = sum(place not in rows for place in part.places)
            raise StoreError(
                f"{path} lacks {lacking} of the {len(data.documents)} documents, or holds them with other content than "
                f"{data.source} has now. Run `snakemake {path}` to score them."
            ) from None
        found = _columns(path, {key: [array[row] for row in chosen] for key, array in arrays.items()}, data, config)
        for column, values in found.items():
            columns.setdefault(column, []).append(values)
        labels.append(label)
        made_from.update(f"{label} {result.get(SEAL, {}).get('documents')}\n".encode())
        counts.append(len(chosen))
    if not labels:
        raise StoreError("there is no result to read. Run the workflow's evaluate step first.")
    if unsealed:
        log(
            f"{unsealed} of {len(labels)} results carry no checksum, as an older version wrote them: their metrics "
            "were computed again, their log-likelihoods can't be checked"
        )
    joined = pd.DataFrame({column: np.concatenate(parts) for column, parts in columns.items()})
    joined.insert(0, "coalition", pd.Series(labels).repeat(counts).to_numpy())
    joined.attrs["results"] = made_from.hexdigest()
    joined.insert(2, "cluster", joined["doc_id"].map({d.doc_id: d.cluster for d in wanted.data.documents}))
    if wanted.samples:
        joined.insert(3, "sample", joined["doc_id"].map(dict(zip(wanted.data.ids, wanted.sample, strict=True))))
    return joined


def _whole(documents: dict[str, list[Any]], data: TaskDocuments, count: int) -> dict[str, list[Any]]:
    """What a file says of each of its `count` documents: the arrays, and the task's metrics that are shares.

    Raises:
        KeyError, TypeError, ValueError: one is missing, or of another length.
    """
    names = [*ARRAYS, *(metric for metric in data.metrics if metric in SHARES)]
    for name in names:
        if len(documents[name]) != count:
            raise ValueError(f"{name} of {len(documents[name])} documents, blocks of {count}")
    return {name: documents[name] for name in names}


def _columns(path: Path, arrays: dict[str, list[Any]], data: TaskDocuments, config: Config) -> dict[str, np.ndarray]:
    """The values of one file on the documents that are asked for, made from the log-likelihoods anew."""
    try:
        for key, wanted in (("doc_id", data.ids), ("gold", data.golds), ("length", data.lengths)):
            if arrays[key] != wanted:
                raise ValueError(f"{key} is not that of the documents")
        if not np.isfinite(list(chain.from_iterable(arrays["loglikelihood"]))).all():
            raise ValueError("a log-likelihood is no finite number")
        scores = scores_of(data, arrays)
        found = {"doc_id": np.asarray(data.ids, np.int64)}
        for metric in data.metrics:
            found[metric] = scores.metric(metric)
            if metric in SHARES:
                found[metric] = found[metric].astype(np.int8)
                if not np.array_equal(found[metric], arrays[metric]):
                    raise StoreError(
                        f"{path}: `{metric}` does not follow from the log-likelihoods beside it: the file was changed. "
                        "Delete it and run the workflow again."
                    )
        return found | scores.functions(config.value_functions, config.temperature)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged: its arrays do not fit its documents ({type(error).__name__}: {error}). Delete it and "
            "run the workflow again."
        ) from error


def write(
    paths: Iterable[Path],
    players: tuple[Player, ...],
    expected: str,
    made_by: str,
    wanted: Wanted,
    config: Config,
    target: Path,
    shares: Mapping[str, frozenset[int]] | None = None,
) -> None:
    """Write what `table` returns as a Parquet file, atomically.

    Its `attrs`, which pandas keeps in the file, say what made it (`made_by`, see `fingerprint.of_values`), from
    which documents, and from which results: a checksum of theirs.
    """
    frame = table(paths, players, expected, wanted, config, shares)
    frame.attrs |= {"fingerprint": made_by, "documents": wanted.data.digest}
    write_table(target, lambda temporary: frame.to_parquet(temporary, index=False), placed=True)
