"""How fast a pruned model is beside the original: both on this machine, in turns, by transformers alone."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cornerstone.errors import ModelError

PROMPT = 512
"""Tokens that are read at once."""
WRITTEN = 32
"""Tokens that are written one by one after them, each with the stored keys and values of all before."""
ROUNDS = 7


@dataclass(frozen=True)
class Speed:
    """Seconds of the pruned model as a share of the original's: (median, least, most) over rounds.

    Attributes:
        prompt: tokens of the prompt.
        reading: of the prompt.
        writing: of `WRITTEN` tokens after it, one by one; None where the model stores no keys and values.
        device: of torch, such as `cpu` or `cuda:0`.
        threads: of torch, on a CPU.
        rounds: how often each model was timed; they take turns.
    """

    prompt: int
    reading: tuple[float, float, float]
    writing: tuple[float, float, float] | None
    device: str
    threads: int
    rounds: int

    def words(self) -> str:
        """A sentence for people."""
        where = self.device if self.device != "cpu" else f"the CPU with {self.threads} thread{'s'[: self.threads > 1]}"
        said = f"it reads a prompt of {self.prompt} tokens in {_share(self.reading)} of the original's time"
        if self.writing is not None:
            said += f" and writes tokens in {_share(self.writing)} of it"
        return f"Measured on {where}: {said} ({self.rounds} rounds, in turns)."

    def facts(self) -> dict[str, Any]:
        """The same as data."""
        return asdict(self)


def _share(found: tuple[float, float, float]) -> str:
    middle, least, most = found
    return f"{middle:.0%} ({least:.0%} to {most:.0%})"


def measured(original: Path, pruned: Path, rounds: int = ROUNDS) -> Speed:
    """Time both models on the first GPU, or on the CPU where there is none; both are in memory at once.

    Args:
        original: folder of the original's weights.
        pruned: folder of the pruned ones.
        rounds: how often.

    Raises:
        ModelError: they don't fit into the GPU's memory.
    """
    import torch

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        runs = [_Timed(folder, device) for folder in (original, pruned)]
        for run in runs:
            run()  # the first one allocates and compiles
        times = [[run() for run in runs] for _ in range(rounds)]
    except torch.OutOfMemoryError as error:
        raise ModelError(f"both models don't fit into the memory of {device}. Leave out --speed.") from error
    # The two of a round are neighbours in time, so that what else the machine does slows both.
    reading = _spread([after[0] / before[0] for before, after in times])
    writing = [after[1] / before[1] for before, after in times if before[1] and after[1]]
    return Speed(runs[0].prompt.shape[1], reading, _spread(writing) if writing else None, device, threads(), rounds)


def threads() -> int:
    """Of torch."""
    import torch

    return torch.get_num_threads()


def _spread(found: list[float]) -> tuple[float, float, float]:
    return statistics.median(found), min(found), max(found)


class _Timed:
    """Seconds of a prompt and of the tokens after it, by transformers alone; the second is 0 without a cache."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", trust_remote_code=False, use_safetensors=True
        )
        self.model = loaded.eval().to(device)
        config = loaded.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None) or PROMPT + WRITTEN
        self.prompt = torch.arange(min(PROMPT, longest - WRITTEN), device=device)[None] % min(config.vocab_size, 1000)

    def clock(self) -> float:
        import torch

        if self.prompt.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def __call__(self) -> tuple[float, float]:
        import torch

        with torch.inference_mode():
            started = self.clock()
            said = self.model(input_ids=self.prompt, use_cache=True)
            read = self.clock()
            if getattr(said, "past_key_values", None) is None:
                return read - started, 0.0
            for _ in range(WRITTEN):
                token = said.logits[:, -1:].argmax(-1)
                said = self.model(input_ids=token, past_key_values=said.past_key_values, use_cache=True)
            return read - started, self.clock() - read
