"""Inputs on one scale, for the members that are linear in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST = 8.0  # SDs: values further out count as this far


def standardised(values: NDArray[Any], center: Floats, scale: Floats) -> Floats:
    """A constant, then inputs with mean 0 and SD 1; missing is 0; shape (n_rows, n_inputs + 1)."""
    inner = np.clip((values - center) / scale, -MOST, MOST)
    return np.column_stack([np.ones(len(values)), np.nan_to_num(inner, nan=0.0)])


def center_and_scale(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and SD of each column over its known values; 0 and 1 where there are none, SD 1 where nothing varies."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, values, 0.0).sum(axis=0, dtype=float) / count
    squares = np.where(known, (values - center) ** 2, 0.0).sum(axis=0, dtype=float) / count
    return center, np.where(squares > 1e-24, np.sqrt(squares), 1.0)
