"""Flags of the command line, made from the keys of ``study.toml``: one table serves both."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Annotated, Any

import typer

from features.checks import ALL_SCORES
from features.errors import OptionError
from personalize.study.schema import KEYS, MEASURE_FLAG, Key

PANELS = {
    "": "Results",
    "data": "Files",
    "columns": "Columns",
    "outcome": "Outcome",
    "alliance": "Alliance",
    "analysis": "Analysis",
    "output": "Results",
}
TYPES = {"number": float, "whole": int, "switch": bool}
PREFIX = "flag__"
MEASURE = f"{PREFIX}measure"
READING = ("data", "columns", "outcome", "alliance")  # sections that say what the data are


def flags_of(sections: Iterable[str], *, without: Iterable[str] = ()) -> list[inspect.Parameter]:
    """Parameters of a command for every key of some sections that has a flag, and for ``--measure``."""
    chosen, left = set(sections), set(without)
    keys = [key for key in KEYS if key.flag and key.section in chosen and key.dotted not in left]
    out = [_parameter(key) for key in keys]
    if "outcome" in chosen:
        out.append(_measure_flag())
    return out


def given_flags(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by ``section.key`` of the flags that were used.

    Parameters
    ----------
    values : mapping of parameter name to value
        As the command line parsed them.

    Raises
    ------
    OptionError
        For a repeated flag whose parts cannot be read.
    """
    out: dict[str, Any] = {}
    for key in KEYS:
        value = values.get(_name(key))
        if value is None or (isinstance(value, list) and not value):
            continue
        if key.kind == "codes":
            out[key.dotted] = _codes(value)
        elif key.kind == "table":
            out[key.dotted] = dict(_pair(key.flag, text, key.metavar) for text in value)
        else:
            out[key.dotted] = value
    for text in values.get(MEASURE) or []:
        column, _, name = text.rpartition("=")
        out[f"measures.{column}" if column else "outcome.measure"] = name
    return out


def in_flags(message: str) -> str:
    """Rewrite remedies that speak of Python arguments as flags.

    Examples
    --------
    >>> in_flags("Name the right one with Columns(outcome=...).")
    'Name the right one with --outcome (outcome.column in study.toml).'
    >>> in_flags("if 9 marks a missing rating, pass missing_codes=[9].")
    'if 9 marks a missing rating, pass --missing-code 9.'
    >>> in_flags("pass missing_codes={'oq45': [99, 999]}; for decimal commas pass decimal=',' to read_panel.")
    "pass --missing-code oq45=99 --missing-code oq45=999; for decimal commas pass --decimal ','."
    """
    roles = {_role(key): key for key in KEYS if key.section == "columns" or key.name == "column"}

    def role(match: re.Match[str]) -> str:
        if match[1] not in roles:
            return match[0]
        if match[2] == "None":
            return f'{roles[match[1]].flag} ""'
        if match[2][0] == "'":
            return f"{roles[match[1]].flag} {match[2]}"
        return f"{roles[match[1]].flag} ({roles[match[1]].dotted} in study.toml)"

    text = re.sub(r"Columns\((\w+)(?:\[\d+\])?=(\.\.\.|None|\[\.\.\.\]|'[^']*')\)", role, message)
    by_name = {key.name: key for key in KEYS if key.section in ("data", "alliance", "outcome", "output")}
    by_name |= {"alliance_sem": _key("alliance.sem"), "outcome_sem": _key("outcome.sem")}

    def option(match: re.Match[str]) -> str:
        key = by_name.get(match[1])
        if key is None or not key.flag or key.name == "column":
            return match[0]
        return _as_flag(key.flag, match[2])

    text = re.sub(r"missing_codes=\{'([^']*)': \[([^\]]*)\]\}", _codes_as_flags, text)
    value = r"('[^']*'|\"[^\"]*\"|\[[^\]]*\]|\([^)]*\)|True|\.\.\.)"
    names = "|".join(sorted(by_name, key=len, reverse=True))
    text = re.sub(rf"\b({names})={value}", option, text)
    named = re.compile(r"measures=\{'([^']*)':\s*(?:'([^']*)'|\.\.\.)\}")
    text = named.sub(lambda m: f"{MEASURE_FLAG} {m[1]}={m[2] or 'NAME'}", text)
    text = re.sub(r"\bpartner=\.\.\.", "--covariate", text)
    text = text.replace(" to read_panel", "")
    return text.replace("in Columns", "as a column").replace("of Columns", "of the columns")


def _codes_as_flags(match: re.Match[str]) -> str:
    codes = [code.strip().strip("'\"") for code in match[2].split(",")]
    return " ".join(f"{_key('data.missing_codes').flag} {match[1]}={code}" for code in codes)


def _as_flag(flag: str, value: str) -> str:
    if value in ("True", "..."):
        return flag
    if value[0] in "[(":
        codes = [code.strip().strip("'\"") for code in value[1:-1].split(",") if code.strip()]
        return " ".join(f"{flag} {quote(code)}" for code in codes) or flag
    return f"{flag} {value}"


def _parameter(key: Key) -> inspect.Parameter:
    usual = key.default not in (None, (), False)
    kind: Any = TYPES.get(key.kind, str)
    annotation: Any = list[str] | None if key.several else kind | None
    declared = f"{key.flag}/--no-{key.flag[2:]}" if key.kind == "switch" else key.flag
    option = typer.Option(
        declared,
        help=key.help + (f" (usually: {key.default})" if usual else ""),
        rich_help_panel=PANELS[key.section],
        metavar=key.metavar or _metavar(key),
        show_default=False,
        parser=_number if key.kind == "number" else None,
    )
    return inspect.Parameter(
        _name(key), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
    )


def _measure_flag() -> inspect.Parameter:
    option = typer.Option(
        MEASURE_FLAG,
        help="Which instrument a score is, such as oq45=oq45 (or oq45 alone for the outcome); brings range, direction "
        "and reliable change. `personalize measures` lists them. May be repeated.",
        rich_help_panel="Columns",
        metavar="COLUMN=NAME",
        show_default=False,
    )
    return inspect.Parameter(
        MEASURE, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def _metavar(key: Key) -> str | None:
    words = {"path": "FILE", "number": "NUMBER", "whole": "NUMBER", "list": "COLUMN"}
    if key.dotted == "output.folder":
        return "FOLDER"
    if key.section == "columns" or key.name == "column":
        return "COLUMN"
    if key.choices:
        return "|".join(key.choices)
    return " " if key.kind == "switch" else words.get(key.kind, "TEXT")


def _codes(texts: list[str]) -> tuple[Any, ...] | dict[str, tuple[Any, ...]]:
    pairs = [text.rpartition("=") for text in texts]
    if not any(column for column, _, _ in pairs):
        return tuple(_code(code) for _, _, code in pairs)
    out: dict[str, tuple[Any, ...]] = {}
    for column, _, code in pairs:
        name = column or ALL_SCORES
        out[name] = (*out.get(name, ()), _code(code))
    return out


def _code(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(text: str) -> float:
    """Read a number; a comma is not taken for a point in silence."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; write decimals with a point, such as 0.2.") from None


def _pair(flag: str, text: str, metavar: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise OptionError(f"{flag} {text}: {metavar} is needed, with an equals sign between the two.")
    return name, value


def _name(key: Key) -> str:
    return f"{PREFIX}{key.section}__{key.name}"


def _role(key: Key) -> str:
    return key.section if key.name == "column" else key.name


def _key(dotted: str) -> Key:
    return next(key for key in KEYS if key.dotted == dotted)
