"""The engine on any model and any coalitions, without the workflow: sweep.py FOLDER [COALITION ...]"""

import sys
from pathlib import Path

from cornerstone.engine import encoding, loading, sweep
from cornerstone.engine.batching import batches_for
from cornerstone.engine.network import Network
from cornerstone.engine.structure import kinds_of
from cornerstone.game.coalitions import parse
from cornerstone.game.players import players_of

folder, names = Path(sys.argv[1]), sys.argv[2:] or ["full", "drop-attn0", "drop-ffn0", "drop-attn0-ffn0"]
model, tokenizer = loading.load(folder, "float32", "cpu")
players = players_of(kinds_of(model))
network = Network(model, players)

question = "Question: What do bees make?\nAnswer:"
choices = [" honey", " steel", " paper money"]
packed = encoding.encode(model, tokenizer, [[(question, choice) for choice in choices]])
scores = sweep.choice_scores(network, batches_for(model, packed, 2048), [parse(name, players) for name in names])
for name, (document,) in zip(names, scores, strict=True):
    print(name, *(f"{choice.strip()}: {score:.2f}" for choice, score in zip(choices, document.tolist(), strict=True)))
