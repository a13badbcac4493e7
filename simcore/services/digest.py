"""Digests of arrays and descriptions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest_arrays(*arrays: NDArray[Any]) -> str:
    """Return the SHA-256 of the arrays' types, shapes and bytes."""
    sha = hashlib.sha256()
    for array in arrays:
        contiguous = np.ascontiguousarray(array)
        sha.update(f"{contiguous.dtype.str}{contiguous.shape}".encode())
        sha.update(contiguous.data)
    return sha.hexdigest()


def digest_json(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON form of `value`."""
    text = json.dumps(value, sort_keys=True, default=lambda number: number.item())
    return hashlib.sha256(text.encode()).hexdigest()
