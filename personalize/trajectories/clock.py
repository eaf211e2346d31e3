"""How far apart sessions are: the unit in which a forecast's horizon is counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.panel import Panel

Floats = NDArray[np.float64]

SMALLEST_GAP = 0.25  # two sessions on one day are still apart; a horizon of zero has no logarithm


@dataclass(frozen=True)
class Clock:
    """Typical rhythm of a panel's sessions.

    Parameters
    ----------
    timed : bool
        Whether the panel has a time column; horizons are then counted in time, else in session numbers.
    interval : float
        Median step between two sessions of a patient, in units of the time column (or session numbers).
    session_step : float
        Median step of the session numbers.
    first_time, first_session : float
        Median time and number of a patient's first session.
    """

    timed: bool
    interval: float
    session_step: float
    first_time: float
    first_session: float

    @classmethod
    def of(cls, panel: Panel) -> Clock:
        """Read the rhythm off a panel; one interval is 1 where no patient has two sessions."""
        same = panel.patient_index[1:] == panel.patient_index[:-1]
        firsts = panel.offsets[:-1][panel.sessions_per_patient > 0]
        return cls(
            timed=panel.columns.time is not None,
            interval=_median_step(panel.time, same),
            session_step=_median_step(panel.session.astype(float), same),
            first_time=float(np.median(panel.time[firsts])) if len(firsts) else 0.0,
            first_session=float(np.median(panel.session[firsts])) if len(firsts) else 1.0,
        )

    @property
    def intake_time(self) -> float:
        """Time at which a patient without sessions stands: one interval before a first session."""
        return self.first_time - self.interval

    @property
    def intake_session(self) -> float:
        """Session number at which a patient without sessions stands."""
        return self.first_session - self.session_step

    def gap(self, now: Floats, then: Floats) -> Floats:
        """Horizon from time ``now`` to time ``then`` in typical intervals; NaN stays NaN."""
        return np.maximum((then - now) / self.interval, SMALLEST_GAP)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def _median_step(values: Floats, same_patient: NDArray[np.bool_]) -> float:
    steps = np.diff(values)[same_patient]
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 1.0
