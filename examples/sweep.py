"""The engine on any model and any coalitions, without the workflow: sweep.py FOLDER [COALITION ...]"""

import sys
from pathlib import Path

from cornerstone.engine import encoding, loading, sweep, tries
from cornerstone.engine.network import Network
from cornerstone.game.coalitions import parse
from cornerstone.game.players import alike, players_of

folder, names = Path(sys.argv[1]), sys.argv[2:] or ["full", "drop-attn0", "drop-ffn0", "drop-attn0-ffn0"]
model, tokenizer = loading.load(folder, "float32", "cpu")
blocks, mixture = model.config.num_hidden_layers, hasattr(model.config, "num_experts_per_tok")
players = players_of(alike(blocks, "moe" if mixture else "ffn"))
network = Network(model, players, alike(blocks, "moe" if mixture else "ffn"))

question = "Question: What do bees make?\nAnswer:"
choices = [" honey", " steel", " paper money"]
packed = encoding.encode(model, tokenizer, [[(question, choice) for choice in choices]])
scores = sweep.choice_scores(network, tries.batches(packed, 2048), [parse(name, players) for name in names])
for name, (document,) in zip(names, scores, strict=True):
    print(name, *(f"{choice.strip()}: {score:.2f}" for choice, score in zip(choices, document.tolist(), strict=True)))
