"""What a coalition can be worth on a document: the names of metrics and of value functions.

How each is computed stands in `evaluate.scoring`.
"""

from __future__ import annotations

SHARES = ("acc", "acc_norm", "acc_bytes", "exact_match")
"""Metrics of lm-eval whose mean over documents is a share of them: each document counts as 0 or 1."""
LOGARITHMS = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")
"""Metrics of lm-eval that are no mean over documents. A coalition is worth the negative logarithm, which is one: -ln of
a perplexity, and -1 times the bits per byte (bits are a logarithm already). Higher is better, as for the others."""
GREEDY = ("exact_match",)
"""Metrics of multiple choice that need to know whether a choice is what the model would write by itself."""

SOFT = "soft-accuracy"
"""The probability that a softmax over the choices gives to the right ones."""
PER = {"character": "characters", "byte": "bytes", "token": "tokens", "word": "words"}
"""By what a log-likelihood can be divided: the unit in the name of a value function -> what is counted."""


def per(unit: str) -> str:
    """The name of the log-likelihood per unit of `PER` as a value function."""
    return f"log-probability-per-{unit}"
