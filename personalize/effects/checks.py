"""What `AllianceEffect` needs before it estimates anything, and what it says when it is not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from features import outliers
from features.errors import NotEnoughData, OptionError, check_level, check_seed, listed
from features.panel import Panel
from personalize.effects.adjusted import KAPPA0, PHI, Errors
from personalize.effects.average import FEWEST_STEPS, FEWEST_TO_CORRECT, Average
from personalize.effects.posterior import Posterior
from personalize.effects.transitions import Grid, Transitions

LEVEL_OF_TEST = 0.05
TRENDS_SHOWN = 2.0 / float(chi2.ppf(0.95, 2))  # weight of the average with trends where the difference has p = .05
LOWEST_RELIABILITY = 0.3
FEWEST_WITH_STEPS = 10
TYPICAL_RELIABILITY = 0.95  # of a total score; only for the note on what a correction would change
FEWEST_CLUSTERS = 10  # therapists below which patients are the clusters of standard errors


def holm(p_any: float, p_intake: float, *, detected: bool) -> str:
    """Words for a reader who sees a p below `LEVEL_OF_TEST` beside "not shown"; none otherwise."""
    if detected or not min(p_any, p_intake) < LEVEL_OF_TEST:
        return ""
    return f"; two tests, so Holm's correction asks the smaller one for {LEVEL_OF_TEST / 2:g}"


def clusters(panel: Panel, notes: list[str]) -> NDArray[np.intp]:
    """Clusters of standard errors: therapists, or patients where there are too few therapists to count on."""
    n = len(np.unique(panel.clusters))
    if n >= FEWEST_CLUSTERS:
        return panel.clusters
    if panel.n_therapists > 1:
        notes.append(
            f"With {panel.n_therapists} therapists standard errors are clustered by patient; they leave out what "
            "therapists have in common."
        )
    return np.arange(panel.n_patients)


def options(level: float, random_state: int) -> None:
    """Check the estimator's plain options."""
    check_level("level", level)
    check_seed("random_state", random_state)


