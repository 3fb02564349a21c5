"""Where the tests of parity compute: the CPU, or with `make test-gpu` a GPU."""

from __future__ import annotations

import os

import torch

NAME = os.environ.get("CORNERSTONE_TEST_DEVICE", "cpu")
DEVICE = torch.device(NAME)
if DEVICE.type == "cuda" and not torch.cuda.is_available():
    raise SystemExit(f"torch sees no GPU here, and CORNERSTONE_TEST_DEVICE={NAME} asks for one. Unset it.")
