"""What one treatment is: a patient, one of the patient's episodes, or a patient with one of several therapists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import PanelError, counted, listed


@dataclass(frozen=True)
class Treatments:
    """The rows of the panel's patients table, in the order given.

    Attributes
    ----------
    patients : DataFrame of n_patients rows, index patient id
        Intake columns.
    own : object Series of n_patients
        Therapist of each, None where there is none.
    patient_index : int array of shape (n_sessions,)
        Row of ``patients`` for each session, in the order the sessions came.
    person : int array of shape (n_patients,)
        Equal numbers mark episodes of one person.
    """

    patients: pd.DataFrame
    own: pd.Series
    patient_index: NDArray[np.intp]
    person: NDArray[np.intp]


def by_patient(
    frame: pd.DataFrame,
    column: str,
    intake: pd.DataFrame,
    listed_own: pd.Series,
    names: Mapping[str, str],
    problems: list[str],
) -> Treatments:
    """One treatment a patient; the therapist must be one, and the same in both tables."""
    who = _rows(intake.index, frame[column])
    own = _one_therapist(
        who,
        frame["_therapist"],
        listed_own,
        intake.index,
        names,
        problems,
        "correct it, or pass episodes='patient-therapist' to treat each patient–therapist pair as an episode",
    )
    return Treatments(intake, own, who, np.arange(len(intake)))


def by_therapist(
    frame: pd.DataFrame,
    column: str,
    intake: pd.DataFrame,
    listed_own: pd.Series,
    names: Mapping[str, str],
    problems: list[str],
    notes: list[str],
) -> Treatments:
    """One treatment a patient–therapist pair, named ``"p1 / t2"``.

    A session without a therapist belongs to the patient's only one; where there are several it is a problem. Patients
    whose therapist stands in the patients table alone keep that one.
    """
    person = _rows(intake.index, frame[column])
    codes, therapists = pd.factorize(frame["_therapist"])
    fallback, all_therapists = pd.factorize(pd.Series([*therapists, *listed_own], dtype=object))
    listed_code = fallback[len(therapists) :]
    first = np.full(len(intake), -1, dtype=np.intp)
    seen = codes >= 0
    first[person[seen][::-1]] = codes[seen][::-1]
    only = np.where(first >= 0, first, listed_code)
    several = np.zeros(len(intake), dtype=bool)
    several[person[seen][codes[seen] != first[person[seen]]]] = True
    unknown = ~seen & several[person]
    if unknown.any():
        problems.append(
            f"{names['sessions']}: {counted(unknown.sum(), 'session')} without a therapist for patient "
            f"{listed(pd.unique(frame[column][unknown]))}, who has several; fill the therapist in."
        )
        return Treatments(intake, listed_own, person, np.arange(len(intake)))
    codes = np.where(seen, codes, only[person])
    out = _split(intake, person, codes, np.asarray([*all_therapists, None], dtype=object), only)
    notes.append(
        f"{counted(several.sum(), 'patient')} changed therapist; each patient–therapist pair is one episode "
        f"({len(out.patients)} episodes of {len(intake)} patients)."
    )
    return out


def by_episode(
    frame: pd.DataFrame,
    column: str,
    intake: pd.DataFrame,
    listed_own: pd.Series,
    names: Mapping[str, str],
    problems: list[str],
    notes: list[str],
) -> Treatments:
    """One treatment an episode of a patient, named ``"p1 / 2"``; ``intake`` has a row a patient or a row an episode.

    With a row an episode its index has two levels, patient and episode.
    """
    two_levels = isinstance(intake.index, pd.MultiIndex)
    people = intake.index.get_level_values(0) if two_levels else intake.index
    person_codes, distinct = pd.factorize(people)
    person = _rows(pd.Index(distinct), frame[column])
    listed_parts = list(intake.index.get_level_values(1)) if two_levels else []
    parts, values = pd.factorize(pd.Series([*frame["_episode"], *listed_parts], dtype=object))
    parts, listed_codes = parts[: len(frame)], parts[len(frame) :]
    if two_levels:
        keys = pd.MultiIndex.from_arrays([person_codes, listed_codes])
        who = keys.get_indexer(pd.MultiIndex.from_arrays([person, parts]))
        if (who < 0).any():
            pairs = pd.unique(frame[column].map(str)[who < 0] + " / " + frame["_episode"].map(str)[who < 0])
            problems.append(
                f"{names['patients']}: episode {listed(pairs)} has sessions but no row here; add the rows, or drop the "
                "episode column from this table to give all episodes of a patient the same intake."
            )
            return Treatments(intake, listed_own, person, person_codes)
        labels = [f"{p} / {e}" for p, e in zip(people, listed_parts, strict=True)]
        rows = intake.set_axis(pd.Index(labels, name=column), axis=0)
        out = Treatments(rows, listed_own.set_axis(rows.index), who.astype(np.intp), person_codes.astype(np.intp))
    else:
        out = _split(intake, person, parts, np.asarray([*values, None], dtype=object), np.full(len(intake), -1))
        first_therapist = listed_own.to_numpy()[out.person]
        out = Treatments(
            out.patients, pd.Series(first_therapist, out.patients.index, dtype=object), out.patient_index, out.person
        )
    remedy = "an episode has one therapist: correct it, or number the episodes anew"
    # the therapist a patients table names for the person need not be that of every episode: sessions come first
    told = out.own if two_levels else out.own.where(~_named(out, frame), None)
    own = _one_therapist(out.patient_index, frame["_therapist"], told, out.patients.index, names, problems, remedy)
    again = len(out.patients) - len(np.unique(out.person))
    notes.append(f"{len(out.patients)} episodes of {len(out.patients) - again} patients; each is one treatment.")
    return Treatments(out.patients, own, out.patient_index, out.person)


def _named(treated: Treatments, frame: pd.DataFrame) -> NDArray[np.bool_]:
    named = np.zeros(len(treated.patients), dtype=bool)
    named[treated.patient_index[frame["_therapist"].notna().to_numpy()]] = True
    return named


def _rows(index: pd.Index[Any], values: pd.Series) -> NDArray[np.intp]:
    codes, distinct = pd.factorize(values)
    return np.asarray(index.get_indexer(pd.Index(distinct.tolist())))[codes].astype(np.intp)


def _split(
    intake: pd.DataFrame,
    person: NDArray[np.intp],
    parts: NDArray[np.intp],
    part_names: NDArray[np.object_],
    idle_part: NDArray[np.intp],
) -> Treatments:
    """Cut persons into their parts, in order of first appearance; persons without sessions keep one row."""
    width = len(part_names)  # the last name stands for "none", where codes are -1
    codes, pairs = pd.factorize(person * width + parts % width)
    idle = np.setdiff1d(np.arange(len(intake)), person)
    owner = np.concatenate([pairs // width, idle]).astype(np.intp)
    part = part_names[np.concatenate([pairs % width, idle_part[idle] % width]).astype(np.intp)]
    people = intake.index.to_numpy(dtype=object)[owner]
    alone = np.arange(len(owner)) >= len(pairs)
    labels = [
        str(p) if t is None and idle_row else f"{p} / {'none' if t is None else t}"
        for p, t, idle_row in zip(people, part, alone, strict=True)
    ]
    index = pd.Index(labels, name=intake.index.name)
    if not index.is_unique:
        raise PanelError(
            f"patient {listed(index[index.duplicated()])}: the name made for an episode is already an identifier; "
            "rename that patient."
        )
    return Treatments(
        intake.iloc[owner].set_axis(index, axis=0), pd.Series(part, index, dtype=object), codes.astype(np.intp), owner
    )


def _one_therapist(
    who: NDArray[np.intp],
    seen: pd.Series,
    listed_own: pd.Series,
    index: pd.Index[Any],
    names: Mapping[str, str],
    problems: list[str],
    remedy: str,
) -> pd.Series:
    """Reconcile the therapist named in sessions with the one named in patients."""
    codes, therapists = pd.factorize(seen)
    known = codes >= 0
    first = np.full(len(index), -1, dtype=np.intp)
    first[who[known][::-1]] = codes[known][::-1]
    changed = np.zeros(len(index), dtype=bool)
    changed[who[known][codes[known] != first[who[known]]]] = True
    if changed.any():
        problems.append(
            f"{names['sessions']}: the therapist changes within patient {listed(index[changed])}; {remedy}."
        )
        return listed_own
    told = np.asarray([*therapists, None], dtype=object)[first]
    own = listed_own.to_numpy(dtype=object)
    here, there = pd.notna(own), first >= 0
    clash = np.flatnonzero([h and t and a != b for h, t, a, b in zip(here, there, own, told, strict=True)])
    if len(clash):
        one = clash[0]
        alike = " (they differ only in being text or numbers)" if str(own[one]) == str(told[one]) else ""
        problems.append(
            f"{names['patients']}: the therapist of patient {listed(index[clash])} differs from the sessions table "
            f"(e.g. {own[one]!r} here, {told[one]!r} there{alike}); correct one of them."
        )
    merged = np.where(here, own, np.full(len(own), None, dtype=object))
    merged = np.where(there, told, merged)
    return pd.Series(merged, index=index, dtype=object)
