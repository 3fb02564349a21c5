"""Folders of tiny models, and what else `cornerstone add` is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import gguf_files, tiny, types


def save(model_type: str, folder: Path, /, **changes: Any) -> Path:
    """A tiny model of a type as a folder, its config.json changed."""
    types.make(model_type).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def write_gguf(path: Path, split: int = 1) -> list[Path]:
    """A tiny Llama of four blocks as a GGUF file, or several."""
    return gguf_files.write(path, types.make("llama"), tiny.tokenizer(), split=split)
