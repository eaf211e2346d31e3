"""How much each patient's outcome depends on change in the alliance: the estimator that orchestrates this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import ndtr
from sklearn.base import BaseEstimator

from features.errors import NotEnoughData, NotFitted, PanelError
from features.panel import Panel
from personalize.effects import checks, sensitivity, storage
from personalize.effects.adjusted import Errors
from personalize.effects.first_stage import FirstStage, first_stage
from personalize.effects.intake import intake_matrix, therapist_table
from personalize.effects.moderators import FEWEST_PATIENTS, Moderators, fit_moderators
from personalize.effects.own_slopes import OwnSlopes
from personalize.effects.posterior import mixture_quantile
from personalize.effects.shrinkage import Patients, draw, shrink, standardised_noise, summarise
from personalize.effects.similar import similar_shift
from personalize.effects.tables import average_table, effects_table, heterogeneity_table
from personalize.effects.transitions import Floats, Ints
from personalize.effects.validation import orthogonal_scores, validation_table

MOST_DRAWN, TOP_DRAWS = 4_000_000, (400, 4000)  # effects drawn for p_top_fifth; fewest and most draws of each


class AllianceEffect(BaseEstimator):  # type: ignore[misc]
    """Per-patient effect of state-like alliance on the next outcome, with honest intervals.

    Estimand: β_i, expected change of the outcome at the next session per +1 unit of patient i's alliance at this
    session, given what came before:

        y[t+1] = a_i + g(time, x_i) + ρ·y[t] + β_i·alliance[t] + e,    β_i = γ0 + τ(x_i) + therapist_j + u_i

    Steps: within transform and partialling out (`within`), short-panel correction by adjusted scores (`adjusted`,
    `average`), own slopes (`own_slopes`), moderators (`moderators`), two tests of heterogeneity (`heterogeneity`),
    three-level shrinkage integrated over the variance components (`shrinkage`), with fewer than 600 patients what
    similar patients add (`similar`). Observational: a confounder that moves alliance and outcome together within a
    patient biases every number here; see `average_` for how strong it would have to be.

    Parameters
    ----------
    alliance_sem : float or "measure", optional
        Standard error of measurement of one alliance rating, in the data's units; "measure" takes the reliability that
        the registry states for the panel's alliance measure. Default: no correction, with a note of what one would
        change.
    alliance_reliability : float, optional
        Reliability of one rating, instead of ``alliance_sem``: SEM = SD of all ratings · √(1 − reliability).
    outcome_sem : float, optional
        Likewise for the outcome.
    lagged_outcome : bool
        Whether ρ·y[t] is in the equation.
    moderators : sequence of str, optional
        Intake columns that may moderate the effect, named beforehand (``therapist_`` and the name for a column of the
        therapists table). Default: all of them. With a few hundred patients naming them is worth more than any
        learner tried (docs/effects.md).
    level : float
        Level of all intervals.
    random_state : int
        Seed of folds, trees, tests and draws.

    Attributes
    ----------
    effects_ : DataFrame, index patient id
        estimate, lower, upper, sd (outcome points per alliance point), own_reliability ω²/(ω² + v_i), n_sessions,
        n_transitions, baseline_estimate, own_shift, similar_shift, own_slope, p_top_fifth, reason; the estimate is the
        sum of baseline_estimate and both shifts.
    average_ : Series
        estimate, lower, upper, se; uncorrected and its interval; robustness_value and more.
    heterogeneity_ : Series
        Both tests, standard deviations, the largest one not excluded at 95 % (``sd_not_excluded``), ``detected``,
        and ``noise_slope``: points of effect per SD of the log noise of the patient's own outcome, 0 where it is alike.
    patients_ : Patients
        What the shrinkage is told: own slopes, their variances, baseline prediction, therapist, standardised noise.
    persistence_ : Series
        ρ: estimate, se.
    state_sd_ : float
        Pooled within-patient SD of the alliance, measurement error taken out.
    notes_ : list of str
        Exclusions with counts, assumptions, and what could not be done.

    Raises
    ------
    PanelError, NotEnoughData, OptionError
        Each message names what is missing and what to do.
    """

    def __init__(
        self,
        *,
        alliance_sem: float | str | None = None,
        alliance_reliability: float | None = None,
        outcome_sem: float | None = None,
        lagged_outcome: bool = True,
        moderators: Sequence[str] | None = None,
        level: float = 0.90,
        random_state: int = 0,
    ) -> None:
        self.alliance_sem = alliance_sem
        self.alliance_reliability = alliance_reliability
        self.outcome_sem = outcome_sem
        self.lagged_outcome = lagged_outcome
        self.moderators = moderators
        self.level = level
        self.random_state = random_state

    # -- fit ------------------------------------------------------------------------------------------------------

    def fit(self, panel: Panel) -> Self:
        """Estimate the average effect, test whether patients differ, and estimate every patient's effect."""
        checks.options(self.level, self.random_state)
        checks.panel(panel)
        notes: list[str] = []
        checks.typing_errors(panel, notes)
        errors = checks.measurement_errors(panel, self.alliance_sem, self.alliance_reliability, self.outcome_sem, notes)
        first = first_stage(
            panel,
            errors,
            lagged_outcome=self.lagged_outcome,
            moderators=self.moderators,
            seed=self.random_state,
            notes=notes,
        )
        slopes, average = first.slopes, first.average

        moderators = self._moderators(first, panel.clusters, notes)
        self._adopt(panel, first, moderators, errors)
        posterior = shrink(
            self.patients_,
            noise_to_alliance=slopes.noise_to_alliance,
            average_variance=average.variance,
            has_therapists=panel.n_therapists > 1,
        )
        if moderators is not None:
            posterior = posterior.moved(similar_shift(first.x, self.patients_, posterior, self.random_state))
        self.posterior_ = posterior
        checks.noise_matters(self.posterior_, notes)
        self.heterogeneity_ = heterogeneity_table(
            first.any_test, first.baseline_test, slopes, self.posterior_, self.patients_, checks.LEVEL_OF_TEST
        )
        self.average_ = average_table(average, slopes, panel, self.level)
        self.persistence_ = pd.Series({"estimate": average.pair[0], "se": float(np.sqrt(average.covariance[0, 0]))})
        self.notes_ = notes
        self.effects_ = effects_table(self, panel, first.counts, mixture_quantile, self._top_fifth())
        return self

    def _moderators(self, first: FirstStage, clusters: Ints, notes: list[str]) -> Moderators | None:
        who = first.who
        if first.x.shape[1] == 0 or len(who) < FEWEST_PATIENTS:
            why = "no intake columns that vary" if first.x.shape[1] == 0 else f"fewer than {FEWEST_PATIENTS} patients"
            notes.append(f"Moderators were not estimated ({why}); patients differ only by their own sessions.")
            return None
        b = first.slopes.slope[first.known]
        return fit_moderators(first.x[who], b, first.weight, clusters[who], seed=self.random_state)

    def _per_patient(self, n: int, x: Floats, slopes: OwnSlopes, moderators: Moderators | None) -> None:
        """Own slope, variance, noise and out-of-fold baseline prediction of every patient of the panel."""
        b, v, noise, tau = np.full(n, np.nan), np.full(n, np.inf), np.ones(n), np.zeros(n)
        b[slopes.who], v[slopes.who], noise[slopes.who] = slopes.slope, slopes.variance, slopes.own_noise
        known = np.isfinite(v)
        if moderators is not None:
            tau[known] = moderators.out_of_fold
            if (~known).any():
                tau[~known] = moderators.predict(x[~known])
        self.own_slope_, self.own_variance_, self.own_noise_ = b, v, noise
        self.baseline_prediction_, self._x = tau, x

    @property
    def patients_(self) -> Patients:
        """What the shrinkage is told of the patients of the fit."""
        v = self.own_variance_
        noise = standardised_noise(self.own_noise_, np.isfinite(v))
        return Patients(self.own_slope_, v, self.baseline_prediction_, self.clusters_, noise)

    def _adopt(self, panel: Panel, first: FirstStage, moderators: Moderators | None, errors: Errors) -> None:
        self._panel = panel
        self._errors, self._average_covariance = errors, first.average.covariance
        self._noise_to_alliance = first.slopes.noise_to_alliance
        self._therapist_table = therapist_table(panel)
        self.encoding_, self.moderators_ = first.encoding, moderators
        self._per_patient(panel.n_patients, first.x, first.slopes, moderators)
        self.clusters_ = panel.clusters
        self.patient_ids_ = panel.patient_ids
        self.therapist_ids_ = [t.item() if hasattr(t, "item") else t for t in panel.therapist_ids]
        self.columns_ = panel.columns
        self.better_ = panel.better
        self.state_sd_ = checks.within_sd(panel, errors.alliance)

    def _fitted(self) -> None:
        if not hasattr(self, "posterior_"):
            raise NotFitted("this AllianceEffect is not fitted yet; call fit(panel) first.")

    # -- what it says ---------------------------------------------------------------------------------------------

    def draws(self, n: int = 1000, random_state: int | None = None) -> tuple[Floats, Floats]:
        """Joint posterior draws.

        Parameters
        ----------
        n : int
        random_state : int, optional
            Default: the estimator's own.

        Returns
        -------
        effects : array of shape (n, n_patients), in the order of ``effects_``
        persistence : array of shape (n,)
        """
        self._fitted()
        rng = np.random.default_rng(self.random_state if random_state is None else random_state)
        shared = rng.standard_normal(n)
        cov = np.asarray(self.average_covariance_)
        sd = np.sqrt(np.maximum(np.diag(cov), 1e-300))
        r = float(np.clip(cov[0, 1] / (sd[0] * sd[1]), -0.999, 0.999)) if sd.all() else 0.0
        rho = self.persistence_["estimate"] + sd[0] * (r * shared + np.sqrt(1 - r**2) * rng.standard_normal(n))
        effects = draw(self.patients_, self.posterior_, shared, n, rng)
        return effects, np.clip(rho, -0.99, 0.99)

    @property
    def average_covariance_(self) -> Floats:
        """Covariance of (ρ, average effect), shape (2, 2)."""
        return self._average_covariance

    def probability_above_zero(self) -> Floats:
        """Posterior probability that each patient's effect is above zero, shape (n_patients,); exact, not drawn."""
        self._fitted()
        weights, means, sds = self.posterior_.components
        return np.asarray(weights @ ndtr(means / np.maximum(sds, 1e-300)))

    def _top_fifth(self) -> Floats:
        """Probability of being among the fifth with the largest benefit; NaN where patients are not shown to differ."""
        n = len(self.patient_ids_)
        if not self.heterogeneity_["detected"]:
            return np.full(n, np.nan)
        k = int(np.ceil(0.2 * n))
        sign = -1.0 if self.better_ == "low" else 1.0
        n_draws = int(np.clip(MOST_DRAWN // n, *TOP_DRAWS))
        count, done, block = np.zeros(n), 0, max(1, 20_000_000 // n)
        while done < n_draws:
            size = min(block, n_draws - done)
            effects, _ = self.draws(size, self.random_state + done)
            top = np.argpartition(-sign * effects, k - 1, axis=1)[:, :k]
            count += np.bincount(top.ravel(), minlength=n)
            done += size
        return count / n_draws

    def predict(self, patients: pd.DataFrame) -> pd.DataFrame:
        """Effects of patients not seen yet, from baseline alone; shrunken toward a known therapist where there is one.

        Parameters
        ----------
        patients : DataFrame
            Intake columns as in the fit (an absent column counts as missing), the patient id as a column or as the
            index, and optionally the therapist id.

        Returns
        -------
        DataFrame, index patient id: estimate, lower, upper, sd
        """
        self._fitted()
        if not isinstance(patients, pd.DataFrame):
            raise PanelError(f"patients: a pandas DataFrame is needed, {type(patients).__name__} came.")
        c = self.columns_
        frame = patients.set_index(c.patient) if c.patient in patients.columns else patients
        n, n_old = len(frame), len(self.own_slope_)
        x = self.encoding_.matrix(self._with_therapist(frame))
        tau = np.zeros(n) if self.moderators_ is None else self.moderators_.predict(x)
        cluster = int(self.clusters_.max()) + 1 + np.arange(n)
        if c.therapist in frame.columns:
            code = {t: i for i, t in enumerate(self.therapist_ids_)}
            known = frame[c.therapist].map(lambda t: code.get(t, -1)).to_numpy()
            cluster = np.where(known >= 0, known, cluster)
        everyone = summarise(
            self.patients_.with_new(tau, cluster),
            self.posterior_.grid,
            self.posterior_.components[0],
            float(self.average_covariance_[1, 1]),
        )
        weights, means, sds = everyone.components
        parts = (weights, means[:, n_old:], sds[:, n_old:])
        tail = (1 - self.level) / 2
        return pd.DataFrame(
            {
                "estimate": everyone.mean[n_old:],
                "lower": mixture_quantile(parts, tail),
                "upper": mixture_quantile(parts, 1 - tail),
                "sd": everyone.sd[n_old:],
            },
            index=pd.Index(frame.index, name=c.patient),
        )

    def _with_therapist(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Add the characteristics of known therapists to the intake columns."""
        staff = self.therapist_table_
        if not len(staff.columns) or self.columns_.therapist not in frame.columns:
            return frame
        joined = staff.reindex(frame[self.columns_.therapist].tolist())
        joined.index = frame.index
        return frame.drop(columns=[k for k in joined.columns if k in frame.columns]).join(joined)

    @property
    def therapist_table_(self) -> pd.DataFrame:
        """Therapist characteristics under the names the moderators use."""
        return self._therapist_table

    def moderator_contributions(self, patients: pd.DataFrame | None = None) -> pd.DataFrame:
        """Shapley contributions of each intake column to the baseline part of each patient's effect.

        Parameters
        ----------
        patients : DataFrame, optional
            Intake columns, index patient id; default the patients of the fit.

        Returns
        -------
        DataFrame of outcome points per alliance point, patients × intake columns
        """
        self._fitted()
        if patients is None:
            x, index = self._x, self.patient_ids_
        else:
            x, index = self.encoding_.matrix(self._with_therapist(patients)), patients.index
        names = list(dict.fromkeys(self.encoding_.sources))
        if self.moderators_ is None:
            return pd.DataFrame(0.0, index=index, columns=names)
        parts = self.posterior_.gamma[1] * self.moderators_.contributions(x)
        frame = pd.DataFrame(parts, index=index, columns=self.encoding_.sources)
        return frame.T.groupby(level=0, sort=False).sum().T[names]

    def validate(self) -> pd.DataFrame:
        """Does the ranking by baseline hold on patients who did not make it: BLP slope, GATES, TOC, AUTOC, Qini.

        Returns
        -------
        DataFrame with columns statistic, group, estimate, lower, upper, n

        Raises
        ------
        NotEnoughData
            Where there is no moderator model to validate.
        """
        self._fitted()
        if self.moderators_ is None:
            raise NotEnoughData(
                "validate: no moderators were estimated, so there is no ranking by baseline to validate."
            )
        known = np.isfinite(self.own_variance_)
        b, tau = self.own_slope_[known], self.moderators_.held_out + self.average_["estimate"]
        spread = self.own_noise_[known] / self.own_variance_[known]  # noise left out: effects may go with it
        scores = orthogonal_scores(b, spread, tau, self._x[known], self.moderators_.fold)
        sign = -1.0 if self.better_ == "low" else 1.0
        return validation_table(
            scores,
            tau,
            self.clusters_[known],
            fold=self.moderators_.fold,
            benefit_sign=sign,
            level=self.level,
            seed=self.random_state,
        )

    def sensitivity(self) -> pd.DataFrame:
        """Average effect under centring × detrending × lag × correction × with and without the lagged outcome.

        Returns
        -------
        DataFrame with columns centring, detrend, lag, correction, lagged_outcome, estimate, lower, upper, se,
        n_patients, n_transitions, default, note; ``default`` marks the two solutions, with individual trends kept and
        removed, whose dynamics `average_` is corrected with
        """
        self._fitted()
        if not hasattr(self, "_panel"):
            raise NotFitted("sensitivity needs the data; a loaded AllianceEffect does not hold them: fit it again.")
        intake, clusters = intake_matrix(self._panel), checks.clusters(self._panel, [])
        return sensitivity.grid(self._panel, intake, clusters, self._errors, self.level)

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the fitted estimator: JSON, Parquet, NumPy arrays and LightGBM's text format; nothing executable."""
        self._fitted()
        storage.save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote; versions are checked."""
        return storage.load(cls, Path(folder))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "posterior_")