def named_moderators(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Columns of the intake table that may moderate the effect: those named, or all of them."""
    if names is None:
        return table
    if isinstance(names, str) or not len(names):
        raise OptionError(
            f"moderators={names!r} is not allowed; give a list of intake columns, or None for all of them."
        )
    if unknown := [name for name in names if name not in table.columns]:
        allowed = f"allowed are {listed(table.columns, 40)}" if len(table.columns) else "there are no intake columns"
        raise OptionError(
            f"moderators: no intake column is called {listed(unknown)}; {allowed}. "
            "Columns of the therapists table are called therapist_ and their name."
        )
    return table[list(dict.fromkeys(names))]


def without_therapists(
    panel: Panel, table: pd.DataFrame, names: Sequence[str] | None, notes: list[str]
) -> pd.DataFrame:
    """Moderators without those that are the same in all patients of a therapist, where therapists are few.

    Below `FEWEST_CLUSTERS` therapists such a column tells therapists apart, and what they differ in by chance would
    pass for something that intake predicts. Columns that were named beforehand stay, with a note.
    """
    units = len(np.unique(panel.clusters))  # a patient without a therapist is one
    if not 1 < units < FEWEST_CLUSTERS or units == panel.n_patients or not len(table.columns):
        return table
    within = table.groupby(panel.clusters).nunique(dropna=False)
    shared = [str(name) for name in table.columns[(within <= 1).all(axis=0)] if table[name].nunique() > 1]
    if not shared:
        return table
    what = f"the same in all patients of a therapist, and there are {panel.n_therapists} therapists"
    if names is not None:
        notes.append(f"{listed(shared)}: {what}; what these say of the effect may be the therapists' own differences.")
        return table
    notes.append(f"Not used as moderators: {listed(shared, 40)} ({what}).")
    return table.drop(columns=shared)


def panel(panel: Panel) -> None:
    """Refuse a panel without an alliance, or one whose alliance cannot have an effect."""
    if not isinstance(panel, Panel):
        raise OptionError(
            f"fit takes a Panel, {type(panel).__name__} came; build one with Panel(...) or read_panel(...)."
        )
    name, table = panel.columns.alliance, panel.names["sessions"]
    if name is None:
        raise NotEnoughData(
            f"{table}: no column plays the role of the alliance; name it with Columns(alliance=...). Forecasts work "
            "without it (TrajectoryForecaster)."
        )
    for role, values, column in (("alliance", panel.alliance, name), ("outcome", panel.outcome, panel.columns.outcome)):
        known = values[np.isfinite(values)]
        if known.size == 0 or np.ptp(known) == 0:
            state = "empty" if known.size == 0 else f"{known[0]:g} in every row"
            raise NotEnoughData(
                f"{table}: column {column!r} (the {role}) is {state}; without variation there is no effect."
            )
    both = np.isfinite(panel.alliance) & np.isfinite(panel.outcome)
    if both.sum() > 2 and abs(np.corrcoef(panel.alliance[both], panel.outcome[both])[0, 1]) > 1 - 1e-10:
        raise NotEnoughData(
            f"{table}: {name!r} and {panel.columns.outcome!r} are the same up to scale; name the alliance column with "
            "Columns(alliance=...)."
        )


def typing_errors(panel: Panel, notes: list[str]) -> None:
    """Say which scores stand alone."""
    roles = ((panel.columns.outcome, panel.outcome), (str(panel.columns.alliance), panel.alliance))
    for name, values in roles:
        notes += outliers.typing_errors(name, values, panel.patient_index, panel.session, panel.patient_ids)


def measurement_errors(
    panel: Panel,
    alliance_sem: float | str | None,
    alliance_reliability: float | None,
    outcome_sem: float | None,
    notes: list[str],
) -> Errors:
    """Standard errors of measurement; off unless given, with a note of what one would change."""
    if alliance_sem is not None and alliance_reliability is not None:
        raise OptionError("give alliance_sem or alliance_reliability, not both.")
    known = panel.alliance_measure
    stated = known.reliability if known is not None else None
    if isinstance(alliance_sem, str):
        if alliance_sem != "measure":
            raise OptionError(f"alliance_sem={alliance_sem!r} is not allowed; give a number, or 'measure'.")
        if stated is None:
            raise OptionError(
                "alliance_sem='measure' needs a measure of the alliance whose reliability the registry states; name "
                "one with Panel(measures=...), or give alliance_sem or alliance_reliability as a number."
            )
        alliance_sem, alliance_reliability = None, stated
    for name, value in (("alliance_sem", alliance_sem), ("outcome_sem", outcome_sem)):
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise OptionError(f"{name}={value!r} is not allowed; give a number from 0, in the units of the data.")
    spread = float(np.nanstd(panel.alliance))
    if alliance_reliability is not None:
        if not 0 < alliance_reliability <= 1:
            raise OptionError(
                f"alliance_reliability={alliance_reliability!r} is not allowed; it lies above 0, up to 1."
            )
        alliance_sem = spread * float(np.sqrt(1 - alliance_reliability))
    if alliance_sem is None:
        assumed = TYPICAL_RELIABILITY if stated is None else stated
        sem, within = spread * float(np.sqrt(1 - assumed)), within_sd(panel, 0.0)
        share = max(1 - (sem / within) ** 2, 0.0) if within > 0 else 0.0
        change = (
            f"effects would be divided by about {share:.2f}, so larger"
            if share >= LOWEST_RELIABILITY
            else "hardly any change within patients would be left to estimate an effect from"
        )
        source = f"the {assumed:g} stated for {known.name}" if known and stated else f"{assumed:g}"
        notes.append(
            f"{panel.columns.alliance} is taken as measured without error, which pulls effects toward zero. If the "
            f"reliability of one rating were {source} (SEM {sem:.2f}), {change}."
        )
    return Errors(float(alliance_sem or 0.0), float(outcome_sem or 0.0))


def within_sd(panel: Panel, sem: float) -> float:
    """Pooled within-patient SD of the alliance, measurement error taken out; 0 where nothing moves."""
    known = np.isfinite(panel.alliance)
    who, values = panel.patient_index[known], panel.alliance[known]
    n = np.bincount(who, minlength=panel.n_patients)
    mean = np.bincount(who, values, panel.n_patients) / np.maximum(n, 1)
    freedom = np.maximum(n - 1, 0).sum()
    variance = ((values - mean[who]) ** 2).sum() / max(freedom, 1) - sem**2
    return float(np.sqrt(max(variance, 0.0)))


def _only_time(panel: Panel, steps: Transitions) -> None:
    """Refuse an alliance that changes from session to session by the same amount in all patients."""
    change = pd.DataFrame(
        {
            "session": steps.session[1:],
            "gap": np.diff(steps.position),
            "change": np.diff(steps.regressors[:, 1]),
        }
    )[np.diff(steps.patient) == 0]
    apart = change.groupby(["session", "gap"])["change"].agg(lambda c: float(np.ptp(c.to_numpy())))
    if len(change) > len(apart) and apart.max() <= 1e-9 * change["change"].abs().max():
        raise NotEnoughData(
            f"{panel.names['sessions']}: {panel.columns.alliance!r} changes within patients along with the session "
            "number alone, so nothing tells its effect from that of time."
        )


def transitions(panel: Panel, grid: Grid, steps: Transitions, notes: list[str]) -> NDArray[np.bool_]:
    """Count who can be used; refuse where nobody can.

    Returns
    -------
    still : bool array of shape (n_patients,)
        Patients with transitions over which the alliance is constant.
    """
    counts = steps.counts
    usable = int((counts > 0).sum())
    if usable < FEWEST_WITH_STEPS:
        raise NotEnoughData(
            f"{panel.names['sessions']}: {usable} patients have {FEWEST_STEPS + 1} usable consecutive sessions "
            f"(outcome and alliance rated); at least {FEWEST_WITH_STEPS} such patients are needed to estimate the "
            "effect of change within patients."
        )
    out = panel.patient_ids[counts == 0]
    if len(out):
        notes.append(
            f"{len(out)} patients have fewer than {FEWEST_STEPS + 1} usable consecutive sessions and tell nothing "
            f"about change (patient {listed(out, 3)}); their effects rest on baseline alone."
        )
    if grid.off_grid:
        notes.append(
            f"{grid.off_grid} sessions do not fall on the usual gap of {grid.gap} between session numbers and were not "
            "used for effects."
        )
    if grid.gap > 1:
        notes.append(f"Sessions are {grid.gap} session numbers apart; 'next session' means {grid.gap} numbers later.")
    low, high = np.full(panel.n_patients, np.inf), np.full(panel.n_patients, -np.inf)
    np.minimum.at(low, steps.patient, steps.regressors[:, 1])
    np.maximum.at(high, steps.patient, steps.regressors[:, 1])
    still = (counts > 0) & (high - low <= 0)
    if still.sum() == usable:
        raise NotEnoughData(
            f"{panel.names['sessions']}: {panel.columns.alliance!r} is constant within every patient; an effect of "
            "change within patients cannot be estimated."
        )
    if usable - still.sum() < FEWEST_WITH_STEPS:
        raise NotEnoughData(
            f"{panel.names['sessions']}: {panel.columns.alliance!r} moves within {usable - still.sum()} patients only; "
            f"at least {FEWEST_WITH_STEPS} such patients are needed to estimate the effect of change within patients."
        )
    _only_time(panel, steps)
    if still.any():
        notes.append(
            f"{still.sum()} patients have a constant {panel.columns.alliance} (patient "
            f"{listed(panel.patient_ids[still], 3)}); their effects rest on baseline alone."
        )
    return np.asarray(still)


def reliability(panel: Panel, average: Average, errors: Errors) -> None:
    """Refuse to divide by a reliability that is hardly above zero."""
    if errors.alliance == 0:
        return
    m = average.kept.moments
    spread, trace = m.cross[:, 1, 1].sum(), m.within.trace.sum()
    share = 1 - errors.alliance**2 * trace / spread
    if share < LOWEST_RELIABILITY:
        raise NotEnoughData(
            f"{panel.names['sessions']}: with a SEM of {errors.alliance:.3g} only {max(share, 0):.0%} of what "
            f"{panel.columns.alliance!r} moves within patients is not measurement error; below "
            f"{LOWEST_RELIABILITY:.0%} an effect cannot be told. Check that alliance_sem is in the units of the column "
            "(item means or sums)."
        )


def short(panel: Panel, average: Average, is_short: bool, notes: list[str]) -> None:
    """Say when the series are too short for the correction, and when the correction had no solution."""
    if is_short:
        would = average.kept.pair[1]
        notes.append(
            f"The series are too short for the short-panel bias correction (the median patient has fewer than "
            f"{FEWEST_TO_CORRECT} usable transitions): the average is uncorrected, its interval is widened by what the "
            f"correction would change (it would give {would:.2f}). So few sessions say little about a single patient: "
            "single effects are mostly the average and baseline."
        )
    elif not average.kept.dynamics.converged:
        notes.append(
            "The short-panel correction had no admissible solution; a one-step correction is used and the interval "
            "widened by its size."
        )
    dynamics = average.kept.dynamics
    if not is_short and not dynamics.estimated[KAPPA0]:
        notes.append(
            "Feedback of the outcome on the alliance could not be estimated (too few steps with the outcomes before a "
            "rating) and counts as none; where there is some, the average is biased."
        )
    elif not is_short and not dynamics.estimated[PHI]:
        notes.append(
            "Two neighbouring sessions seldom both have a rating of the alliance: its memory from one session to the "
            "next counts as none in the short-panel correction."
        )
    if average.removed is not None and average.weight_kept < TRENDS_SHOWN:
        notes.append(
            "The estimates with and without individual trends differ (p < .05): patients follow trends of their own, "
            "or noise changes over treatment. Persistence and the short-panel correction rest mostly on the estimate "
            "that takes trends out; the average takes them out as far as they vary."
        )


def noise_matters(posterior: Posterior, notes: list[str]) -> None:
    """Say so where effects probably go with the noise of the patient's own outcome."""
    weights, sds = posterior.components[0], posterior.grid[:, 3]
    probability = float(weights @ (sds > 0))
    if probability > 0.5:
        notes.append(
            "Effects go with how noisy the patient's own outcome is: one SD more of log noise moves the effect by "
            f"{posterior.noise_slope:+.2f} points (probability {probability:.2f} that it matters at all). Single "
            "effects take this into account; a floor or ceiling of the outcome, and scores that swing more where they "
            "are high, do such things: look at the scores of the patients with the least and with the most noise."
        )
