"""From tables to models, explanation and report: for whom, when and why a stronger alliance helps."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AllianceEffect": "personalize.effects.alliance_effect",
    "TrajectoryForecaster": "personalize.trajectories.forecast",
    "read_panel": "personalize.files",
    "simulate_clinic": "personalize.simulate",
}

__all__ = ["AllianceEffect", "TrajectoryForecaster", "explain", "read_panel", "simulate_clinic"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that ``personalize --help`` does not wait for LightGBM."""
    if name == "explain":
        return import_module("personalize.explain")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'personalize' has no attribute {name!r}")
