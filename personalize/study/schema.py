"""Every key of ``study.toml`` and its flag: one table that the reader, the command line and the documentation share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "path", "number", "whole", "switch", "list", "measure", "measures", "codes", "table"]


@dataclass(frozen=True)
class Key:
    """One setting of a study.

    Parameters
    ----------
    section : str
        Section of ``study.toml``; empty for the top of the file.
    name : str
    kind : str
        "text", "path" (counts from the folder of ``study.toml``), "number", "whole" (number), "switch" (true or false),
        "list" (of texts), "measure" (name in the registry, or a definition), "measures" (those by column), "codes"
        (a list for all scores, or lists by column), "table" (of texts).
    help : str
        What it means, for somebody who analyses psychotherapy data and does not program.
    flag : str
        Flag of the command line; empty where a flag would be too narrow.
    default : object
        ``None``: not set.
    choices : tuple of str
        Allowed values; empty for any.
    metavar : str
        What stands behind the flag in the help.
    """

    section: str
    name: str
    kind: Kind
    help: str
    flag: str = ""
    default: object = None
    choices: tuple[str, ...] = ()
    metavar: str = ""

    @property
    def dotted(self) -> str:
        """``section.name``, as messages call it."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def several(self) -> bool:
        """Whether the flag may be repeated."""
        return self.kind in ("list", "codes", "measures", "table")


SECTIONS = {
    "": "",
    "data": "The files, and how they are written.",
    "columns": "Which column holds what.",
    "outcome": "The score that is forecast and that treatment should change.",
    "alliance": "The process whose effect is estimated: the alliance, or any other that changes within patients.",
    "measures": "Instruments of covariates, by column; as outcome.measure.",
    "items": "Item columns of a scale, by the score they make up; `check` then reports the reliability.",
    "analysis": "What is computed.",
    "output": "Where the results go.",
}

