"""The shape of every experiment: a panel (or a simulated clinic) in, one result out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from experiments.result import ExperimentResult
from features import Panel
from features.errors import NotEnoughData, OptionError, check_option
from personalize.effects.adjusted import Errors
from personalize.simulate import Truth, simulate_clinic

Size = Literal["quick", "full"]
SIZES: tuple[Size, ...] = ("quick", "full")
QUICK_PATIENTS, FULL_PATIENTS = 600, 2000


@dataclass(frozen=True)
class Question:
    """What an experiment is asked.

    Attributes
    ----------
    panel : Panel
    truth : Truth or None
        Known where the panel was simulated.
    size : {"quick", "full"}
        How many resamples, placebos and repetitions.
    random_state : int
    alliance_sem, outcome_sem : float or None
        Standard errors of measurement, as in `AllianceEffect`.
    """

    panel: Panel
    truth: Truth | None = None
    size: Size = "quick"
    random_state: int = 0
    alliance_sem: float | None = None
    outcome_sem: float | None = None

    @property
    def errors(self) -> Errors:
        """Standard errors of measurement, zero where none was given."""
        return Errors(self.alliance_sem or 0.0, self.outcome_sem or 0.0)

    def repeats(self, quick: int, full: int) -> int:
        """Choose a number of repetitions by size."""
        return quick if self.size == "quick" else full

    @property
    def process(self) -> str:
        """What the user calls the process (the alliance column).

        Raises
        ------
        NotEnoughData
            When the panel has no such column.
        """
        name = self.panel.columns.alliance
        if name is None:
            raise NotEnoughData(
                f"{self.panel.names['sessions']}: no column plays the role of the alliance, so this question cannot be "
                "asked; it needs a session-by-session rating of the process, named with Columns(alliance=...)."
            )
        return name

    @property
    def outcome(self) -> str:
        """What the user calls the outcome column."""
        return self.panel.columns.outcome


class Run(Protocol):
    """A runnable experiment."""

    def __call__(
        self,
        panel: Panel | None = None,
        *,
        size: Size = "quick",
        random_state: int = 0,
        truth: Truth | None = None,
        quick: bool | None = None,
        alliance_sem: float | None = None,
        outcome_sem: float | None = None,
        **own: Any,
    ) -> ExperimentResult:
        """Answer the question."""
        ...


def checked_size(size: Size, quick: bool | None, random_state: int) -> Size:
    """Check size and seed; ``quick`` is the command line's word for the size."""
    check_option("size", size, SIZES)
    if isinstance(random_state, bool) or not isinstance(random_state, int) or random_state < 0:
        raise OptionError(f"random_state={random_state!r} is not allowed; give a whole number from 0.")
    return size if quick is None else ("quick" if quick else "full")


def experiment(
    *, preset: str = "nonlinear", options: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., ExperimentResult]], Run]:
    """Make an experiment of a function that answers a `Question`.

    Without a panel it is asked of a simulated clinic (``preset``, ``options``), whose truth is then known. ``quick``
    is the command line's word for the size. Keywords of the function's own pass through.
    """

    def made(answer: Callable[..., ExperimentResult]) -> Run:
        @functools.wraps(answer)
        def run(
            panel: Panel | None = None,
            *,
            size: Size = "quick",
            random_state: int = 0,
            truth: Truth | None = None,
            quick: bool | None = None,
            alliance_sem: float | None = None,
            outcome_sem: float | None = None,
            **own: Any,
        ) -> ExperimentResult:
            chosen = checked_size(size, quick, random_state)
            if panel is None:
                n = QUICK_PATIENTS if chosen == "quick" else FULL_PATIENTS
                panel, truth = simulate_clinic(preset, n_patients=n, random_state=random_state, options=options)
            return answer(Question(panel, truth, chosen, random_state, alliance_sem, outcome_sem), **own)

        return run

    return made
