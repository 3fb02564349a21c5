"""Where the tests of parity compute: the CPU, or with `make test-gpu` a GPU."""

from __future__ import annotations

import os

import torch

NAME = os.environ.get("CORNERSTONE_TEST_DEVICE", "cpu")
DEVICE = torch.device(NAME)
