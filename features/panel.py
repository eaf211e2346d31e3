"""The one data contract: session-by-session therapy data, checked at the door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.checks import ALL_SCORES
from features.columns import Columns
from features.door import Door
from features.errors import OptionError, PanelError, check_option, listed
from features.measures import Better, Measure, measure

Timing = Literal["after", "before"]


class Panel:
    """Sessions of patients in therapists, validated; everything inside the engine takes one of these.

    Parameters
    ----------
    sessions : DataFrame
        One row a session: patient, session number and/or time, outcome, alliance, covariates; therapist optional.
    patients : DataFrame, optional
        One row a patient: identifier, intake columns (numbers, categories, booleans), therapist optional. Patients
        without sessions are allowed; patients with sessions must be in the table.
    therapists : DataFrame, optional
        One row a therapist: identifier and characteristics.
    columns : Columns
        Which column plays which role.
    timing : {"after", "before"}
        Whether the alliance of a row is rated after that row's outcome (it can first move the next row's outcome) or
        before it.
    missing_codes : sequence of float or str, or mapping of column to such a sequence (``"*"``: all session scores)
        Values (or text) that mark a missing score, such as ``(-9, 99)``. A sequence holds for every score of the
        sessions table; a mapping names the columns it holds for, in any of the tables: ``{"wai": [9], "age": [999]}``.
        How many were set to missing stands in ``notes``.
    measures : mapping of str to str or Measure
        Which instrument a session column is; brings range, direction and reliable change.
    out_of_range : {"error", "missing"}
        What happens to a score outside its measure's range.
    better : {"low", "high"}, optional
        Which direction of the outcome is improvement; needed only where no measure says so (then "low" is assumed
        and noted).
    episodes : {"patient", "patient-therapist"}
        What one treatment is. With "patient-therapist" a patient who changes therapist counts as two episodes, named
        ``"p1 / t2"``.
    names : mapping of {"sessions", "patients", "therapists"} to str, optional
        What to call the tables in messages, such as the file's name.
    labels : mapping of column to str, optional
        What reports call a column, such as the variable labels of an SPSS file.

    Attributes
    ----------
    sessions : DataFrame of n_sessions rows
        The role columns under the user's names, sorted by patient and session.
    patients : DataFrame, index patient id, all patients sorted by id
    therapists : DataFrame, index therapist id
    outcome, alliance : array of shape (n_sessions,)
        ``alliance`` is all-NaN where no column plays that role. NaN is missing.
    session : int array of shape (n_sessions,)
    time : float array of shape (n_sessions,)
        ``columns.time`` in its own unit; days since the patient's first session where it held dates; else the session
        number.
    calendar : float array of shape (n_sessions,) or None
        Days since 1970-01-01 where ``columns.time`` held dates.
    patient_index : int array of shape (n_sessions,)
        Row of ``patients`` each session belongs to.
    offsets : int array of shape (n_patients + 1,)
        Sessions of patient i stand at ``offsets[i]:offsets[i + 1]``.
    therapist_index : int array of shape (n_patients,)
        Row of ``therapists``; -1 where the patient has none.
    clusters : int array of shape (n_patients,)
        Therapist of each patient; a person without one is a cluster of their own.
    person_index : int array of shape (n_patients,)
        Equal numbers mark episodes of one person; all different where each patient is one treatment.
    notes : list of str
        What was set to missing, assumed or set aside, with counts.

    Raises
    ------
    PanelError
        When the tables break the contract. Every kind of problem is reported, with patients and a remedy.
    """

    def __init__(
        self,
        sessions: pd.DataFrame,
        patients: pd.DataFrame | None = None,
        therapists: pd.DataFrame | None = None,
        *,
        columns: Columns | None = None,
        timing: Timing = "after",
        missing_codes: Sequence[float | str] | Mapping[str, Sequence[float | str]] = (),
        measures: Mapping[str, str | Measure] | None = None,
        out_of_range: Literal["error", "missing"] = "error",
        better: Better | None = None,
        episodes: Literal["patient", "patient-therapist"] = "patient",
        names: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        check_option("timing", timing, ("after", "before"))
        check_option("out_of_range", out_of_range, ("error", "missing"))
        check_option("better", better, (None, "low", "high"))
        check_option("episodes", episodes, ("patient", "patient-therapist"))
        self.columns = columns or Columns()
        self.timing: Timing = timing
        self.measures = _measures(measures or {}, self.columns)
        self.notes: list[str] = []
        self.names = {"sessions": "sessions", "patients": "patients", "therapists": "therapists", **(names or {})}
        known = self.outcome_measure
        if better is not None and known is not None and known.better not in (None, better):
            raise OptionError(f"better={better!r} contradicts measure {known.name!r}, where {known.better} is better.")
        self._set_direction(better)
        self.labels: dict[str, str] = {str(k): str(v) for k, v in (labels or {}).items()}
        codes = _codes(missing_codes, self.columns, sessions, patients, therapists)
        door = Door(self.columns, self.measures, self.names, codes, out_of_range, episodes)
        clean = door.clean(sessions, patients, therapists)
        self._adopt(clean.sessions, clean.patients, clean.therapists, clean.patient_index, clean.own, clean.person)
        self.notes.extend(door.notes)
        if not self.better_stated:
            self.notes.append(_assumed(self.columns.outcome))

    # -- construction ---------------------------------------------------------------------------------------------

    def _set_direction(self, better: Better | None) -> None:
        known = self.outcome_measure
        stated = better or (known.better if known is not None else None)
        self.better_stated: bool = stated is not None
        self.better: Better = stated or "low"

    def _adopt(
        self,
        sessions: pd.DataFrame,
        patients: pd.DataFrame,
        therapists: pd.DataFrame,
        patient_index: NDArray[np.intp],
        own: pd.Series,
        person: NDArray[np.intp],
        start: NDArray[np.float64] | None = None,
    ) -> None:
        """Take clean, sorted tables as they are; ``own`` is each patient's therapist (missing where none)."""
        self.sessions, self.patients, self.therapists = sessions, patients, therapists
        self.patient_ids: pd.Index[Any] = patients.index
        self.therapist_ids: pd.Index[Any] = therapists.index
        self.patient_index: NDArray[np.intp] = patient_index.astype(np.intp)
        counts = np.bincount(self.patient_index, minlength=len(patients))
        self.offsets: NDArray[np.intp] = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        codes = np.full(len(patients), -1, dtype=np.intp)
        has = own.notna().to_numpy()
        if has.any():
            codes[has] = self.therapist_ids.get_indexer(pd.Index(own[has].tolist()))
        self.therapist_index: NDArray[np.intp] = codes
        self.person_index: NDArray[np.intp] = pd.factorize(person)[0].astype(np.intp)
        self.clusters: NDArray[np.intp] = codes.copy()
        self.clusters[~has] = len(therapists) + pd.factorize(self.person_index[~has])[0]
        self.session: NDArray[np.intp] = sessions[self.columns.session].to_numpy(dtype=np.intp)
        self._set_time(start)
        self._set_scores()
        for array in (self.patient_index, self.offsets, codes, self.person_index, self.clusters, self.session):
            array.flags.writeable = False

    def _set_time(self, start: NDArray[np.float64] | None) -> None:
        """Time in its own unit; for dates the days since ``start``, each patient's first session in the whole panel."""
        name = self.columns.time
        self.time = self.session.astype(float) if name is None else self._floats(name)
        self.calendar: NDArray[np.float64] | None = None
        if self.sessions.attrs.get("dates"):
            self.calendar = self.time
            if start is None:
                start = np.full(len(self.patients), np.nan)
                has = np.diff(self.offsets) > 0
                start[has] = self.time[self.offsets[:-1][has]]
            self._start = start
            self.time = self.time - start[self.patient_index]
            self.calendar.flags.writeable = False
        self.time.flags.writeable = False

    def _set_scores(self) -> None:
        name = self.columns.alliance
        self.outcome = self._floats(self.columns.outcome)
        self.alliance = np.full(len(self.sessions), np.nan) if name is None else self._floats(name)
        self.outcome.flags.writeable = False
        self.alliance.flags.writeable = False

    def _floats(self, column: str) -> NDArray[np.float64]:
        return self.sessions[column].to_numpy(dtype=float, copy=True)

    def _derived(self, rows: NDArray[Any], who: NDArray[Any]) -> Panel:
        """A panel of these session rows and these patients, without a second check."""
        other = object.__new__(Panel)
        other.__dict__.update({k: v for k, v in self.__dict__.items() if not isinstance(v, np.ndarray)})
        other.notes = list(self.notes)
        sessions = self.sessions.iloc[rows].reset_index(drop=True)
        sessions.attrs = dict(self.sessions.attrs)
        place = np.full(self.n_patients, -1, dtype=np.intp)
        place[who] = np.arange(len(who))
        other._adopt(
            sessions,
            self.patients.iloc[who],
            self.therapists,
            place[self.patient_index[rows]],
            self._own_therapist().iloc[who],
            self.person_index[who],
            None if self.calendar is None else self._start[who],
        )
        return other

    def _own_therapist(self) -> pd.Series:
        own = pd.Series([None] * self.n_patients, index=self.patient_ids, dtype=object)
        has = self.therapist_index >= 0
        own[has] = self.therapist_ids[self.therapist_index[has]].tolist()
        return own

    # -- what it holds --------------------------------------------------------------------------------------------

    @property
    def n_patients(self) -> int:
        """Number of patients, those without sessions included."""
        return len(self.patients)

    @property
    def n_sessions(self) -> int:
        """Number of session rows over all patients."""
        return len(self.sessions)

    @property
    def n_therapists(self) -> int:
        """Number of therapists who treat at least one of the patients."""
        return len(np.unique(self.therapist_index[self.therapist_index >= 0]))

    @property
    def has_alliance(self) -> bool:
        """Whether a column plays the role of the alliance."""
        return self.columns.alliance is not None

    @property
    def outcome_measure(self) -> Measure | None:
        """The instrument of the outcome, where one was named."""
        return self.measures.get(self.columns.outcome)

    @property
    def alliance_measure(self) -> Measure | None:
        """The instrument of the alliance, where one was named."""
        return None if self.columns.alliance is None else self.measures.get(self.columns.alliance)

    @property
    def sessions_per_patient(self) -> NDArray[np.intp]:
        """Rows of each patient, shape (n_patients,)."""
        return np.diff(self.offsets)

    def __repr__(self) -> str:
        return (
            f"Panel({self.n_patients} patients, {self.n_therapists} therapists, {self.n_sessions} sessions, "
            f"outcome {self.columns.outcome!r}, alliance {self.columns.alliance!r})"
        )

    # -- smaller panels -------------------------------------------------------------------------------------------

    def subset(self, who: Iterable[Any] | NDArray[Any]) -> Panel:
        """Keep some patients: identifiers, or a boolean or integer array over ``patient_ids``."""
        given = np.asarray(list(who) if not isinstance(who, np.ndarray) else who)
        if given.dtype == bool:
            if given.shape != (self.n_patients,):
                raise PanelError(f"subset: a mask of {given.size} values came for {self.n_patients} patients.")
            keep = np.flatnonzero(given)
        elif isinstance(who, np.ndarray) and np.issubdtype(given.dtype, np.integer):
            keep = given
            outside = (keep < 0) | (keep >= self.n_patients)
            if outside.any():
                raise PanelError(
                    f"subset: an integer array holds rows of patients, 0 to {self.n_patients - 1}; "
                    f"{listed(keep[outside])} is not one. For identifiers pass a list."
                )
        else:
            keep = self.patient_ids.get_indexer(pd.Index(list(who)))
            if (keep < 0).any():
                raise PanelError(f"{self.names['patients']}: there is no patient {listed(given[keep < 0])}.")
        keep = np.sort(keep)
        twice = keep[1:][keep[1:] == keep[:-1]]
        if len(twice):
            raise PanelError(f"subset: patient {listed(self.patient_ids[np.unique(twice)])} is named more than once.")
        chosen = np.zeros(self.n_patients, dtype=bool)
        chosen[keep] = True
        return self._derived(np.flatnonzero(chosen[self.patient_index]), keep)

    def first(self, k: int) -> Panel:
        """Keep each patient's first ``k`` observed sessions; ``first(0)`` leaves the intake alone."""
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            raise OptionError(f"first: k={k!r} is not allowed; give a number of sessions from 0.")
        return self.where(self.occasion < k)

    def where(self, rows: NDArray[np.bool_]) -> Panel:
        """Keep the session rows marked True, and every patient; dated time still counts from the first session."""
        rows = np.asarray(rows)
        if rows.dtype != bool or rows.shape != (self.n_sessions,):
            raise PanelError(f"where: a boolean mask of {self.n_sessions} values is needed, one a session row.")
        return self._derived(np.flatnonzero(rows), np.arange(self.n_patients))

    @property
    def occasion(self) -> NDArray[np.intp]:
        """0 for a patient's first observed session, 1 for the second, ...; shape (n_sessions,)."""
        return np.arange(self.n_sessions) - self.offsets[self.patient_index]

    def renamed(self, columns: Columns) -> Panel:
        """The same panel with other roles for score columns it already holds (say, no alliance).

        Identifiers, session and time stay what they are.
        """
        same = ("patient", "therapist", "session", "time", "episode")
        changed = [role for role in same if getattr(columns, role) != getattr(self.columns, role)]
        if changed:
            raise OptionError(f"renamed: {listed(changed)} cannot change in a panel; build a new one from the tables.")
        absent = [name for name in columns.scores if name not in self.sessions.columns]
        if absent:
            raise OptionError(
                f"renamed: the panel holds no column {listed(absent)}; it holds {listed(self.columns.scores, 30)}."
            )
        other = self._derived(np.arange(self.n_sessions), np.arange(self.n_patients))
        other.columns = columns
        if columns.outcome != self.columns.outcome:
            other._set_direction(None)
            if not other.better_stated:
                other.notes.append(_assumed(columns.outcome))
        other._set_scores()
        return other


