"""Registry of instruments: range, direction, subscales, cut-off, reliable change, with the source of each number.

The facts stand in ``measures.toml`` beside this file; item wording never does, it is copyrighted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from features.errors import OptionError

Better = Literal["low", "high"]


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
        Where each number was read, by field name.
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

    def __post_init__(self) -> None:
        if self.better not in (None, "low", "high"):
            raise OptionError(f"measure {self.name!r}: better={self.better!r} is not allowed; choose 'low' or 'high'.")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise OptionError(f"measure {self.name!r}: minimum {self.minimum} is not below maximum {self.maximum}.")


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
        raise OptionError(f"measure {name!r} is not in the registry; it holds {', '.join(sorted(known))}.")
    return known[name]


@cache
def registry() -> dict[str, Measure]:
    """All instruments of ``measures.toml``, by key."""
    text = files("features").joinpath("measures.toml").read_text(encoding="utf-8")
    return {name: from_table(name, table) for name, table in tomllib.loads(text).items()}


def from_table(name: str, table: Mapping[str, Any]) -> Measure:
    """Build a `Measure` from one TOML table (the registry's own, or one of a user's ``study.toml``)."""
    fields = dict(table)
    numbers = ("minimum", "maximum", "cutoff", "reliable_change", "reliability", "item_minimum", "item_maximum")
    for key in numbers:
        if key in fields:
            fields[key] = float(fields[key])
    if "subscales" in fields:
        fields["subscales"] = {scale: tuple(items) for scale, items in fields["subscales"].items()}
    if "reversed_items" in fields:
        fields["reversed_items"] = tuple(fields["reversed_items"])
    unknown = set(fields) - set(Measure.__dataclass_fields__)
    if unknown:
        allowed = ", ".join(key for key in Measure.__dataclass_fields__ if key != "name")
        raise OptionError(f"measure {name!r}: unknown key {sorted(unknown)[0]!r}; allowed are {allowed}.")
    return Measure(name=name, **fields)
