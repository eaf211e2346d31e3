"""Find experiments by their entry points, so that this package never imports them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from features import Panel
from features.errors import OptionError

GROUP = "personalize.experiments"
LONG_RUN = {"n_jobs": "--jobs", "checkpoint": "--checkpoint", "dask": "--dask"}


class Finding(Protocol):
    """What an experiment returns.

    Attributes
    ----------
    text : str
        Claim, table, sentence, falsification check and notes, to be read in the terminal.
    """

    text: str

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write tables, text and figure into a folder."""
        ...


class Experiment(Protocol):
    """One question.

    Without a panel it is asked of a simulated clinic, whose truth is known; ``quick`` asks for a small size. Standard
    errors of measurement are as in `AllianceEffect`. Some also take options of long runs, ``progress``, or the
    ``folder`` into which they write what is done as they go.
    """

    def __call__(
        self,
        panel: Panel | None = None,
        *,
        random_state: int = 0,
        quick: bool | None = None,
        alliance_sem: float | None = None,
        outcome_sem: float | None = None,
        **options: Any,
    ) -> Finding:
        """Answer the question."""
        ...


def find_experiment(name: str) -> Experiment:
    """Load an experiment by its name; hyphens and underscores are the same.

    Raises
    ------
    OptionError
        When there is none of this name; the message lists those there are.
    """
    known = _known()
    wanted = name.replace("_", "-")
    if wanted not in known:
        there = ", ".join(sorted(known)) or "none is installed"
        raise OptionError(f"experiment {name!r} is not known; there is {there}.")
    loaded: Any = known[wanted].load()
    found: Experiment = loaded
    return found


def takes(ask: Experiment, option: str) -> bool:
    """Whether an experiment has this keyword beside those that all have."""
    return option in inspect.signature(ask).parameters


def long_run_options(ask: Experiment, given: Mapping[str, object]) -> dict[str, object]:
    """Keep those options of long runs that were given; only some experiments take them.

    Parameters
    ----------
    ask : Experiment
    given : mapping
        Value by keyword of `LONG_RUN`; None where it was not given.

    Raises
    ------
    OptionError
        When one was given that this experiment does not take; the message lists those that do.
    """
    used = {option: value for option, value in given.items() if value is not None}
    for option in used:
        if not takes(ask, option):
            able = [name for name, point in sorted(_known().items()) if takes(point.load(), option)]
            raise OptionError(
                f"{LONG_RUN[option]}: not an option of this experiment, but of {', '.join(able) or 'none'}."
            )
    return used


def listed_experiments() -> str:
    """Names of the experiments and the first line of what each asks."""
    lines = []
    for name, point in sorted(_known().items()):
        text = (point.load().__doc__ or "").strip().splitlines()
        lines.append(f"{name:<20} {text[0] if text else ''}".rstrip())
    return "\n".join(lines) or "No experiment is installed."


def _known() -> dict[str, EntryPoint]:
    return {point.name.replace("_", "-"): point for point in entry_points(group=GROUP)}
