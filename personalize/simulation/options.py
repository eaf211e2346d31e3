"""What a simulated clinic consists of, one switch a part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from features.errors import OptionError, check_option
from features.panel import Timing

_SHARES = ("dropout", "missing_alliance", "missing_outcome", "missing_sessions", "missing_intake")
_AMOUNTS = (
    "linear_moderators",
    "nonlinear_moderators",
    "patient_effect_sd",
    "therapist_effect_sd",
    "trait_sd",
    "therapist_alliance_sd",
    "state_sd",
    "level_sd",
    "therapist_outcome_sd",
    "growth_sd",
    "noise_sd",
    "noise_spread",
    "alliance_sem",
    "outcome_sem",
    "length_spread",
    "caseload_spread",
)
_MEMORIES = ("state_memory", "persistence", "noise_memory", "trait_level_correlation", "noise_effect_correlation")
_SWITCHES = ("discrete", "ceiling", "dates")


@dataclass(frozen=True)
class ClinicOptions:
    """Every part of a simulated clinic; the defaults are the preset "nonlinear".

    Outcome points are points of a 0–180 symptom score, alliance points those of an item mean from 1 to 7. A zero
    switches a part off.

    Parameters
    ----------
    average_effect : float
        Mean over patients of the effect of state-like alliance, outcome points per alliance point.
    linear_moderators, nonlinear_moderators : float
        SD of the linear and of the nonlinear (thresholds and interactions) part of what intake says about the effect.
    patient_effect_sd, therapist_effect_sd : float
        SD of the random part of the effect between patients and between therapists.
    phase_change : float
        How much the effect changes from the first to the last session of a treatment of average length.
    baseline_to_trait : float
        Multiplies the paths from intake and therapist characteristics to trait alliance (1: as in `TRAIT_PATHS`).
    trait_to_outcome : float
        Outcome points per point of trait alliance, at every session.
    baseline_to_outcome : float
        Multiplies the direct paths from intake and therapist characteristics to the outcome (1: as in `OUTCOME_PATHS`).
    trait_level_correlation : float
        Correlation of the random parts of trait alliance and outcome level: confounding of the trait's path.
    alliance_mean : float
        Mean trait alliance.
    trait_sd, therapist_alliance_sd : float
        SD of the random part of trait alliance between patients and between therapists.
    state_sd : float
        SD of the state within a patient (before feedback).
    state_memory : float
        Autoregression of the state from one session to the next.
    feedback : float
        Alliance points per outcome point: how a patient whose symptoms stand above the expected course rates.
    alliance_rise, alliance_rise_baseline : float
        Rise of alliance from the first to the twelfth session: for everybody, and per SD of the intake readiness index.
    outcome_mean : float
        Mean outcome at the first session.
    severity_to_level : float
        Outcome points per SD of severity at intake.
    level_sd, therapist_outcome_sd : float
        SD of the random part of the outcome's level between patients and between therapists.
    symptom_gain, symptom_gain_baseline : float
        Improvement from the first to the twelfth session: for everybody, and per SD of the same readiness index.
    growth_sd : float
        SD of the random part of that improvement between patients.
    persistence : float
        Autoregression of the outcome (rho).
    noise_sd, noise_memory : float
        SD (root mean square over patients) and autocorrelation of the session noise.
    noise_spread : float
        SD of the logarithm of the patients' own noise SDs; 0: the same noise for all.
    noise_effect_correlation : float
        Correlation of that logarithm with the patients' effects; below zero those with the most helpful alliance (where
        a low outcome is better) have the noisiest outcomes.
    alliance_sem, outcome_sem : float
        Standard error of measurement of one rating.
    discrete : bool
        Twelve-item means for alliance, whole points for the outcome, both inside their ranges.
    ceiling : bool
        Alliance is rated from 1 to 7 and no further.
    missing_alliance, missing_outcome, missing_sessions : float
        Share of ratings, and of whole sessions (never the first), missing at random.
    missing_intake : float
        Share of values missing in the intake columns that are questionnaires.
    dropout, dropout_course : float
        Hazard of leaving after each session from the third on, and how many log odds a worsening of 10 outcome points
        since the first session, or an alliance one state SD below its expected course, adds.
    length_spread : float
        Coefficient of variation of the planned treatment lengths; 0: all alike.
    caseload_spread : float
        Coefficient of variation of the therapists' caseloads; 0: all alike.
    timing : {"after", "before"}
        Whether alliance is rated after or before the outcome of its row.
    dates : bool
        Whether sessions carry calendar dates.

    Raises
    ------
    OptionError
        When a value is not finite or outside what it can be.
    """

    average_effect: float = -2.5
    linear_moderators: float = 0.0
    nonlinear_moderators: float = 1.6
    patient_effect_sd: float = 1.0
    therapist_effect_sd: float = 0.5
    phase_change: float = 0.0
    baseline_to_trait: float = 1.0
    trait_to_outcome: float = -4.0
    baseline_to_outcome: float = 1.0
    trait_level_correlation: float = 0.0
    alliance_mean: float = 4.8
    trait_sd: float = 0.5
    therapist_alliance_sd: float = 0.2
    state_sd: float = 0.45
    state_memory: float = 0.4
    feedback: float = -0.02
    alliance_rise: float = 0.35
    alliance_rise_baseline: float = 0.1
    outcome_mean: float = 80.0
    severity_to_level: float = 14.0
    level_sd: float = 11.0
    therapist_outcome_sd: float = 4.4
    symptom_gain: float = 12.0
    symptom_gain_baseline: float = 3.0
    growth_sd: float = 0.0
    persistence: float = 0.4
    noise_sd: float = 5.0
    noise_memory: float = 0.0
    noise_spread: float = 0.0
    noise_effect_correlation: float = 0.0
    alliance_sem: float = 0.0
    outcome_sem: float = 0.0
    discrete: bool = False
    ceiling: bool = False
    missing_alliance: float = 0.0
    missing_outcome: float = 0.0
    missing_sessions: float = 0.0
    missing_intake: float = 0.04
    dropout: float = 0.0
    dropout_course: float = 0.5
    length_spread: float = 0.35
    caseload_spread: float = 0.0
    timing: Timing = "after"
    dates: bool = False

    def __post_init__(self) -> None:
        check_option("timing", self.timing, ("after", "before"))
        for name in (f.name for f in fields(self) if f.name != "timing"):
            value = getattr(self, name)
            if name in _SWITCHES:
                check_option(name, value, (True, False))
            elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise OptionError(f"{name}={value!r} is not allowed; it must be a finite number.")
        _check(self, _SHARES, "a share from 0 to below 1", lambda v: 0 <= v < 1)
        _check(self, _AMOUNTS, "0 or more", lambda v: v >= 0)
        _check(self, _MEMORIES, "above -1 and below 1", lambda v: -1 < v < 1)


def _check(options: ClinicOptions, names: tuple[str, ...], expected: str, holds: Any) -> None:
    for name in names:
        value = getattr(options, name)
        if not holds(value):
            raise OptionError(f"{name}={value!r} is not allowed; it must be {expected}.")


_NOTHING_VARIES = replace(
    ClinicOptions(), nonlinear_moderators=0.0, linear_moderators=0.0, patient_effect_sd=0.0, therapist_effect_sd=0.0
)

PRESETS: Mapping[str, ClinicOptions] = {
    "linear": replace(ClinicOptions(), linear_moderators=1.6, nonlinear_moderators=0.0),
    "nonlinear": ClinicOptions(),
    "constant": _NOTHING_VARIES,
    "null": replace(_NOTHING_VARIES, average_effect=0.0),
    "uneven": replace(ClinicOptions(), noise_spread=0.5),
    "swinging": replace(ClinicOptions(), noise_spread=0.5, noise_effect_correlation=-0.6),
    "harsh": ClinicOptions(
        phase_change=1.0,
        alliance_mean=5.5,
        growth_sd=5.0,
        noise_memory=0.2,
        alliance_sem=0.2,
        outcome_sem=2.0,
        discrete=True,
        ceiling=True,
        missing_alliance=0.1,
        missing_outcome=0.05,
        missing_sessions=0.05,
        missing_intake=0.08,
        dropout=0.03,
        length_spread=0.5,
        caseload_spread=0.5,
    ),
}


def resolve(preset: str, options: ClinicOptions | Mapping[str, Any] | None) -> ClinicOptions:
    """Put preset and options together: a mapping changes parts of the preset, a `ClinicOptions` takes its place."""
    check_option("preset", preset, tuple(PRESETS))
    if options is None:
        return PRESETS[preset]
    if isinstance(options, ClinicOptions):
        if preset != "nonlinear":
            raise OptionError(
                f"preset={preset!r} and a complete ClinicOptions were both given; to change parts of a preset pass "
                "options={'feedback': 0.0}, or pass the ClinicOptions without a preset."
            )
        return options
    if not isinstance(options, Mapping):
        raise OptionError(f"options must be a ClinicOptions or a mapping of parts to values; {options!r} came.")
    known = {f.name for f in fields(ClinicOptions)}
    for name in options:
        if name not in known:
            raise OptionError(f"options: there is no part {name!r}; there are {', '.join(sorted(known))}.")
    return replace(PRESETS[preset], **options)
