"""Formulas of reliable change and of the cut-off between the clinical and the functional range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.errors import NotEnoughData, OptionError, check_option
from features.windows import Floats

Method = Literal["jacobson-truax", "edwards-nunnally", "hageman-arrindell"]
CRITICAL: dict[Method, float] = {"jacobson-truax": 1.96, "edwards-nunnally": 1.96, "hageman-arrindell": 1.65}
Norms = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """What the formulas need to know of a scale and a sample.

    Attributes
    ----------
    mean, sd : float
        Of the sample before treatment.
    mean_after, sd_after, correlation : float
        Of the sample after treatment, and between before and after.
    reliability : float
        Of one score.
    """

    mean: float
    sd: float
    mean_after: float
    sd_after: float
    correlation: float
    reliability: float

    @property
    def error(self) -> float:
        """Standard error of measurement, ``sd · sqrt(1 − reliability)``."""
        return float(self.sd * np.sqrt(1 - self.reliability))

    def reliability_at(self, sd: float) -> float:
        """Reliability in a sample with another standard deviation, the error being the same."""
        return float((sd**2 - self.error**2) / sd**2) if sd > 0 else 0.0

    @property
    def reliability_of_difference(self) -> float:
        """Reliability of the difference between before and after (Hageman & Arrindell)."""
        shared = 2 * self.sd * self.sd_after * self.correlation
        before, after = self.sd**2 * self.reliability, self.sd_after**2 * self.reliability_at(self.sd_after)
        differences = self.sd**2 + self.sd_after**2 - shared
        return float((before + after - shared) / differences) if differences > 1e-12 * self.sd**2 else 0.0


def jacobson_truax(before: Floats, after: Floats, scale: Scale) -> Floats:
    """``(after − before) / (√2 · SEM)``. Source: Jacobson & Truax 1991, J Consult Clin Psychol 59, 12-19."""
    index: Floats = (after - before) / (np.sqrt(2) * scale.error)
    return index


def edwards_nunnally(before: Floats, after: Floats, scale: Scale) -> Floats:
    """``(after − [r · (before − M) + M]) / SEM``: from the true score expected of the first one.

    Source: Edwards, Yarvis, Mueller, Zingale & Wagman 1978, Evaluation Quarterly 2; Speer 1992, J Consult Clin
    Psychol 60, 402-408.
    """
    return (after - (scale.reliability * (before - scale.mean) + scale.mean)) / scale.error


def hageman_arrindell(before: Floats, after: Floats, scale: Scale) -> Floats:
    """``((after − before) · r_dd + (M_after − M) · (1 − r_dd)) / (√r_dd · √2 · SEM)``.

    r_dd is the reliability of the difference. Source: Hageman & Arrindell 1999, Behav Res Ther 37, 1169-1193.

    Raises
    ------
    NotEnoughData
        Where the differences are no more reliable than chance (r_dd not positive).
    """
    r = scale.reliability_of_difference
    if not r > 0:
        raise NotEnoughData(
            f"hageman-arrindell: the differences have reliability {r:.2f}; with scores that move no more than their "
            "error the method has no value: use 'jacobson-truax'."
        )
    change = (after - before) * r + (scale.mean_after - scale.mean) * (1 - r)
    index: Floats = change / (np.sqrt(r) * np.sqrt(2) * scale.error)
    return index


INDICES: dict[Method, Callable[[Floats, Floats, Scale], Floats]] = {
    "jacobson-truax": jacobson_truax,
    "edwards-nunnally": edwards_nunnally,
    "hageman-arrindell": hageman_arrindell,
}


def reliable_points(sd: float, reliability: float, critical: float = 1.96) -> float:
    """Points of change beyond measurement error: ``critical · √2 · sd · √(1 − reliability)`` (Jacobson & Truax 1991).

    Examples
    --------
    >>> round(reliable_points(10.5, 0.961), 6)
    5.747681
    """
    check_scale(reliability=reliability, sd=sd)
    return float(critical * np.sqrt(2) * sd * np.sqrt(1 - reliability))


def cutoff_score(clinical: Norms, functional: Norms, kind: Literal["a", "b", "c"] = "c") -> float:
    """Score between the clinical and the functional range, from (mean, SD) of both.

    a: two clinical SDs from the clinical mean toward the functional one; b: two functional SDs from the functional mean
    toward the clinical one; c: ``(SD_c · M_f + SD_f · M_c) / (SD_c + SD_f)``. Source: Jacobson & Truax 1991. (The R
    package clinicalsignificance 2.1 takes the clinical SD in b.)

    Examples
    --------
    >>> cutoff_score((40, 7.5), (60, 7.5))
    50.0
    """
    check_option("kind", kind, ("a", "b", "c"))
    (m_c, sd_c), (m_f, sd_f) = clinical, functional
    toward = 1.0 if m_f > m_c else -1.0
    if kind == "a":
        return float(m_c + toward * 2 * sd_c)
    if kind == "b":
        return float(m_f - toward * 2 * sd_f)
    return float((sd_c * m_f + sd_f * m_c) / (sd_c + sd_f))


def check_scale(*, reliability: float, sd: float | None = None) -> None:
    """Raise `OptionError` unless the reliability lies in (0, 1) and the standard deviation is positive."""
    if not 0 < reliability < 1:
        raise OptionError(f"reliability={reliability!r} is not allowed; give a number between 0 and 1.")
    if sd is not None and not sd > 0:
        raise OptionError(f"sd={sd!r} is not allowed; give a positive number.")
