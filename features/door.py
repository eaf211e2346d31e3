"""What stands between three raw tables and a `Panel`: every check, in an order in which each can rely on the last."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import checks, course
from features.checks import Codes
from features.columns import DEFAULT_THERAPIST, Columns
from features.episodes import Treatments, by_episode, by_patient, by_therapist
from features.errors import PanelError, counted, listed
from features.intake import clean_intake, coded_intake
from features.measures import Measure
from features.shape import identifiers_as_columns, without_row_numbers

# names that a column of therapists has, in the languages of the field; not those of their characteristics
THERAPISTS = re.compile(
    r"(therapist|therapeut(in)?|t[eé]rapeuta|th[eé]rapeute|terapeuta?|clinician|counsell?or|behandler(in)?|provider)"
    r"(s|en)?([ _.-]?(id|nr|no|num|number|code|name))?",
    re.IGNORECASE,
)
LARGEST_SESSION = 100_000  # beyond it a "session number" is a date, a minute or an identifier


@dataclass(frozen=True)
class Tables:
    """Three clean tables.

    Attributes
    ----------
    sessions : DataFrame of n_sessions rows
        Role columns, sorted by patient and session; ``attrs["dates"]`` where time held dates.
    patients : DataFrame of n_patients rows, index patient id (sorted)
    therapists : DataFrame, index therapist id (sorted)
    patient_index : int array of shape (n_sessions,)
        Row of ``patients``.
    own : object Series of n_patients
        Therapist of each patient, None where there is none.
    person : int array of shape (n_patients,)
        Who each patient is, where one person may have several episodes.
    """

    sessions: pd.DataFrame
    patients: pd.DataFrame
    therapists: pd.DataFrame
    patient_index: NDArray[np.intp]
    own: pd.Series
    person: NDArray[np.intp]


@dataclass
class Door:
    """The options under which raw tables are checked; ``notes`` collects what was changed, with counts."""

    columns: Columns
    measures: Mapping[str, Measure]
    names: Mapping[str, str]
    missing_codes: Codes | Mapping[str, Codes]
    out_of_range: str
    episodes: str
    notes: list[str] = field(default_factory=list)

    def clean(self, sessions: pd.DataFrame, patients: pd.DataFrame | None, therapists: pd.DataFrame | None) -> Tables:
        """Check and sort the three tables. Stages that later ones stand on raise before those begin."""
        columns, names = self.columns, self.names
        sessions, patients, therapists = self._shaped(sessions, patients, therapists)
        therapist = self._named_columns(sessions, patients, therapists)
        problems: list[str] = []
        frame = self._session_frame(sessions, therapist, problems)
        intake, listed_own = self._patient_frame(frame, patients, therapist, problems)
        _raise(problems)
        treated = self._treatments(frame, intake, listed_own, problems)
        _raise(problems)
        order = np.argsort(treated.patients.index, kind="stable")
        intake, own, person = treated.patients.iloc[order], treated.own.iloc[order], treated.person[order]
        staff = self._therapist_frame(own, therapists, therapist, problems)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        who = rank[treated.patient_index]
        rows = np.lexsort((frame[columns.session].to_numpy(), who))
        who, frame = who[rows], frame.iloc[rows]
        course.in_order(
            names["sessions"], columns, frame, who, intake.index, columns.session in sessions.columns, problems
        )
        _raise(problems)
        course.informative(names["sessions"], columns, frame, problems)
        _raise(problems)
        clean = pd.DataFrame({columns.patient: intake.index.take(who)})
        for name in (columns.session, columns.time, *columns.scores):
            if name is not None:
                clean[name] = frame[name].to_numpy()
        clean[columns.session] = clean[columns.session].astype(np.int64)
        clean.attrs = dict(frame.attrs)
        kept = [columns.patient, *(c for c in frame.columns if c in clean.columns and c != columns.patient)]
        clean = clean[kept]
        course.count_empty(names["sessions"], columns, clean, self.notes)
        return Tables(clean, intake, staff, who, own, person)

    # -- shape and columns ----------------------------------------------------------------------------------------

    def _shaped(
        self, sessions: pd.DataFrame, patients: pd.DataFrame | None, therapists: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None]:
        """Tables as frames with one header row, distinct names, identifiers in columns, and no exported row numbers."""
        columns, names, problems = self.columns, self.names, list[str]()
        given = {"sessions": sessions, "patients": patients, "therapists": therapists}
        for key, table in given.items():
            if table is None and key != "sessions":
                continue
            if not isinstance(table, pd.DataFrame):
                hint = "; read files with personalize.read_panel" if isinstance(table, str) else ""
                raise PanelError(f"{names[key]}: a pandas DataFrame is needed, {type(table).__name__} came{hint}.")
            checks.duplicated_columns(names[key], table, problems)
        _raise(problems)
        wanted = (columns.patient, columns.therapist, columns.session, columns.time, columns.episode)
        shaped = {
            key: None if table is None else identifiers_as_columns(table, tuple(w for w in wanted if w is not None))
            for key, table in given.items()
        }
        for key in ("patients", "therapists"):
            table = shaped[key]
            if table is not None:
                shaped[key] = without_row_numbers(names[key], table, self.notes)
        if len(sessions) == 0 and patients is None:
            raise PanelError(
                f"{names['sessions']}: the table has no rows; without a patients table there is nothing to do."
            )
        assert shaped["sessions"] is not None
        return shaped["sessions"], shaped["patients"], shaped["therapists"]

    def _named_columns(
        self, sessions: pd.DataFrame, patients: pd.DataFrame | None, therapists: pd.DataFrame | None
    ) -> str | None:
        """Hold every role's column against the tables; return the therapist column's name, None without therapists."""
        columns, names, problems = self.columns, self.names, list[str]()
        wanted = {"patient": columns.patient, "outcome": columns.outcome}
        if columns.alliance is not None:
            wanted["alliance"] = columns.alliance
        if columns.time is not None:
            wanted["time"] = columns.time
        else:
            wanted["session"] = columns.session
        if columns.episode is not None:
            wanted["episode"] = columns.episode
        wanted.update({f"covariates[{i}]": name for i, name in enumerate(columns.covariates)})
        checks.missing_columns(names["sessions"], sessions, wanted, problems)
        if patients is not None:
            checks.missing_columns(names["patients"], patients, {"patient": columns.patient}, problems)
        name = columns.therapist
        if name is not None and therapists is not None:
            checks.missing_columns(names["therapists"], therapists, {"therapist": name}, problems)
        if therapists is not None and name is None:
            problems.append(
                f"{names['therapists']}: a therapists table came, but Columns(therapist=None) names no therapist; name "
                "the column, or leave the table out."
            )
        nowhere = name not in sessions.columns and (patients is None or name not in patients.columns)
        if name is not None and nowhere and (name != DEFAULT_THERAPIST or therapists is not None):
            problems.append(
                f"{names['sessions']}: the therapist column {name!r} is in neither the sessions nor the patients "
                "table; name it with Columns(therapist=...), or pass therapist=None and no therapists table."
            )
        _raise(problems)
        if nowhere and name is not None:
            self._like_therapists(sessions, patients)
        return None if nowhere else name

    def _like_therapists(self, sessions: pd.DataFrame, patients: pd.DataFrame | None) -> None:
        """Note columns that look as if they named the therapist, where none is named: clusters and effects need him."""
        for key, table in (("sessions", sessions), ("patients", patients)):
            for column in () if table is None else table.columns:
                if column not in self.columns.scores and THERAPISTS.fullmatch(str(column).strip()):
                    self.notes.append(
                        f"{self.names[key]}: column {str(column)!r} looks as if it named the therapist, but no "
                        f"therapist column is named: pass Columns(therapist={str(column)!r}). Without it patients of "
                        "one therapist count as independent, and intervals may be too narrow."
                    )
                    return

    # -- the three tables -----------------------------------------------------------------------------------------

    def _session_frame(self, raw: pd.DataFrame, therapist: str | None, problems: list[str]) -> pd.DataFrame:
        """Role columns of the sessions table as clean values, rows in the order given."""
        columns, table = self.columns, self.names["sessions"]
        raw = raw.reset_index(drop=True)
        patient = checks.ids(table, raw, columns.patient, problems)
        out = pd.DataFrame({columns.patient: patient})
        here = therapist is not None and therapist in raw.columns
        out["_therapist"] = checks.ids(table, raw, str(therapist), problems, required=False) if here else None
        if columns.episode is not None:
            out["_episode"] = checks.ids(table, raw, columns.episode, problems)
        is_date = False
        if columns.time is not None:
            before = len(problems)
            stamps, is_date = checks.dates(table, raw[columns.time], columns.time, patient, problems)
            out[columns.time] = stamps
            gone = stamps.isna().to_numpy()
            if gone.any() and len(problems) == before:
                problems.append(
                    f"{table}: column {columns.time!r} is empty in {counted(gone.sum(), 'row')} (patient "
                    f"{listed(pd.unique(patient[gone]))}); every session needs its time: fill it in, or leave time out "
                    "of Columns and number the sessions."
                )
        out[columns.session] = self._session_numbers(raw, out, patient, problems)
        for column in columns.scores:
            values = checks.numbers(
                table, raw, column, patient, problems, checks.codes_of(self.missing_codes, column), self.notes
            )
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
        out.attrs["dates"] = is_date
        return out

    def _session_numbers(
        self, raw: pd.DataFrame, out: pd.DataFrame, patient: pd.Series, problems: list[str]
    ) -> pd.Series:
        """Session numbers as given, or the order of the times within each patient."""
        columns, table = self.columns, self.names["sessions"]
        if columns.session not in raw.columns:
            keys = [out[columns.patient], *([out["_episode"]] if columns.episode is not None else [])]
            return out[columns.time].groupby(keys, dropna=False).rank(method="first")
        before = len(problems)
        number = checks.numbers(table, raw, columns.session, patient, problems)
        if len(problems) > before:
            return number
        bad = (number.isna() | (number != np.floor(number)) | (number < 0) | (number > LARGEST_SESSION)).to_numpy()
        if bad.any():
            problems.append(
                f"{table}: column {columns.session!r} must hold whole numbers from 0 to {LARGEST_SESSION} but has "
                f"{counted(bad.sum(), 'other value')} (patient {listed(pd.unique(patient[bad]))}, e.g. "
                f"{listed([raw[columns.session][bad].iloc[0]])}): number the sessions, or leave the column out and "
                "name a time column."
            )
        return number

    def _patient_frame(
        self, frame: pd.DataFrame, patients: pd.DataFrame | None, therapist: str | None, problems: list[str]
    ) -> tuple[pd.DataFrame, pd.Series]:
        """Intake table by patient id (in the order given), and the therapist it names for each patient."""
        columns, column = self.columns, self.columns.patient
        there = pd.unique(frame[column].dropna())
        if patients is None:
            intake = pd.DataFrame(index=_index(there, column))
            return intake, pd.Series([None] * len(intake), index=intake.index, dtype=object)
        table = self.names["patients"]
        raw = patients.reset_index(drop=True)
        before = len(problems)
        keys = checks.ids(table, raw, column, problems)
        part = None
        if columns.episode is not None and columns.episode in raw.columns:
            part = checks.ids(table, raw, columns.episode, problems)
        repeated = keys[pd.DataFrame({"k": keys, "e": part}).duplicated() & keys.notna()]
        if len(repeated):
            remedy = "keep one row a patient" if part is None else "keep one row an episode"
            problems.append(f"{table}: patient {listed(pd.unique(repeated))} stands in more than one row; {remedy}.")
        known = set(keys)
        absent = [key for key in there if key not in known]
        if absent:
            problems.append(
                f"{table}: patient {listed(absent)} has sessions but no row here{spelling(absent, known)}; add the "
                "rows, or leave the patients table out."
            )
        in_table = therapist is not None and therapist in raw.columns
        given = checks.ids(table, raw, str(therapist), problems, required=False) if in_table else None
        if len(problems) > before:
            return pd.DataFrame(), pd.Series(dtype=object)
        raw.index = _index(keys, column)
        own = pd.Series([None] * len(raw) if given is None else given.tolist(), index=raw.index, dtype=object)
        intake = raw.drop(columns=[c for c in (column, therapist, columns.episode) if c in raw.columns])
        intake = self._intake(table, intake, problems)
        if part is not None:
            intake = intake.set_axis(pd.MultiIndex.from_arrays([list(keys), list(part)]), axis=0)
            own.index = intake.index
        return intake, own

    def _intake(self, table: str, raw: pd.DataFrame, problems: list[str]) -> pd.DataFrame:
        codes = self.missing_codes if isinstance(self.missing_codes, Mapping) else {}
        intake = clean_intake(table, raw, codes, problems, self.notes)
        general = checks.codes_of(self.missing_codes, checks.ALL_SCORES)
        coded_intake(table, intake, [c for c in general if not isinstance(c, str)], self.notes)
        return intake

    def _treatments(
        self, frame: pd.DataFrame, intake: pd.DataFrame, listed_own: pd.Series, problems: list[str]
    ) -> Treatments:
        """What one row of the panel's patients is: a patient, an episode, or a patient–therapist pair."""
        column = self.columns.patient
        if self.columns.episode is not None:
            if self.episodes != "patient":
                problems.append(f"episodes={self.episodes!r} and Columns(episode=...) exclude each other; keep one.")
                _raise(problems)
            return by_episode(frame, column, intake, listed_own, self.names, problems, self.notes)
        if self.episodes == "patient-therapist":
            return by_therapist(frame, column, intake, listed_own, self.names, problems, self.notes)
        return by_patient(frame, column, intake, listed_own, self.names, problems)

    def _therapist_frame(
        self, own: pd.Series, therapists: pd.DataFrame | None, therapist: str | None, problems: list[str]
    ) -> pd.DataFrame:
        there = pd.unique(own.dropna()).tolist()
        if therapists is None or therapist is None:
            return pd.DataFrame(index=_index(sorted(there), therapist or DEFAULT_THERAPIST))
        table = self.names["therapists"]
        raw = therapists.reset_index(drop=True)
        before = len(problems)
        keys = checks.ids(table, raw, therapist, problems)
        repeated = pd.unique(keys[keys.duplicated() & keys.notna()])
        if len(repeated):
            problems.append(
                f"{table}: therapist {listed(repeated)} stands in more than one row; keep one row a therapist."
            )
        known = set(keys)
        absent = [key for key in there if key not in known]
        if absent:
            problems.append(
                f"{table}: therapist {listed(absent)} treats patients but has no row here{spelling(absent, known)}; "
                "add the rows, or leave the therapists table out."
            )
        if len(problems) > before:
            return pd.DataFrame()
        raw.index = _index(keys, therapist)
        return self._intake(table, raw.drop(columns=[therapist]), problems).sort_index()


def spelling(absent: list[Any], known: set[Any]) -> str:
    """Say so where identifiers are missing from a table only because two tables spell them differently."""
    there = {str(key) for key in known if key is not None}
    if {str(key) for key in absent} <= there:
        return " (the identifiers differ only in being text or numbers: read both tables alike)"
    bare = {key.lstrip("0").casefold() for key in there}
    if {str(key).lstrip("0").casefold() for key in absent} <= bare:
        return " (the identifiers differ only in leading zeros or capitals: spell them alike in both tables)"
    return ""


def _raise(problems: list[str]) -> None:
    if problems:
        raise PanelError(problems)


def _index(values: Any, name: str) -> pd.Index[Any]:
    index: pd.Index[Any] = pd.Index(list(values), name=name)
    return index
