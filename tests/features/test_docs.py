"""The documents name every feature, every way to split and every event function."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import events
from features.alliance import SPLITS
from features.congruence import CONGRUENCE
from features.history import DATED, STATISTICS, TIME

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*STATISTICS, *DATED, *CONGRUENCE])
def test_endings(name: str) -> None:
    assert f"`_{name}`" in TEXT


@pytest.mark.parametrize("name", [*TIME, *SPLITS])
def test_names(name: str) -> None:
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_with_formula_source_and_caveat(name: str) -> None:
    way = SPLITS[name]
    assert f"{way.formula} | {way.source} | {way.misleads}" in TEXT


@pytest.mark.parametrize("name", events.__all__)
def test_events(name: str) -> None:
    assert name in TEXT
