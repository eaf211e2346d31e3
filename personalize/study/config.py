"""What a study analyses: files, roles, measures and options, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from features import Columns, Panel
from features.errors import OptionError, check_level, check_seed
from features.measures import Measure, from_table, measure
from personalize.check import CheckReport, check_files
from personalize.effects.checks import named_moderators
from personalize.effects.intake import baseline_table
from personalize.files import read_panel
from personalize.study.pseudonyms import check_moderators
from personalize.study.schema import KEYS

READING = (
    "missing_codes",
    "out_of_range",
    "layout",
    "wide",
    "trailing",
    "intake",
    "sheet",
    "date_format",
    "delimiter",
    "decimal",
    "encoding",
    "episodes",
    "leave_out",
)  # keys of [data] that are arguments of `read_panel` under the same name


@dataclass(frozen=True)
class Study:
    """Settings of one study, as `personalize.study.schema.KEYS` lists them.

    Made by `study_from` (values, flags) or `study_from_toml` (a file), which check every value.

    Parameters
    ----------
    values : mapping of str to mapping
        Section, then key: plain values, defaults filled in. ``None``: not set.
    source : str
        What to call the study in messages, such as ``"study.toml"``.
    """

    values: Mapping[str, Mapping[str, Any]]
    source: str = "study"
    columns: Columns = field(init=False)
    measures: Mapping[str, str | Measure] = field(init=False)

    def __post_init__(self) -> None:
        get = self.get
        roles = Columns(
            outcome=get("outcome.column"),
            alliance=get("alliance.column"),
            patient=get("columns.patient"),
            therapist=get("columns.therapist") or None,
            session=get("columns.session"),
            time=get("columns.time"),
            covariates=tuple(get("columns.covariates")),
            episode=get("columns.episode"),
        )
        object.__setattr__(self, "columns", roles)
        object.__setattr__(self, "measures", self._measures(roles))
        check_level(f"{self.source}: analysis.level", get("analysis.level"))
        check_seed(f"{self.source}: analysis.seed", get("analysis.seed"))
        for key in ("outcome.sem", "alliance.sem"):
            if get(key) is not None and not 0 <= get(key) < float("inf"):
                raise OptionError(f"{self.source}: {key}={get(key)!r} is not allowed; give points from 0.")

    def get(self, dotted: str) -> Any:
        """Value of ``section.key``."""
        section, _, name = dotted.rpartition(".")
        return self.values[section][name]

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.get("output.folder"))

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named, by table."""
        named = {role: self.values["data"][role] for role in ("sessions", "patients", "therapists")}
        return {role: Path(path) for role, path in named.items() if path is not None}

    def read(self, *, absent: Literal["error", "unknown"] = "error") -> Panel:
        """Read the study's files into a panel; ``absent`` as in `personalize.files.read_panel`.

        Raises
        ------
        OptionError, FileError, PanelError
            As `personalize.files.read_panel`.
        """
        return read_panel(self._sessions(), **self._reading(), absent=absent)

    def check(self) -> CheckReport:
        """Check the study's files without fitting anything."""
        items = {name: list(columns) for name, columns in self.values["items"].items()}
        report = check_files(self._sessions(), items=items, **self._reading())
        moderators = list(self.get("analysis.moderators"))
        if report.ok and moderators:
            panel = self.read()
            try:
                named_moderators(baseline_table(panel), moderators)
                if self.get("output.pseudonyms"):
                    check_moderators(panel, moderators)
            except OptionError as error:
                return replace(report, problems=(f"{self.source}: analysis.{error}",))
        return report

    def _sessions(self) -> Path:
        path = self.files.get("sessions")
        if path is None:
            raise OptionError(
                f"{self.source}: no sessions table is named; give --sessions FILE, or data.sessions in study.toml."
            )
        return path

    def _reading(self) -> dict[str, Any]:
        data = self.values["data"]
        given = {name: data[name] for name in READING if data[name] is not None}
        return {
            "patients": self.files.get("patients"),
            "therapists": self.files.get("therapists"),
            "columns": self.columns,
            "measures": self.measures,
            "timing": self.get("alliance.timing"),
            "better": self.get("outcome.better"),
            **given,
        }

    def _measures(self, roles: Columns) -> dict[str, str | Measure]:
        named: dict[str, Any] = dict(self.values["measures"])
        for role, column in (("outcome", roles.outcome), ("alliance", roles.alliance)):
            own = self.values[role]["measure"]
            if own is None:
                continue
            if column is None:
                raise OptionError(f"{self.source}: {role}.measure is given, but {role}.column is not; name the column.")
            named[column] = own
        out: dict[str, str | Measure] = {}
        for column, own in named.items():
            if column not in roles.scores:
                raise OptionError(
                    f"{self.source}: a measure is given for {column!r}, which plays no role; measures are named for "
                    f"the outcome, the alliance and covariates ({', '.join(roles.scores)})."
                )
            out[column] = from_table(column, own) if isinstance(own, Mapping) else measure(own).name
        return out

    def plain(self) -> dict[str, Any]:
        """All values for JSON and TOML; what is not set is left out."""
        return {
            section: {name: _plain(value) for name, value in own.items() if value is not None}
            for section, own in self.values.items()
        }


def defaults() -> dict[str, dict[str, Any]]:
    """Values of a study of which nothing is known yet."""
    out: dict[str, dict[str, Any]] = {"measures": {}, "items": {}}
    for key in KEYS:
        out.setdefault(key.section, {})[key.name] = key.default
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return value
