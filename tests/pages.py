"""Finished results of small models, from which pages are made without any model being run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cornerstone.analysis import compare, deletion, write
from cornerstone.assets import documents as files
from cornerstone.assets.documents import TaskDocuments
from cornerstone.config.config import Config
from cornerstone.files import read_csv, write_csv, write_frames, write_text
from cornerstone.game.coalitions import name, parse
from cornerstone.game.game import Game
from cornerstone.plan import fingerprint
from cornerstone.plan.layout import Layout
from cornerstone.plan.plan import plans
from cornerstone.present.page.source import Source
from tests.helpers import configured, documents, raw

COUNT = 24
"""Documents of each task."""
HOSTILE = "</script><script>alert(1)</script> & <b>“q”</b>"
"""A prompt that would break a page that does not escape it."""


def config_of(folder: Path, models: int = 1, blocks: int = 6, **changes: Any) -> Config:
    """A config of one model, or of two that are compared."""
    tiny = raw()["models"]["tiny"] | {"blocks": blocks}
    entries = {"base": tiny, "tuned-1.5b": tiny | {"id": "/elsewhere"}}
    names = list(entries)[:models]
    settings = {
        "run": names,
        "models": {each: entries[each] for each in names},
        "paths": {"results": f"{folder}/results", "resources": f"{folder}/resources"},
        "value_functions": ["margin"],
        "estimators": [{"kind": "window", "removed": 2}, {"kind": "window", "removed": 1}],
        "compare": [names] if models == 2 else [],
    }
    return configured({**settings, **changes})


def fetch(config: Config) -> Config:
    """Put config and tokenizer of Llama's kind where the models' weights would lie, as if they had been fetched."""
    from tests.tiny import tokenizer  # not above: it imports transformers

    for model in config.run:
        marker = Path(Layout(config).model_marker(model))
        folder = marker.parent / "weights"
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 512}
        blocks = {"num_hidden_layers": config.models[model].blocks, "num_key_value_heads": 2}
        kind = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
        tokenizer().save_pretrained(folder)
        write_text(folder / "config.json", json.dumps(kind | sizes | blocks))
        write_text(marker, json.dumps({"path": str(folder), "content": "made up"}))
    return config


def save(config: Config) -> Config:
    """Write all that the workflow makes of every model before the page."""
    for number, model in enumerate(config.run):
        _save(config, model, number)
    for pair in config.pairs:
        paths = [[Path(Layout(config).values(model, task)) for task in config.scored_tasks] for model in pair]
        frames = compare.comparison(config, pair, (paths[0], paths[1]))
        write_frames(frames, map(Path, Layout(config).compared(pair).values()))
    return config


def _save(config: Config, model: str, number: int) -> None:
    layout, by_task = Layout(config), plans(config, model)
    data = {task: _documents(task) for task in config.scored_tasks}
    values = []
    for task, made in data.items():
        files.write(made, Path(layout.documents_for(model, task)))
        frame = _values(config, model, task, by_task[task].coalitions, number)
        frame.attrs = {"fingerprint": fingerprint.of_values(config, model, task), "documents": made.digest}
        values.append(Path(layout.values(model, task)))
        values[-1].parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(values[-1], index=False)
    write_frames(write.estimates(config, model, values, data), map(Path, layout.estimates(model)))
    floor, top = (Path(layout.csv(model, stem)) for stem in ("baselines", "cornerstones"))
    write_frames(write.relations(config, model, values, floor, top), map(Path, layout.relations(model)))
    write_text(Path(layout.provenance(model)), '{"fingerprint": "0123456789abcdef", "values": {}}')
    if not config.deletion.orders:
        return
    by = read_csv(Path(layout.csv(model, "orders")))
    points = deletion.deletion_points(config, config.models[model].all_players(), by)
    games = {task: _game(config, model, task, points["coalition"].tolist(), number) for task in data}
    write_csv(deletion.deletion_curves(config, model, points, games), Path(layout.csv(model, "deletion")))
    write_csv(deletion.order_quality(config, model, points, games), Path(layout.csv(model, "order_quality")))


def _documents(task: str) -> TaskDocuments:
    rows = [[(f"{HOSTILE} question {i}:", choice) for choice in (" right", " wrong one")] for i in range(COUNT)]
    made = documents(rows, task)
    for document in made.documents:
        object.__setattr__(document, "gold", 0)
    return made


def _weights(config: Config, model: str, number: int) -> np.ndarray:
    """[players] what each adds: the second by far the most, so that there is something to find."""
    count = len(config.models[model].all_players())
    weights = 0.3 * np.random.default_rng(number).random(count)
    weights[1] = 0.6 * weights.sum()
    return weights


def _margins(config: Config, model: str, task: str, coalition: int, number: int) -> np.ndarray:
    """[documents] log-likelihood of the right choice less the wrong one's."""
    weights = _weights(config, model, number)
    kept = np.array([coalition >> place & 1 for place in range(len(weights))])
    threshold = np.random.default_rng([7, len(task)]).random(COUNT) * weights.sum()
    return weights @ kept - threshold


def _values(config: Config, model: str, task: str, coalitions: Any, number: int) -> pd.DataFrame:
    players, rows = config.models[model].all_players(), []
    for coalition in coalitions:
        margin = _margins(config, model, task, coalition, number)
        right = (margin > 0).astype(np.int8)
        who = {"coalition": name(coalition, players), "doc_id": range(COUNT), "cluster": [str(i) for i in range(COUNT)]}
        rows.append(pd.DataFrame({**who, "acc": right, "acc_norm": right, "margin": margin / 10}))
    return pd.concat(rows, ignore_index=True)


def _game(config: Config, model: str, task: str, coalitions: list[int], number: int) -> Game:
    values = {c: (_margins(config, model, task, c, number) > 0).astype(float) for c in coalitions}
    clusters = np.array([str(i) for i in range(COUNT)])
    return Game(config.models[model].all_players(), values, clusters, np.arange(COUNT))


def reader(config: Config) -> Any:
    """Reads the results of coalitions as `evaluate.result.read` does, without files."""

    def read(path: Path) -> Mapping[str, Any]:
        model, task = path.parts[-4], path.parts[-3]
        coalition = parse(path.stem, config.models[model].all_players())
        margin = _margins(config, model, task, coalition, config.run.index(model))
        rows = [[-1.0, -1.0 - float(value)] for value in margin]
        job = {"seconds": 0.1, "device": "cpu", "weights": "resident", "versions": {"torch": "2.13"}}
        model_facts = {"name": model, "source": "folder", "dtype": "float32"}
        return {
            "documents": {"doc_id": list(range(COUNT)), "loglikelihood": rows},
            "provenance": {"fingerprint": "f", "model": model_facts, "jobs": [job]},
        }

    return read


class Told(Source):
    """A model of which some tables are told."""

    tables: dict[str, pd.DataFrame]

    def table(self, stem: str, function: str = "accuracy") -> pd.DataFrame:
        return self.tables[stem] if stem in self.tables else super().table(stem, function)


def told(source: Source, **tables: pd.DataFrame) -> Source:
    """A model of which some tables are these."""
    made = Told(source.config, source.model)
    object.__setattr__(made, "tables", tables)
    return made
