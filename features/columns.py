"""Which column of the user's tables plays which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from features.errors import OptionError, listed

DEFAULT_THERAPIST = "therapist_id"


@dataclass(frozen=True)
class Columns:
    """Which column of the user's tables plays which role.

    Parameters
    ----------
    outcome : str
        Outcome score of the session, such as a symptom total.
    alliance : str or None
        The within-person process: alliance by default, any other by name. ``None``: forecasts only.
    patient, therapist, session : str
        Identifiers and session number. Therapist may stand in the sessions table, in the patients table or, under its
        default name, nowhere. Without a session column the sessions are numbered by ``time`` within each patient.
    time : str or None
        Date (ISO) or number (days, weeks, months) of the session.
    covariates : sequence of str
        Further numeric session columns (second rater, homework, co-medication).
    episode : str or None
        Which treatment of the patient a session belongs to, where patients came back for another one. Each episode
        then counts as a patient of its own, named ``"p1 / 2"``. A patients table with this column has one row an
        episode; without it, one row a patient that serves all episodes.

    Raises
    ------
    OptionError
        When one column is given two roles, or a role that must be named is empty.
    """

    outcome: str = "outcome"
    alliance: str | None = None
    patient: str = "patient_id"
    therapist: str | None = DEFAULT_THERAPIST
    session: str = "session"
    time: str | None = None
    covariates: Sequence[str] = ()
    episode: str | None = None

    def __post_init__(self) -> None:
        given = (self.covariates,) if isinstance(self.covariates, str) else tuple(self.covariates)
        object.__setattr__(self, "covariates", given)
        optional = ("alliance", "therapist", "time", "episode")
        for role in ("outcome", "patient", "session", *optional):
            name = getattr(self, role)
            if (name is None and role not in optional) or (
                name is not None and (not isinstance(name, str) or not name)
            ):
                raise OptionError(f"Columns: {role}={name!r} is not a column name; give the column's name as text.")
        for name in given:
            if not isinstance(name, str) or not name:
                raise OptionError(f"Columns: covariates holds {name!r}, which is not a column name.")
        roles = [self.outcome, self.alliance, self.patient, self.therapist, self.episode, *given]
        named = [name for name in roles if name is not None]
        twice = sorted({name for name in named if named.count(name) > 1})
        twice += [
            name for name in (self.session, self.time) if name is not None and name in named[: -len(given) or None]
        ]
        if twice:
            raise OptionError(f"Columns: {listed(twice)} is given two roles; one column plays one role.")
        if self.time == self.session:
            raise OptionError("Columns: session and time name the same column; leave time out.")

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the numeric session columns: outcome, alliance where there is one, covariates."""
        return (self.outcome, *((self.alliance,) if self.alliance is not None else ()), *self.covariates)

    def to_dict(self) -> dict[str, Any]:
        """Return the roles as plain values, for JSON and TOML."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}
