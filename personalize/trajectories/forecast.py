"""Forecasts of a patient's outcome from everything up to now, as a distribution."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from features.errors import NotFitted, OptionError, check_level, check_option, check_seed, listed
from features.panel import Panel
from personalize.trajectories import storage
from personalize.trajectories.attribution import AttributionInputs, input_names, table_of
from personalize.trajectories.compatible import compatible
from personalize.trajectories.crossfit import Crossfit, Dropout, crossfit
from personalize.trajectories.distribution import QUANTILES, probabilities
from personalize.trajectories.members.member import Stored
from personalize.trajectories.model import ForecastModel
from personalize.trajectories.query import Query
from personalize.trajectories.registry import FEW, LEARNERS, usual_members
from personalize.trajectories.request import default_request, requested_targets
from personalize.trajectories.tree_attribution import TreeContributions, tree_contributions

Floats = NDArray[np.float64]


class HorizonWarning(UserWarning):
    """A forecast reaches further than anything in training."""


class TrajectoryForecaster(BaseEstimator):  # type: ignore[misc]
    """Forecast the outcome of patients, seen in training or not, at any later session, as a distribution.

    Members (a regression at each landmark and horizon, a growth model with autocorrelated residuals, boosted trees on
    what these leave; with fewer than 500 patients plainer ones beside them) are fitted without each fold of the
    patients in turn; their forecasts of patients they did not see decide how much each is trusted where (`stack`), and
    how wide the forecast is (`bands`).

    Parameters
    ----------
    random_state : int
        Seeds folds and trees; the same seed gives the same bytes.
    level : float
        Probability of the interval (``lower``, ``upper``) and of the band that holds a path.
    members : sequence of str, optional
        Which members take part; by default as the number of patients asks for (`registry.usual_members`). `baselines`
        names the usual single ones.
    n_folds : int
        Folds of patients, by therapist where there are at least ten.
    dropout : {"ignore", "weights"}
        "weights": targets after which patients tend to be gone are weighted by the inverse probability of staying
        (`dropout`), so that a fixed horizon is forecast as if everybody stayed.
    n_jobs : int
        Threads of the boosted member.

    Attributes
    ----------
    model_ : ForecastModel
    crossfit_ : Crossfit
        Out-of-fold forecasts of every training target (absent after `load`).
    weights_ : DataFrame
        Weight of each member by landmark and horizon (NaN: the last session).
    """

    def __init__(
        self,
        *,
        random_state: int = 0,
        level: float = 0.90,
        members: Sequence[str] | None = None,
        n_folds: int = 5,
        dropout: Dropout = "ignore",
        n_jobs: int = 1,
    ) -> None:
        self.random_state = random_state
        self.level = level
        self.members = members
        self.n_folds = n_folds
        self.dropout = dropout
        self.n_jobs = n_jobs

    def fit(self, panel: Panel) -> TrajectoryForecaster:
        """Learn from a panel.

        Raises
        ------
        NotEnoughData
            When too few patients have a later outcome, or the outcome is constant.
        OptionError
            When an option has a value that is not allowed.
        """
        self._check_options()
        if not isinstance(panel, Panel):
            raise OptionError(
                f"fit takes a Panel, {type(panel).__name__} came; build one with Panel(...) or read_panel(...)."
            )
        return self.adopt(crossfit(panel, self.members_for(panel), **self.crossfit_options()))

    def adopt(self, cross: Crossfit) -> TrajectoryForecaster:
        """Take over members that `crossfit` has fitted, weigh them and calibrate."""
        self._check_options()
        self.model_ = ForecastModel.of(cross, self.members_for(cross.query.landmarks.panel), self.level)
        self.crossfit_ = cross
        return self

    def members_for(self, panel: Panel) -> tuple[str, ...]:
        """Members that take part when the forecaster is fitted to a panel."""
        return usual_members(panel.n_patients) if self.members is None else tuple(self.members)

    def crossfit_options(self) -> dict[str, Any]:
        """Options that members are fitted under."""
        return {
            "n_folds": self.n_folds,
            "random_state": self.random_state,
            "threads": self.n_jobs,
            "dropout": self.dropout,
        }

    @property
    def weights_(self) -> pd.DataFrame:
        """Weight of each member by landmark and horizon."""
        model = self._fitted()
        landmark, gap = model.grid.coordinates()
        table = pd.DataFrame(model.calibration.stack.table, columns=list(model.calibration.stack.names))
        table.insert(0, "horizon", np.round(np.exp(gap), 6))
        table.insert(0, "landmark", np.round(np.expm1(landmark), 6))
        return table

    def predict(
        self, history: Panel, at: pd.DataFrame | None = None, quantiles: Sequence[float] = QUANTILES
    ) -> pd.DataFrame:
        """Forecast from the end of each patient's history.

        Parameters
        ----------
        history : Panel
            Sessions so far of patients seen or not; therapists and categories may be unknown, patients may have no
            session yet. ``panel.first(k)`` cuts a longer panel.
        at : DataFrame, optional
            One row a wanted forecast: the panel's own columns for patient, session and, where it has one, time. A row
            whose session and time are missing asks for the last session, whenever treatment will end. By default the
            next session, four ahead and the last one.
        quantiles : sequence of float
            Probabilities, increasing.

        Returns
        -------
        DataFrame
            The rows of ``at`` in order, and ``mean``, ``lower``, ``upper`` (interval of this outcome), ``band_lower``,
            ``band_upper`` and one column a quantile (``"q0.05"``). The band holds the patient's whole path up to the
            furthest session that ``at`` asks for (for a last session: up to the end): the further, the wider. What
            was treated in a special way stands in ``attrs["notes"]``.

        Raises
        ------
        PanelError
            Unknown patients, times already observed, a panel whose outcome is another than in training.

        Warns
        -----
        HorizonWarning
            When ``at`` asks for more than was seen in training; the forecast is wider there.
        """
        model = self._fitted()
        probability = probabilities(quantiles)
        notes = compatible(model, history)
        asked = default_request(history, model.clock) if at is None else at
        landmarks, targets = requested_targets(asked, history, model.clock)
        longest = model.trained_on["longest_gap"]
        far = targets.gap > 1.0001 * longest
        if far.any():
            note = (
                f"{int(far.sum())} forecasts reach up to {np.nanmax(targets.gap):g} typical intervals ahead; training "
                f"holds at most {longest:g}: their level is that of the longest horizon, and they widen with its root."
            )
            notes.append(note)
            if at is not None:
                warnings.warn(note, HorizonWarning, stacklevel=2)
        most = model.trained_on["most_sessions"]
        long = int((history.sessions_per_patient > most).sum())
        if long:
            notes.append(
                f"{long} histories hold more sessions than any in training ({most}); they are taken for that many."
            )
        table = model.calibration.distribution(model.query(landmarks, targets), probability, model.limits)
        clash = [name for name in table.columns if name in asked.columns]
        if clash:
            raise OptionError(f"at: column {listed(clash)} has the name of a result; rename or drop it.")
        out = pd.concat([asked, table.set_axis(asked.index, axis=0)], axis=1)
        out.attrs["notes"] = notes
        return out

    def attribution_inputs(self, history: Panel, at: pd.DataFrame | None = None) -> AttributionInputs:
        """Inputs of the forecasts that `predict` would make, by group, with a background to compare with.

        Parameters
        ----------
        history, at
            As in `predict`.

        Returns
        -------
        AttributionInputs
            ``values`` and ``background`` of shape (n_forecasts, n_inputs), names and groups of the inputs. Any mixture
            of the two goes into `mean_from`.
        """
        model, query = self._fitted(), self._asked(history, at)
        names, groups = input_names(model.encoder)
        background = model.background[query.targets.last.astype(np.intp)]
        return AttributionInputs(table_of(query), background, names, groups)

    def tree_contributions(self, history: Panel, at: pd.DataFrame | None = None) -> TreeContributions:
        """TreeSHAP of single inputs in the boosted member, for the forecasts that `predict` would make.

        Parameters
        ----------
        history, at
            As in `predict`.

        Raises
        ------
        OptionError
            Where there is no boosted member.
        """
        return tree_contributions(self._fitted(), self._asked(history, at))

    def _asked(self, history: Panel, at: pd.DataFrame | None) -> Query:
        """Members run over what is asked of a history."""
        model = self._fitted()
        compatible(model, history)
        asked = default_request(history, model.clock) if at is None else at
        return model.query(*requested_targets(asked, history, model.clock))

    def mean_from(self, values: Floats) -> Floats:
        """Reported mean from a table of inputs.

        Parameters
        ----------
        values : array of shape (n_rows, n_inputs)
            Columns as in `attribution_inputs`.

        Returns
        -------
        array of shape (n_rows,)
            For the inputs of a forecast exactly its ``mean``.
        """
        return self._fitted().mean_from(values)

    def save(self, folder: str | Path) -> None:
        """Write the fitted forecaster into a folder: JSON, arrays and LightGBM's text format."""
        stored = self._fitted().store()
        options = {**self.get_params(), "members": None if self.members is None else list(self.members)}
        storage.write(folder, Stored({**stored.plain, "options": options}, stored.arrays, stored.texts))

    @classmethod
    def load(cls, folder: str | Path) -> TrajectoryForecaster:
        """Read a saved forecaster.

        Raises
        ------
        FileError
            When the folder holds none, a damaged one, or one of another version.
        """
        stored = storage.read(folder)
        with storage.damage_is_an_error(folder):
            options = stored.plain["options"]
            members = options["members"]
            new = cls(**{**options, "members": None if members is None else tuple(members)})
            new.model_ = ForecastModel.restore(stored)
        return new

    def _check_options(self) -> None:
        members = list(FEW if self.members is None else self.members)
        if isinstance(self.members, str) or not members:
            raise OptionError(f"members={self.members!r} is not allowed; give a sequence of names.")
        for name in members:
            check_option("members", name, tuple(LEARNERS))
        if "boosted" in members and not {"direct", "growth"} <= set(members[: members.index("boosted")]):
            raise OptionError("members: 'boosted' corrects 'direct' and 'growth', which must stand before it.")
        check_level("level", self.level)
        check_seed("random_state", self.random_state)
        if not isinstance(self.n_folds, (int, np.integer)) or self.n_folds < 2:
            raise OptionError(f"n_folds={self.n_folds!r} is not allowed; give a number of folds from 2.")
        check_option("dropout", self.dropout, ("ignore", "weights"))

    def _fitted(self) -> ForecastModel:
        if not hasattr(self, "model_"):
            raise NotFitted("TrajectoryForecaster: call fit (or load) before this.")
        return self.model_