def _assumed(outcome: str) -> str:
    return f"No measure or direction was given for {outcome!r}: lower scores are taken to be better."


def _codes(
    given: Sequence[float | str] | Mapping[str, Sequence[float | str]],
    columns: Columns,
    *tables: pd.DataFrame | None,
) -> tuple[float | str, ...] | dict[str, tuple[float | str, ...]]:
    """Missing codes as a tuple for all scores, or a tuple a column."""
    if isinstance(given, Mapping):
        there = {str(name) for table in tables if isinstance(table, pd.DataFrame) for name in table.columns}
        unknown = [name for name in given if name not in there and name != ALL_SCORES]
        if unknown:
            raise OptionError(f"missing_codes: no table has a column {listed(unknown)}; name columns of the tables.")
        return {str(name): _code_values(codes) for name, codes in given.items()}
    return _code_values(given)


def _code_values(given: Any) -> tuple[float | str, ...]:
    values = (given,) if isinstance(given, str | int | float | np.number) else tuple(given)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
            raise OptionError(f"missing_codes: {value!r} is neither a number nor text; give codes such as (-9, 99).")
    return values


def _measures(given: Mapping[str, str | Measure], columns: Columns) -> dict[str, Measure]:
    roles = {columns.outcome, columns.alliance, *columns.covariates}
    for column in given:
        if column not in roles:
            raise OptionError(
                f"measures: {column!r} plays no role; measures are named for the outcome, alliance or a covariate."
            )
    return {column: measure(m) if isinstance(m, str) else replace(m) for column, m in given.items()}
