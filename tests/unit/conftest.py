"""What the tests in one process share."""

from __future__ import annotations

import pytest

from simcore import kernels
from simcore.kernels.cuda import backend, lack
from tests.emulation.device import EmulatedDevice


@pytest.fixture(scope="module")
def emulated_gpu():
    """Let the backend "cuda" run on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "CupyDevice", EmulatedDevice)
        patch.setattr(kernels, "lack_of_gpu", lambda: "")
        patch.setattr(lack, "free_gpu_bytes", lambda: EmulatedDevice.memory)
        yield
