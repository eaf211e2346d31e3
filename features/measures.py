"""Registry of instruments: range, direction, subscales, cut-off, reliable change, with the source of each number.

The facts stand in ``measures.toml`` beside this file; item wording never does, it is copyrighted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd

from features.errors import OptionError

Better = Literal["low", "high"]
Scoring = Literal["sum", "mean"]
NUMBERS = (
    "minimum",
    "maximum",
    "cutoff",
    "reliable_change",
    "reliability",
    "item_minimum",
    "item_maximum",
    "multiply",
)


@dataclass(frozen=True)
class Measure:
    """One instrument as it is scored in the data at hand.

    Parameters
    ----------
    name : str
        Key in the registry, such as ``"phq9"``.
    title : str
        Full name for tables and reports.
    minimum, maximum : float or None
        Smallest and largest possible score; ``None`` where the range is not known.
    better : {"low", "high"} or None
        Which end of the scale is the healthy (or strong) one.
    cutoff : float or None
        Lowest score of the clinical range (highest, where high is better).
    reliable_change : float or None
        Smallest change that exceeds measurement error, in points.
    reliability : float or None
        Reliability of one total score.
    items : int or None
        Number of items.
    item_minimum, item_maximum : float or None
        Range of one item.
    subscales : mapping of str to tuple of int
        Item numbers of each subscale.
    reversed_items : tuple of int
        Items scored backwards.
    sources : mapping of str to str
        Where each number was read, for which population and at which level, by field name ("range" for minimum, maximum
        and items).
    scoring : {"sum", "mean"}
        How items make the score.
    multiply : float
        What that sum or mean is multiplied by.
    note : str
        What a user should know, above all what is missing here and why.
    """

    name: str
    title: str = ""
    minimum: float | None = None
    maximum: float | None = None
    better: Better | None = None
    cutoff: float | None = None
    reliable_change: float | None = None
    reliability: float | None = None
    items: int | None = None
    item_minimum: float | None = None
    item_maximum: float | None = None
    subscales: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reversed_items: tuple[int, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    scoring: Scoring = "sum"
    multiply: float = 1.0
    note: str = ""

    def __post_init__(self) -> None:
        if self.better not in (None, "low", "high"):
            raise OptionError(f"measure {self.name!r}: better={self.better!r} is not allowed; choose 'low' or 'high'.")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise OptionError(f"measure {self.name!r}: minimum {self.minimum} is not below maximum {self.maximum}.")
        if self.scoring not in ("sum", "mean"):
            raise OptionError(
                f"measure {self.name!r}: scoring={self.scoring!r} is not allowed; choose 'sum' or 'mean'."
            )
        if self.reliability is not None and not 0 < self.reliability < 1:
            raise OptionError(f"measure {self.name!r}: reliability {self.reliability} is not between 0 and 1.")
        low = -float("inf") if self.minimum is None else self.minimum
        high = float("inf") if self.maximum is None else self.maximum
        if self.cutoff is not None and not low <= self.cutoff <= high:
            raise OptionError(f"measure {self.name!r}: cutoff {self.cutoff} is outside the range {low:g}-{high:g}.")
        numbers = [*self.reversed_items, *(item for scale in self.subscales.values() for item in scale)]
        if self.items is not None and any(not 1 <= item <= self.items for item in numbers):
            raise OptionError(f"measure {self.name!r}: item numbers run from 1 to {self.items}; found {numbers}.")


def measure(name: str) -> Measure:
    """Look one instrument up in the registry.

    Raises
    ------
    OptionError
        When the registry does not hold it; the message lists what it holds.

    Examples
    --------
    >>> measure("phq9").maximum
    27.0
    """
    known = registry()
    if name not in known:
        plain = {key.replace("_", ""): key for key in known}
        near = get_close_matches("".join(c for c in str(name).casefold() if c.isalnum()), plain, n=1)
        hint = f" (did you mean {plain[near[0]]!r}?)" if near else ""
        raise OptionError(f"measure {name!r} is not in the registry{hint}; it holds {', '.join(sorted(known))}.")
    return known[name]


@cache
def registry() -> dict[str, Measure]:
    """All instruments of ``measures.toml``, by key."""
    text = files("features").joinpath("measures.toml").read_text(encoding="utf-8")
    return {name: from_table(name, table) for name, table in tomllib.loads(text).items()}


def from_table(name: str, table: Mapping[str, Any]) -> Measure:
    """Build a `Measure` from one TOML table (the registry's own, or one of a user's ``study.toml``)."""
    fields = dict(table)
    for key in NUMBERS:
        if key in fields:
            fields[key] = _number(name, key, fields[key])
    if "subscales" in fields:
        scales = _mapping(name, "subscales", fields["subscales"])
        fields["subscales"] = {scale: _items(name, f"subscales.{scale}", items) for scale, items in scales.items()}
    if "reversed_items" in fields:
        fields["reversed_items"] = _items(name, "reversed_items", fields["reversed_items"])
    if "items" in fields:
        (fields["items"],) = _items(name, "items", [fields["items"]])
    if "sources" in fields:
        fields["sources"] = _mapping(name, "sources", fields["sources"])
    unknown = set(fields) - set(Measure.__dataclass_fields__)
    if unknown:
        allowed = ", ".join(key for key in Measure.__dataclass_fields__ if key != "name")
        raise OptionError(f"measure {name!r}: unknown key {sorted(unknown)[0]!r}; allowed are {allowed}.")
    return Measure(name=name, **fields)


def _number(name: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionError(f"measure {name!r}: {key} must be a number, {value!r} came.")
    return float(value)


def _items(name: str, key: str, value: object) -> tuple[int, ...]:
    whole = [item for item in value if isinstance(item, int)] if isinstance(value, (list, tuple)) else None
    if whole is None or len(whole) != len(value):  # type: ignore[arg-type]
        raise OptionError(f"measure {name!r}: {key} must hold whole item numbers, {value!r} came.")
    return tuple(whole)


def _mapping(name: str, key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(f"measure {name!r}: {key} must be a table of names, {value!r} came.")
    return dict(value)


def overview() -> pd.DataFrame:
    """List all instruments of the registry: one row each, missing where no source was found.

    Returns
    -------
    DataFrame, index name
        title, minimum, maximum, better, cutoff, reliable_change, reliability, items, note.
    """
    shown = ["title", "minimum", "maximum", "better", "cutoff", "reliable_change", "reliability", "items", "note"]
    known = registry()
    table = pd.DataFrame([[getattr(m, key) for key in shown] for m in known.values()], columns=shown)
    table.index = pd.Index(list(known), name="name")
    return table
