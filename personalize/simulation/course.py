"""True alliance and true outcome of every patient, session by session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import OptionError
from personalize.simulation.options import ClinicOptions
from personalize.simulation.people import People

Array = NDArray[np.float64]
BURN_IN = 25  # steps before the first session, so that states and symptoms start in equilibrium
REFERENCE_SESSION = 12  # rises and gains are stated as reached at this session


@dataclass(frozen=True)
class Course:
    """What truly happened, on file or not; arrays of shape (n_sessions, n_patients) unless stated.

    Parameters
    ----------
    alliance, outcome : array
        True values.
    rise, state : array
        Expected rise of alliance since the first session, and the deviation from trait plus rise.
    course : array
        Level minus gain so far: the outcome's course if alliance stayed at its trait level.
    expected_outcome : array
        The outcome's course if alliance kept to its expected course: ``course`` plus what the rise brings.
    phase : array of shape (n_sessions,)
        What the phase of treatment adds to everybody's effect.
    """

    alliance: Array
    outcome: Array
    rise: Array
    state: Array
    course: Array
    expected_outcome: Array
    phase: Array


def growth_shape(n_sessions: int) -> Array:
    """Time course of every trend, ``log(t) / log(12)``: 0 at the first session and 1 at the twelfth."""
    return np.asarray(np.log(np.arange(1, n_sessions + 1)) / np.log(REFERENCE_SESSION))


def phase_shape(n_sessions: int, usual: int) -> Array:
    """From -0.5 at the first to +0.5 at the last session of a treatment of usual length, flat after it."""
    position = np.arange(n_sessions) / max(usual - 1, 1)
    return np.asarray(np.minimum(position, 1.0) - 0.5)


def run_course(
    o: ClinicOptions,
    people: People,
    *,
    n_sessions: int,
    usual: int,
    states: np.random.Generator,
    noise: np.random.Generator,
) -> Course:
    """Run the two equations over sessions, all patients at once.

    They are run as deviations from the expected course: with ``v`` the outcome's deviation and ``s`` the state, where
    alliance is rated after the outcome of its row,

    ``v[t+1] = persistence * v[t] + effect[t] * s[t] + e[t+1]`` and
    ``s[t+1] = state_memory * s[t] + feedback * v[t+1] + w[t+1]``;

    where it is rated before, ``s[t]`` comes first and moves ``v[t]``.

    Parameters
    ----------
    o : ClinicOptions
    people : People
    n_sessions : int
        Sessions to run.
    usual : int
        Average length of a treatment, which the phases are stated for.
    states, noise : Generator
        Sources of the innovations ``w`` of the state and of the session noise ``e``.

    Raises
    ------
    OptionError
        When feedback, memory and effect together make a patient's course explode.
    """
    phase = o.phase_change * phase_shape(n_sessions, usual)
    _check_stable(o, people.effect, phase)
    effects = people.effect + phase[:, None]
    trend = growth_shape(n_sessions)[:, None]
    course, rises = people.level - trend * people.gain, trend * people.rise
    e_scale = people.noise_sd * np.sqrt(1 - o.noise_memory**2)
    w_scale = o.state_sd * np.sqrt(1 - o.state_memory**2)

    deviation, state, by_rise = (np.empty_like(course) for _ in range(3))
    n = len(people.level)
    e = people.noise_sd * noise.standard_normal(n)
    s = o.state_sd * states.standard_normal(n)
    v, r = np.zeros(n), np.zeros(n)
    for step in range(-BURN_IN, n_sessions):
        e = o.noise_memory * e + e_scale * noise.standard_normal(n)
        w = w_scale * states.standard_normal(n)
        if o.timing == "before":
            s = o.state_memory * s + o.feedback * v + w
            moving = max(step, 0)
        else:
            moving = max(step - 1, 0)
        v = o.persistence * v + effects[moving] * s + e
        if o.timing == "after":
            s = o.state_memory * s + o.feedback * v + w
        if step >= 0:
            r = o.persistence * r + effects[moving] * rises[moving]
            deviation[step], state[step], by_rise[step] = v, s, r
    expected = course + by_rise
    return Course(people.trait + rises + state, expected + deviation, rises, state, course, expected, phase)


def _check_stable(o: ClinicOptions, effect: Array, phase: Array) -> None:
    """Both roots of the two-equation system must lie inside the unit circle, for every patient and phase.

    Its determinant is ``persistence * state_memory``, so that holds where ``|trace| < 1 + determinant``.
    """
    extremes = np.array([effect.min() + phase.min(), effect.max() + phase.max()])
    trace = o.persistence + o.state_memory + o.feedback * extremes
    worst = float(extremes[np.argmax(np.abs(trace))])
    if np.abs(trace).max() >= 1 + o.persistence * o.state_memory:
        raise OptionError(
            f"feedback={o.feedback!r} with an effect of {worst:.2f}, persistence={o.persistence!r} and "
            f"state_memory={o.state_memory!r} makes symptoms and alliance drive each other without end; bring feedback "
            "nearer to 0."
        )
