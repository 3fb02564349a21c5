"""Settings of the property tests: the same examples on every machine, however busy it is."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("cornerstone", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("cornerstone")


@pytest.fixture(scope="package", autouse=True)
def _one_thread(_threads: None) -> None:
    torch.set_num_threads(1)
