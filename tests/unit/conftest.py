"""What the tests in one process share."""

from __future__ import annotations

import pytest

from simcore import kernels
from simcore.kernels.cuda import team
from tests.emulation.gpu import Gpu


@pytest.fixture(scope="module")
def module_patch():
    """Return a patch that lasts as long as the tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def emulated_gpu(module_patch):
    """Let the backend "cuda" run on the CPU."""
    gpu = Gpu()
    gpu.install(module_patch)
    module_patch.setattr(kernels, "missing_for_gpu", lambda: "")

    # The small networks of the tests have short rows
    module_patch.setattr(team, "FEWEST_SYNAPSES", 1)
    return gpu
