"""Shared fixtures. Real data is optional: tests that want it skip, saying so, where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the optional real data sets (environment variable PERSONALIZE_DATA, default ../shared/data)."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("PERSONALIZE_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set PERSONALIZE_DATA to run this check")
    return folder
