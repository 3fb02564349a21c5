"""Whether other tools make of the original what `cornerstone prune` has written: mergekit and llama.cpp.

Two exports of a model of Llama's kind: two whole blocks, and one block with two single sublayers. mergekit makes each
of the recipe beside it; llama.cpp prunes a GGUF of the original by the list on the card. Every tensor is compared.

    python -m benchmarks.exports smollm2-135m --mergekit PYTHON

PYTHON has mergekit. llama.cpp is taken where llama-cpp-python can be imported.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report, to_gguf
from cornerstone.assets.fetch import fetch_model, model_folder
from cornerstone.config.config import Config, load, load_files
from cornerstone.plan.layout import Layout
from cornerstone.present.findings import filled
from cornerstone.prune import choose
from cornerstone.prune.card import FACTS, MERGEKIT
from cornerstone.prune.prune import prune

CHOICES = {"two blocks": ("block7", "block12"), "a block and two sublayers": ("ffn3", "attn5", "block7")}
PAGE = Path(__file__).parents[1] / "docs" / "pruning.md"
RUN_MERGEKIT = """
import inspect, sys, pydantic, torch, transformers
import mergekit.architecture.base as base
names = {**vars(base), **vars(transformers.configuration_utils), "torch": torch}
for found in list(vars(base).values()):  # transformers 5 names torch in annotations without importing it
    if inspect.isclass(found) and issubclass(found, pydantic.BaseModel) and found is not pydantic.BaseModel:
        found.model_rebuild(force=True, _types_namespace=names)
from mergekit.scripts.run_yaml import main
main()
"""


def loaded(folder: Path) -> Any:
    """The model in a folder, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )


def differing(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> int:
    """How many tensors are not the same in name, shape and every number."""
    return sum(
        name not in one or name not in other or not np.array_equal(one[name], other[name])
        for name in one.keys() | other.keys()
    )


def by_mergekit(python: Path, export: Path, folder: Path) -> tuple[int, int]:
    """Tensors of an export, and how many of them mergekit makes differently."""
    command = [str(python), "-c", RUN_MERGEKIT, str(export / MERGEKIT), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    one, other = (
        {name: weight.numpy() for name, weight in loaded(place).state_dict().items()} for place in (export, folder)
    )
    return len(one), differing(one, other)


def by_llama(original: Path, export: Path, folder: Path) -> tuple[int, int]:
    """The same of llama.cpp's pruning of a GGUF (bfloat16), as `llama-quantize --prune-layers` does it."""
    import gguf
    from llama_cpp import llama_cpp

    whole, ours, theirs = (folder / name for name in ("whole.gguf", "ours.gguf", "theirs.gguf"))
    to_gguf.write(loaded(original), whole)
    to_gguf.write(loaded(export), ours)
    told = json.loads((export / FACTS).read_text())["prune_layers"].split(",")
    places = (ctypes.c_int32 * (len(told) + 1))(*map(int, told), -1)
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.only_copy = True
    settings.prune_layers = ctypes.cast(places, ctypes.POINTER(ctypes.c_int32))
    code = llama_cpp.llama_model_quantize(str(whole).encode(), str(theirs).encode(), ctypes.byref(settings))
    if code:
        raise SystemExit(f"llama.cpp says {code}")
    one, other = (
        {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors} for path in (ours, theirs)
    )
    return len(one), differing(one, other)


def as_folder(config: Config, model: str, resources: Path) -> Config:
    """The same model as an entry whose source is a folder: mergekit reads no wheels."""
    source = model_folder(Path(Layout(config).model_marker(model)), config.models[model]).resolve()
    changed = config.model_dump(mode="json", exclude_unset=True)
    entry = {"source": "folder", "id": str(source), "blocks": config.models[model].blocks, "dtype": "float32"}
    changed |= {"run": [model], "models": {model: entry}, "compare": []}
    changed["paths"] = {"results": str(resources.parent / "results"), "resources": str(resources)}
    made = load(changed)
    layout = Layout(made)
    fetch_model(
        model, made.models[model], Path(layout.weights(model)), Path(layout.wheels), Path(layout.model_marker(model))
    )
    return made


def words(frame: pd.DataFrame) -> str:
    """What the documentation says."""
    return report.markdown(frame, {})


def main() -> None:
    """Run it; write benchmarks/results/exports.{csv,md} and the page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--config", type=Path, action="append", help="config.yaml by default")
    parser.add_argument("--mergekit", type=Path, required=True, metavar="PYTHON", help="of an environment that has it")
    chosen = parser.parse_args()
    import llama_cpp

    code = "import importlib.metadata as found; print(found.version('mergekit'))"
    told = subprocess.run([str(chosen.mergekit), "-c", code], check=True, capture_output=True, text=True)
    mergekit = f"mergekit {told.stdout.strip()}"
    llama = f"llama.cpp of llama-cpp-python {llama_cpp.__version__}"
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = as_folder(load_files(chosen.config or [Path("config.yaml")]), chosen.model, folder / "resources")
        original = Path(config.models[chosen.model].id)
        for place, (what, layers) in enumerate(CHOICES.items()):
            export = folder / f"export{place}"
            made = prune(config, chosen.model, choose.named(config, chosen.model, layers), export)
            rows.append([what, mergekit, *by_mergekit(chosen.mergekit, export, folder / f"mergekit{place}")])
            if not made.zeroed:
                rows.append([what, llama, *by_llama(original, export, folder)])
    frame = pd.DataFrame(rows, columns=["removed", "made again by", "tensors", "of them different"])
    body = words(frame)
    settings = {"model": chosen.model}
    text = f"# What other tools make of the original\n\n{report.origin(settings, report.MODEL_PACKAGES)}\n{body}"
    report.write(report.RESULTS, "exports", frame, text)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"exports": body.rstrip()}), encoding="utf-8")


if __name__ == "__main__":
    main()
