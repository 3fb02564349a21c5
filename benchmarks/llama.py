"""llama.cpp on the token tries of documents: a process of the environment .venv-peers, started by benchmarks/rivals.py.

It goes through llama.cpp's own interface (`llama_decode`). A batch holds the tries of several documents; each choice is
a sequence, and a token carries the sequences of all choices that share it, so a shared token is computed once. Logits
are asked for only where a token is predicted.

    python -m benchmarks.llama MODEL.gguf TRIES.json     then a line of JSON on standard input for each pass

It imports nothing of Cornerstone, which is not installed there.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_SEQUENCES = 256
"""Of llama.cpp, in one context."""

Document = dict[str, Any]
"""`tokens` and `parents` of a trie's nodes, `targets` (node, token, choice), `choices`: how many there are."""


def sequences(document: Document) -> list[list[int]]:
    """The choices that pass through each node of a trie: those of its targets, and of the nodes behind it."""
    through: list[set[int]] = [set() for _ in document["tokens"]]
    for node, _, choice in document["targets"]:
        through[node].add(choice)
    for node in reversed(range(len(through))):  # parents come first
        if document["parents"][node] >= 0:
            through[document["parents"][node]] |= through[node]
    return [sorted(choices) for choices in through]


def filled(documents: Sequence[Document], most_tokens: int) -> list[list[int]]:
    """Documents of each batch, the longest first: at most so many tokens, and `MOST_SEQUENCES` choices.

    A document goes into the fullest batch that has room for it; one that is too long for any is a batch of its own.
    """
    order = sorted(range(len(documents)), key=lambda i: -len(documents[i]["tokens"]))
    found: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for i in order:
        tokens, choices = len(documents[i]["tokens"]), documents[i]["choices"]
        fits = [b for b, (left, rest) in enumerate(room) if left >= tokens and rest >= choices]
        if fits:
            best = min(fits, key=lambda b: room[b][0])
        else:
            found.append([])
            room.append((most_tokens, MOST_SEQUENCES))
            best = len(found) - 1
        found[best].append(i)
        room[best] = (room[best][0] - tokens, room[best][1] - choices)
    return found


def log_probabilities(logits: np.ndarray, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """log P of each target, [M]: `tokens` [M] at `rows` [M] of logits [R, V], which are overwritten."""
    chosen = logits[rows, tokens]
    largest = logits.max(axis=1)
    np.subtract(logits, largest[:, None], out=logits)
    np.exp(logits, out=logits)
    found: np.ndarray = chosen - (largest + np.log(logits.sum(axis=1)))[rows]
    return found


class Llama:
    """A model in llama.cpp, and documents.

    Args:
        path: of the GGUF.
        documents: their tries.
        most_tokens: of a batch.
        flash: whether attention is llama.cpp's own fused one.
    """

    def __init__(self, path: str, documents: Sequence[Document], most_tokens: int, flash: bool) -> None:
        import llama_cpp

        self.api = llama_cpp
        self._quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.documents = documents
        self.batches = filled(documents, most_tokens)
        longest = max(sum(len(documents[i]["tokens"]) for i in batch) for batch in self.batches)
        settings = llama_cpp.llama_model_default_params()
        settings.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if not self.model:
            raise SystemExit(f"llama.cpp does not read {path}")
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = -(-longest // 256) * 256
        wanted.n_seq_max = MOST_SEQUENCES
        wanted.n_threads = wanted.n_threads_batch = 1
        wanted.kv_unified = True
        wanted.flash_attn_type = int(flash)
        self.context = llama_cpp.llama_init_from_model(self.model, wanted)
        if not self.context:
            raise SystemExit("llama.cpp makes no context of these settings")
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.made = [self._batch(batch) for batch in self.batches]

    def _batch(self, chosen: Sequence[int]) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        """The batch, and of each target its row of logits, its token and its choice in the flat list of choices."""
        count = sum(len(self.documents[i]["tokens"]) for i in chosen)
        batch = self.api.llama_batch_init(count, 0, MOST_SEQUENCES)
        batch.n_tokens = count
        first_choice = np.cumsum([0, *(document["choices"] for document in self.documents)])
        place = sequence = 0
        rows: dict[int, int] = {}
        targets: list[tuple[int, int, int]] = []
        for document, i in ((self.documents[i], i) for i in chosen):
            start, depth = place, [0] * len(document["tokens"])
            predicting = {node for node, _, _ in document["targets"]}
            for node, of in enumerate(sequences(document)):
                parent = document["parents"][node]
                depth[node] = depth[parent] + 1 if parent >= 0 else 0
                batch.token[place], batch.pos[place] = document["tokens"][node], depth[node]
                batch.n_seq_id[place] = len(of)
                for k, choice in enumerate(of):
                    batch.seq_id[place][k] = sequence + choice
                batch.logits[place] = node in predicting
                if node in predicting:
                    rows[place] = len(rows)
                place += 1
            for node, token, choice in document["targets"]:
                targets.append((rows[start + node], token, int(first_choice[i]) + choice))
            sequence += document["choices"]
        row, token, choice = np.array(targets).T
        return batch, row, token, choice

    def scores(self) -> np.ndarray:
        """The log-likelihood of each choice of each document, in the order of documents: one pass over all."""
        found = np.zeros(sum(document["choices"] for document in self.documents))
        memory = self.api.llama_get_memory(self.context)
        for batch, row, token, choice in self.made:
            self.api.llama_memory_clear(memory, False)
            if self.api.llama_decode(self.context, batch):
                raise SystemExit("llama_decode failed")
            count = int(row.max()) + 1
            pointer = self.api.llama_get_logits(self.context)
            address = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * (count * self.vocabulary)))
            logits = np.frombuffer(address.contents, np.float32).reshape(count, self.vocabulary)
            np.add.at(found, choice, log_probabilities(logits, row, token))
        return found


def main() -> None:
    """Answer each line of standard input (`tokens` of a batch, `flash`, `scores`) with a line of JSON."""
    path, tries = sys.argv[1:]
    with open(tries, encoding="utf-8") as file:
        documents = json.load(file)
    made: dict[tuple[int, bool], Llama] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        key = int(asked["tokens"]), bool(asked["flash"])
        if key not in made:
            made[key] = Llama(path, documents, *key)
        started, wall = time.process_time(), time.perf_counter()
        found = made[key].scores()
        answer: dict[str, Any] = {"cpu_s": time.process_time() - started, "wall_s": time.perf_counter() - wall}
        answer["scores"] = found.tolist()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
