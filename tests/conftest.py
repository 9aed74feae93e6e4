"""What every test shares."""

from __future__ import annotations

import os

import pytest
import torch

pytest.register_assert_rewrite("nasjac.testing")


@pytest.fixture
def device() -> torch.device:
    """The device under test: NASJAC_TEST_DEVICE, the CPU unless it is set."""
    return torch.device(os.environ.get("NASJAC_TEST_DEVICE", "cpu"))
