"""What a feature declares about itself, above all what it has seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from features.errors import LeakageError, OptionError, check_option, listed

Seen = Literal["past", "whole"]
GROUPS = (
    "baseline patient",
    "baseline therapist",
    "trait alliance",
    "state alliance",
    "outcome history",
    "time",
    "covariates",
)
WHOLE = "__whole"  # ends the name of every feature that has seen the whole treatment, and of no other


@dataclass(frozen=True)
class Feature:
    """Declaration of one column of a feature table.

    Parameters
    ----------
    name : str
        Column name. Names of features that have seen the whole treatment end in ``__whole``.
    group : str
        One of `GROUPS`.
    seen : {"past", "whole"}
        "past": intake and the sessions up to the landmark, this one included. "whole": the whole treatment.
    unit : str
    description : str
    """

    name: str
    group: str
    seen: Seen
    unit: str
    description: str

    def __post_init__(self) -> None:
        check_option("group", self.group, GROUPS)
        check_option("seen", self.seen, ("past", "whole"))
        if self.name.endswith(WHOLE) != (self.seen == "whole"):
            raise OptionError(f"feature {self.name!r}: names end in {WHOLE!r} exactly where seen='whole'.")


def require_past(features: pd.DataFrame | Iterable[object]) -> None:
    """Refuse a feature table, or its column names, that holds anything seen from the whole treatment.

    Raises
    ------
    LeakageError
        Names the columns. A forecast made from them would know the future.

    Examples
    --------
    >>> require_past(["wai_mean", "wai_last"])
    """
    whole = [name for name in features if isinstance(name, str) and name.endswith(WHOLE)]
    if whole:
        raise LeakageError(
            f"features: {listed(whole)} {'has' if len(whole) == 1 else 'have'} seen the whole treatment, which a "
            "forecast cannot know; build the table with seen='past', or drop these columns."
        )