KEYS: tuple[Key, ...] = (
    Key("", "title", "text", "Heading of the report.", "--title"),
    Key("data", "sessions", "path", "Table with one row a session (CSV, Parquet, SPSS, Stata or Excel).", "--sessions"),
    Key("data", "patients", "path", "Table with one row a patient: what is known at intake.", "--patients"),
    Key("data", "therapists", "path", "Table with one row a therapist.", "--therapists"),
    Key(
        "data",
        "missing_codes",
        "codes",
        "Values that mark a missing score, such as -9 or 99, for all session scores; or wai=9 for one column of any "
        "table.",
        "--missing-code",
        (),
        metavar="CODE or COLUMN=CODE",
    ),
    Key(
        "data",
        "out_of_range",
        "text",
        "What happens to a score outside the range of its measure: stop with an error, or count it as missing.",
        "--out-of-range",
        "error",
        ("error", "missing"),
    ),
    Key(
        "data",
        "layout",
        "text",
        "long: one row a session; wide: one row a patient, with columns such as phq9_s1, phq9_s2.",
        "--layout",
        "long",
        ("long", "wide"),
    ),
    Key(
        "data",
        "wide",
        "table",
        "How the columns of a wide table are named, where guessing fails: phq9=phq9_s{session}.",
        "--wide",
        metavar="SCORE=PATTERN",
    ),
    Key(
        "data",
        "trailing",
        "text",
        "What a wide table's empty sessions after the last score are: treatment had ended, or a rating is missing.",
        "--trailing",
        "ended",
        ("ended", "missing"),
    ),
    Key("data", "intake", "list", "Columns of the sessions table that describe the patient at intake.", "--intake"),
    Key(
        "data",
        "leave_out",
        "list",
        "Columns of the patients and therapists tables that are neither used nor written, such as names and remarks.",
        "--leave-out",
        (),
    ),
    Key("data", "sheet", "text", "Sheet of an Excel workbook that holds the sessions.", "--sheet"),
    Key(
        "data",
        "date_format",
        "text",
        "How dates are written where not as 2024-03-31, such as %d.%m.%Y.",
        "--date-format",
    ),
    Key(
        "data",
        "delimiter",
        "text",
        "What stands between the values of a text file; found out by default.",
        "--delimiter",
    ),
    Key("data", "decimal", "text", "Decimal mark of text files.", "--decimal", ".", (".", ",")),
    Key("data", "encoding", "text", "Encoding of text files, such as cp1252; UTF-8 by default.", "--encoding"),
    Key(
        "data",
        "episodes",
        "text",
        "What one treatment is: all sessions of a patient, or those with one therapist.",
        "--episodes",
        "patient",
        ("patient", "patient-therapist"),
    ),
    Key("columns", "patient", "text", "Column that says which patient a row belongs to.", "--patient-id", "patient_id"),
    Key(
        "columns",
        "therapist",
        "text",
        'Column that names the therapist, in the sessions or the patients table; "" for none.',
        "--therapist-id",
        "therapist_id",
    ),
    Key("columns", "session", "text", "Column with the session number.", "--session", "session"),
    Key(
        "columns",
        "time",
        "text",
        "Column with the date of the session, or days, weeks, months since the start.",
        "--time",
    ),
    Key("columns", "covariates", "list", "Further numeric columns of the sessions table.", "--covariate", ()),
    Key("columns", "episode", "text", "Column that tells treatments of one patient apart.", "--episode"),
    Key("outcome", "column", "text", "Column with the outcome score.", "--outcome", "outcome"),
    Key(
        "outcome",
        "measure",
        "measure",
        "Which instrument the outcome is, such as phq9; brings range, direction and reliable change.",
    ),
    Key(
        "outcome",
        "better",
        "text",
        "Which direction of the outcome is improvement, where no measure says so.",
        "--better",
        choices=("low", "high"),
    ),
    Key(
        "outcome",
        "sem",
        "number",
        "Standard error of measurement of one outcome score, in points; 0: measured without error.",
        "--outcome-sem",
    ),
    Key(
        "alliance",
        "column",
        "text",
        "Column with the alliance score; without it only forecasts are made.",
        "--alliance",
    ),
    Key("alliance", "measure", "measure", "Which instrument the alliance is, such as wai_sr."),
    Key(
        "alliance",
        "timing",
        "text",
        "Whether the alliance of a row is rated after that row's outcome, or before it.",
        "--timing",
        "after",
        ("after", "before"),
    ),
    Key(
        "alliance",
        "sem",
        "number",
        "Standard error of measurement of one alliance score, in points; 0: measured without error.",
        "--alliance-sem",
    ),
    Key(
        "analysis",
        "level",
        "number",
        "Probability of the intervals; 0.9 means that nine in ten should hold the truth.",
        "--level",
        0.90,
    ),
    Key(
        "analysis",
        "moderators",
        "list",
        "Intake columns that may moderate the effect, named beforehand (therapist_ and the name for a column of the "
        "therapists table); without any, all intake columns.",
        "--moderator",
        (),
    ),
    Key("analysis", "seed", "whole", "Start of the random numbers; the same seed gives the same results.", "--seed", 0),
    Key(
        "analysis",
        "all_baselines",
        "switch",
        "Compare the forecasts with every baseline there is, the slow ones included.",
        "--all-baselines",
        False,
    ),
    Key(
        "analysis",
        "shift_sd",
        "text",
        "How far the alliance is moved where a stronger one is asked about: one SD within patients, pooled (the same "
        "for everybody) or each patient's own.",
        "--shift-sd",
        "pooled",
        ("pooled", "own"),
    ),
    Key("output", "folder", "path", "Folder for the results; it appears whole or not at all.", "--out", "results"),
    Key(
        "output",
        "overwrite",
        "switch",
        "Replace a results folder to which files were added, and move aside a folder that is none.",
        "--overwrite",
        False,
    ),
    Key(
        "output",
        "pseudonyms",
        "switch",
        "Replace identifiers of patients and therapists in everything that is written.",
        "--pseudonyms",
        False,
    ),
)

MEASURE_FLAG = "--measure"  # serves outcome.measure, alliance.measure and measures alike: COLUMN=NAME


def keys_of(section: str) -> tuple[Key, ...]:
    """Keys of one section, in the order of the documentation."""
    return tuple(key for key in KEYS if key.section == section)
