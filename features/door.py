"""What stands between three raw tables and a `Panel`: every check, in an order in which each can rely on the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from features import checks
from features.columns import DEFAULT_THERAPIST, Columns
from features.errors import PanelError, listed
from features.measures import Measure


@dataclass
class Door:
    """The options under which raw tables are checked; ``notes`` collects what was changed, with counts."""

    columns: Columns
    measures: Mapping[str, Measure]
    names: Mapping[str, str]
    missing_codes: tuple[float, ...]
    out_of_range: str
    episodes: str
    notes: list[str] = field(default_factory=list)

    def clean(
        self, sessions: pd.DataFrame, patients: pd.DataFrame | None, therapists: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.Series]:
        """Check and sort the three tables. Stages that later ones stand on raise before those begin."""
        columns, names = self.columns, self.names
        problems: list[str] = []
        for key, table in (("sessions", sessions), ("patients", patients), ("therapists", therapists)):
            if table is None:
                continue
            if not isinstance(table, pd.DataFrame):
                raise PanelError(f"{names[key]}: a pandas DataFrame is needed, {type(table).__name__} came.")
            checks.duplicated_columns(names[key], table, problems)
        _raise(problems)
        if len(sessions) == 0 and patients is None:
            raise PanelError(
                f"{names['sessions']}: the table has no rows; without a patients table there is nothing to do."
            )

        wanted = {"patient": columns.patient, "outcome": columns.outcome}
        if columns.alliance is not None:
            wanted["alliance"] = columns.alliance
        if columns.time is not None:
            wanted["time"] = columns.time
        if columns.time is None:
            wanted["session"] = columns.session
        wanted.update({f"covariates[{i}]": name for i, name in enumerate(columns.covariates)})
        checks.missing_columns(names["sessions"], sessions, wanted, problems)
        if patients is not None:
            checks.missing_columns(names["patients"], patients, {"patient": columns.patient}, problems)
        therapist = self._therapist_column(sessions, patients, therapists, problems)
        _raise(problems)

        frame = self._session_frame(sessions, therapist, problems)
        intake, own = self._patient_frame(frame, patients, therapist, problems)
        _raise(problems)
        staff = self._therapist_frame(own, therapists, therapist, problems)
        self._unique_sessions(frame, problems)
        _raise(problems)
        frame = frame.drop(columns=["_therapist"])
        order = np.lexsort(
            (frame[columns.session].to_numpy(dtype=float), intake.index.get_indexer(frame[columns.patient]))
        )
        frame = frame.iloc[order].reset_index(drop=True)
        self._informative(frame, problems)
        _raise(problems)
        return frame, intake, staff, own

    def _therapist_column(
        self,
        sessions: pd.DataFrame,
        patients: pd.DataFrame | None,
        therapists: pd.DataFrame | None,
        problems: list[str],
    ) -> str | None:
        """The therapist column's name, or None where there are no therapists; a default name may be absent."""
        name = self.columns.therapist
        if name is None:
            return None
        in_sessions, in_patients = name in sessions.columns, patients is not None and name in patients.columns
        if not in_sessions and not in_patients:
            if name != DEFAULT_THERAPIST or therapists is not None:
                problems.append(
                    f"{self.names['sessions']}: the therapist column {name!r} is in neither the sessions nor the "
                    "patients table; name it with Columns(therapist=...), or pass therapist=None and no therapists table."
                )
            return None
        if therapists is not None:
            checks.missing_columns(self.names["therapists"], therapists, {"therapist": name}, problems)
        return name

    def _session_frame(
        self,
        sessions: pd.DataFrame,
        therapist: str | None,
        problems: list[str],
    ) -> pd.DataFrame:
        columns, table = self.columns, self.names["sessions"]
        raw = sessions.reset_index(drop=True)
        patient = checks.ids(table, raw, columns.patient, problems)
        out = pd.DataFrame({columns.patient: patient})
        in_sessions = therapist is not None and therapist in raw.columns
        out["_therapist"] = (
            checks.ids(table, raw, therapist, problems, required=False) if in_sessions and therapist else None
        )
        is_date = False
        if columns.time is not None:
            stamps, is_date = checks.dates(table, raw[columns.time], columns.time, patient, problems)
            out[columns.time] = stamps
            gone = stamps.isna()
            if gone.any() and not problems:
                problems.append(
                    f"{table}: column {columns.time!r} is empty in {int(gone.sum())} rows (patient "
                    f"{listed(pd.unique(patient[gone]))}); every session needs its time: fill it in, or leave time out."
                )
        if columns.session in raw.columns:
            number = checks.numbers(table, raw, columns.session, patient, problems)
            bad = number.isna() | (number != np.floor(number)) | (number < 0)
            if bad.any() and not problems:
                problems.append(
                    f"{table}: column {columns.session!r} must hold whole numbers from 0; {int(bad.sum())} values are not "
                    f"(patient {listed(pd.unique(patient[bad]))}, e.g. {raw[columns.session][bad].iloc[0]!r}): number the "
                    "sessions, or leave the column out and name a time column."
                )
            out[columns.session] = number
        else:
            out[columns.session] = out.groupby(columns.patient)[columns.time].rank(method="first")
        scores = [columns.outcome, *([columns.alliance] if columns.alliance else []), *columns.covariates]
        for column in scores:
            values = checks.numbers(table, raw, column, patient, problems, self.missing_codes)
            if column in self.measures:
                values = checks.in_range(
                    table,
                    values,
                    column,
                    self.measures[column],
                    patient,
                    out[columns.session],
                    self.out_of_range,
                    problems,
                    self.notes,
                )
            out[column] = values
        if is_date:
            out.attrs["dates"] = True
        return out

    def _patient_frame(
        self,
        frame: pd.DataFrame,
        patients: pd.DataFrame | None,
        therapist: str | None,
        problems: list[str],
    ) -> tuple[pd.DataFrame, pd.Series]:
        """Intake table by patient id, and each patient's therapist; renames patients into episodes where asked."""
        columns, column = self.columns, self.columns.patient
        there = pd.unique(frame[column].dropna())
        if patients is None:
            intake = pd.DataFrame(index=_index(there, column))
            listed_own = pd.Series(None, index=intake.index, dtype=object)
        else:
            table = self.names["patients"]
            raw = patients.reset_index(drop=True)
            keys = checks.ids(table, raw, column, problems)
            repeated = pd.unique(keys[keys.duplicated() & keys.notna()])
            if len(repeated):
                problems.append(
                    f"{table}: patient {listed(repeated)} stands in more than one row; keep one row a patient."
                )
            absent = [key for key in there if key not in set(keys)]
            if absent:
                hint = ""
                if {str(k) for k in absent} <= {str(k) for k in keys.dropna()}:
                    hint = " (the identifiers differ only in being text or numbers: read both tables alike)"
                problems.append(
                    f"{table}: patient {listed(absent)} has sessions but no row here{hint}; add the rows, or leave the "
                    "patients table out."
                )
            if problems:
                return pd.DataFrame(), pd.Series(dtype=object)
            given = checks.ids(table, raw, therapist, problems, required=False) if therapist in raw.columns else None
            raw.index = _index(keys, column)
            listed_own = pd.Series(None if given is None else given.to_numpy(), index=raw.index, dtype=object)
            intake = raw.drop(columns=[c for c in (column, therapist) if c in raw.columns])
            _finite_intake(table, intake, problems)
        if problems:
            return pd.DataFrame(), pd.Series(dtype=object)
        own, intake = self._who_treats(frame, intake, listed_own, problems)
        order = np.argsort(intake.index, kind="stable")
        return intake.iloc[order], own.iloc[order]

    def _who_treats(
        self,
        frame: pd.DataFrame,
        intake: pd.DataFrame,
        listed_own: pd.Series,
        problems: list[str],
    ) -> tuple[pd.Series, pd.DataFrame]:
        """Reconcile the therapist named in sessions with the one named in patients."""
        column = self.columns.patient
        pairs = frame.loc[frame["_therapist"].notna(), [column, "_therapist"]].drop_duplicates()
        several = pd.unique(pairs.loc[pairs[column].duplicated(), column])
        if self.episodes == "patient-therapist":
            split = frame[column].map(str) + " / " + frame["_therapist"].map(lambda t: "none" if t is None else str(t))
            old = frame[column].copy()
            frame[column] = split
            first = pd.DataFrame({"old": old, "own": frame["_therapist"], "new": split}).drop_duplicates("new")
            idle = intake.index.difference(pd.Index(old.unique()))
            rows = intake.reindex(pd.Index([*first["old"], *idle]))
            rows.index = _index([*first["new"], *map(str, idle)], column)
            own = pd.Series([*first["own"], *listed_own.reindex(idle)], index=rows.index, dtype=object)
            self.notes.append(f"{len(several)} patients changed therapist; each patient–therapist pair is one episode.")
            return own.where(own.notna(), None), rows
        if len(several):
            problems.append(
                f"{self.names['sessions']}: the therapist changes within patient {listed(several)}; correct it, or pass "
                "episodes='patient-therapist' to treat each patient–therapist pair as an episode of its own."
            )
            return listed_own, intake
        own = listed_own.copy()
        seen = pd.Series(pairs["_therapist"].to_numpy(), index=_index(pairs[column], column), dtype=object)
        told = own.reindex(seen.index)
        clash = told.notna() & (told != seen)
        if clash.any():
            first_patient = clash[clash].index[0]
            problems.append(
                f"{self.names['patients']}: the therapist of patient {listed(clash[clash].index)} differs from the "
                f"sessions table (e.g. {told[first_patient]!r} here, {seen[first_patient]!r} there); correct one of them."
            )
            return own, intake
        own.loc[seen.index] = seen
        return own.where(own.notna(), None), intake

    def _therapist_frame(
        self, own: pd.Series, therapists: pd.DataFrame | None, therapist: str | None, problems: list[str]
    ) -> pd.DataFrame:
        there = sorted(pd.unique(own.dropna()), key=lambda t: (isinstance(t, str), t))
        if therapists is None or therapist is None:
            return pd.DataFrame(index=_index(there, therapist or DEFAULT_THERAPIST))
        table = self.names["therapists"]
        raw = therapists.reset_index(drop=True)
        keys = checks.ids(table, raw, therapist, problems)
        repeated = pd.unique(keys[keys.duplicated() & keys.notna()])
        if len(repeated):
            problems.append(
                f"{table}: therapist {listed(repeated)} stands in more than one row; keep one row a therapist."
            )
        absent = [key for key in there if key not in set(keys)]
        if absent:
            problems.append(f"{table}: therapist {listed(absent)} treats patients but has no row here; add the rows.")
        if problems:
            return pd.DataFrame()
        raw.index = _index(keys, therapist)
        staff = raw.drop(columns=[therapist])
        _finite_intake(table, staff, problems)
        return staff.sort_index()

    def _unique_sessions(self, frame: pd.DataFrame, problems: list[str]) -> None:
        columns, table = self.columns, self.names["sessions"]
        twice = frame.duplicated([columns.patient, columns.session])
        if twice.any():
            row = frame[twice].iloc[0]
            problems.append(
                f"{table}: {int(twice.sum())} rows repeat a patient and session, first patient {listed([row[columns.patient]])}, "
                f"session {row[columns.session]:g} (patient {listed(pd.unique(frame.loc[twice, columns.patient]))}); "
                "keep one row a session, or number the sessions anew."
            )
            return
        if columns.time is None:
            return
        ordered = frame.sort_values([columns.patient, columns.session], key=_sortable)
        same = ordered[columns.patient].eq(ordered[columns.patient].shift())
        back = same & (ordered[columns.time].diff() < 0)
        if back.any():
            problems.append(
                f"{table}: session numbers and {columns.time!r} run in different orders for patient "
                f"{listed(pd.unique(ordered.loc[back, columns.patient]))}; correct one of the two."
            )

    def _informative(self, frame: pd.DataFrame, problems: list[str]) -> None:
        """Refuse a score that is empty or constant in what is plainly a study, not a short history to forecast from."""
        columns = self.columns
        n_patients = frame[columns.patient].nunique()
        if n_patients < 10 or len(frame) < 2 * n_patients:
            return
        for role, column in (("outcome", columns.outcome), ("alliance", columns.alliance)):
            if column is None:
                continue
            known = frame[column].dropna()
            if len(known) == 0:
                problems.append(
                    f"{self.names['sessions']}: column {column!r} (the {role}) is empty in all {len(frame)} rows."
                )
            elif known.nunique() == 1:
                problems.append(
                    f"{self.names['sessions']}: column {column!r} (the {role}) is {known.iloc[0]:g} in every row; "
                    "a constant cannot be analysed: name another column."
                )
            if problems and role == "alliance":
                problems[-1] += " To forecast without it, leave the alliance out of Columns."


def _raise(problems: list[str]) -> None:
    if problems:
        raise PanelError(problems)


def _index(values: Any, name: str) -> pd.Index[Any]:
    return pd.Index(list(values), name=name)


def _finite_intake(table: str, intake: pd.DataFrame, problems: list[str]) -> None:
    for name in intake.select_dtypes("number"):
        bad = np.isinf(intake[name].to_numpy(dtype=float, na_value=np.nan))
        if bad.any():
            problems.append(
                f"{table}: column {name!r} has {int(bad.sum())} infinite values (patient "
                f"{listed(intake.index[bad])}); mark them as missing or correct them."
            )


def _sortable(values: pd.Series) -> pd.Series:
    return values.map(str) if values.dtype == object else values
