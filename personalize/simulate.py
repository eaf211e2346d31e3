"""Clinics with known truth: the demo, the tests and the recovery study stand on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from features.errors import OptionError
from features.panel import Panel
from personalize.simulation.course import run_course
from personalize.simulation.options import PRESETS, ClinicOptions, resolve
from personalize.simulation.people import draw_people
from personalize.simulation.ratings import planned_lengths, rate
from personalize.simulation.tables import make_panel
from personalize.simulation.truth import Truth, collect_truth

__all__ = ["PRESETS", "ClinicOptions", "SimulatedClinic", "Truth", "simulate_clinic"]

# Append new names at the end: the order decides which stream a part draws from, and so every simulated clinic.
STREAMS = ("intake", "staff", "caseload", "effects", "staff_parts", "traits", "levels", "growth", "lengths", "states",
           "noise", "dropout", "errors", "gaps", "dates", "holes", "noise_levels")  # fmt: skip


class SimulatedClinic(NamedTuple):
    """A simulated clinic: what a researcher would have (``panel``), and the ``truth`` behind it."""

    panel: Panel
    truth: Truth


def simulate_clinic(
    preset: str = "nonlinear",
    *,
    n_patients: int = 1000,
    n_sessions: int = 12,
    patients_per_therapist: int = 20,
    random_state: int | np.random.Generator | np.random.SeedSequence | None = 0,
    options: ClinicOptions | Mapping[str, Any] | None = None,
) -> SimulatedClinic:
    r"""Simulate a clinic whose patients differ, in a known way, in how much alliance helps them.

    Parameters
    ----------
    preset : {"nonlinear", "linear", "constant", "null", "uneven", "swinging", "harsh"}
        What the clinic is like where ``options`` does not say otherwise. In "linear" and "nonlinear" intake says
        something of the patients' effects, in "constant" all have the same effect, in "null" none has any; all four
        have feedback and shared trends and perfect ratings. "uneven" is "nonlinear" with outcomes that are noisier in
        some patients than in others; in "swinging" those are the patients with the strongest effects. "harsh" is
        "nonlinear" with everything else on: growth, phases, measurement error, discrete scales, ceiling, missing
        ratings and sessions, drop-out, autocorrelation.
    n_patients : int
    n_sessions : int
        Average planned length of a treatment, in sessions.
    patients_per_therapist : int
        Average caseload.
    random_state : int, Generator, SeedSequence or None
        The same seed gives the same clinic. Every part has its own stream of random numbers: a part that is switched
        off leaves the draws of the others as they were.
    options : ClinicOptions or mapping, optional
        A mapping changes parts of the preset, as in ``{"feedback": 0.0}``. A `ClinicOptions` is complete and takes
        the place of the preset, which is then left out.

    Returns
    -------
    SimulatedClinic
        ``panel``, with columns ``symptoms`` (0–180 points, low is better) and ``alliance`` (item mean, 1–7), and
        ``truth``. Without ``discrete`` (and ``ceiling``) scores are not cut at the ends of their scales.

    Raises
    ------
    OptionError
        For an unknown preset or part, or a value that a part cannot have.

    Notes
    -----
    Patient i of therapist j, sessions t = 1, 2, ..., trends in ``h(t) = log(t) / log(12)``, alliance rated after
    the outcome of its row:

    .. math::

        y_{i,t+1} &= c_{i,t+1} + \rho (y_{it} - c_{it}) + \beta_{it} (A_{it} - m_i) + e_{i,t+1} \\
        A_{it} &= m_i + h(t) r_i + s_{it} \\
        s_{i,t+1} &= \varphi s_{it} + \kappa (y_{i,t+1} - E[y_{i,t+1}]) + w_{i,t+1} \\
        \beta_{it} &= \tau(x_i) + \text{therapist}_j + u_i + \text{phase}_t \\
        c_{it} &= \text{level}_i - h(t) g_i

    with A the true alliance, m trait and s state, y the true outcome, κ the feedback. In the form
    ``y[t+1] = a_i + g(t, x_i) + rho * y[t] + beta_i * A[t] + e`` the course c and the constant ``-beta_i * m_i`` are
    a and g. ``E[y]`` is the outcome expected of this patient had the state stayed at zero. e has SD 5 and
    autocorrelation ``noise_memory``. With ``timing="before"`` the alliance of row t + 1 (not t) moves the outcome of
    row t + 1 and answers that of row t.

    Trait ``m = alliance_mean + paths from intake and therapist + random parts``. Level ``= outcome_mean + 14 severity
    + direct paths + trait_to_outcome * (m - alliance_mean) + random parts``: trait alliance lowers the outcome at
    every session and mediates intake, state alliance moves the next session. Both trends, ``r_i`` of alliance and
    ``g_i`` of symptoms, grow with the same readiness index (expectation and social support at intake).

    Bias that naive estimators of the average effect (-2.5; 0 in "null") show, in outcome points per alliance point:
    20 clinics of 1,000 patients a preset, Monte Carlo error 0.02 to 0.05 (0.10 for own slopes in "harsh"); the table
    is made by ``python -m experiments.benchmarks.naive_bias --seeds 20``.

    ============================================  ======  =========  ========  ======  ======  ========  =====
    estimator                                     linear  nonlinear  constant  null    uneven  swinging  harsh
    ============================================  ======  =========  ========  ======  ======  ========  =====
    pooled regression with lagged outcome          2.15     2.13       2.14     0.39    2.14    2.13      2.16
    patient effects, lag, no correction            0.09     0.10       0.07     0.14    0.10    0.09      0.50
    patient effects, alliance of the same session -1.40    -1.43      -1.29    -2.98   -1.40   -1.50     -1.24
    mean of the patients' own slopes              -1.83    -1.82      -1.80    -1.68   -1.79   -1.77     -1.94
    ============================================  ======  =========  ========  ======  ======  ========  =====

    Examples
    --------
    >>> panel, truth = simulate_clinic("linear", n_patients=40, random_state=1)
    >>> panel.n_patients, panel.n_therapists
    (40, 2)
    >>> sorted(simulate_clinic("null", n_patients=40).truth.patients["effect"].unique().tolist())
    [0.0]
    """
    o = resolve(preset, options)
    n = _whole("n_patients", n_patients)
    usual = _whole("n_sessions", n_sessions)
    rng = _streams(random_state)
    people = draw_people(o, n, _whole("patients_per_therapist", patients_per_therapist), rng)
    planned = planned_lengths(n, usual, o.length_spread, rng["lengths"])
    course = run_course(o, people, n_sessions=int(planned.max()), usual=usual, states=rng["states"], noise=rng["noise"])
    ratings = rate(o, course, planned, dropout=rng["dropout"], errors=rng["errors"], gaps=rng["gaps"])
    panel = make_panel(o, people, ratings, dates=rng["dates"], holes=rng["holes"])
    return SimulatedClinic(panel, collect_truth(o, people, course, ratings, panel))


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise OptionError(f"{name}={value!r} is not allowed; it must be a whole number from 1.")
    return int(value)


def _streams(random_state: Any) -> dict[str, np.random.Generator]:
    try:
        children = np.random.default_rng(random_state).spawn(len(STREAMS))
    except (TypeError, ValueError) as problem:
        raise OptionError(
            f"random_state={random_state!r} is not allowed; it must be a whole number from 0, a Generator or None."
        ) from problem
    return dict(zip(STREAMS, children, strict=True))
