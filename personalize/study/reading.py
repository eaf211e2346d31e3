"""Read a study from ``study.toml`` or from plain values; every key is known, every value of the right kind."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import FileError, OptionError, listed
from personalize.study.config import Study, defaults
from personalize.study.schema import KEYS, SECTIONS, Key, keys_of

FREE = ("measures", "items")  # sections whose keys are the user's columns
BY_NAME = {key.dotted: key for key in KEYS}
WORDS = {
    "text": "text in quotes",
    "path": "the path of a file, in quotes",
    "number": "a number",
    "whole": "a whole number",
    "switch": "true or false",
    "list": 'a list of column names, such as ["homework"]',
    "measure": 'the name of a measure, such as "phq9", or a table with its range',
    "measures": 'the name of a measure, such as "phq9", or a table with its range',
    "codes": "a list of codes, such as [-9, 99], or a table of such lists by column",
    "table": "a table of texts by column",
}


def study_from_toml(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read ``study.toml``.

    Parameters
    ----------
    path : str or Path
        Paths in the file count from its folder.
    overrides : mapping of ``section.key`` to value, optional
        What takes the place of the file's values, such as flags of the command line (their paths count from the folder
        one is in).

    Raises
    ------
    FileError
        When the file is missing or is not TOML.
    OptionError
        For a section, key or value that is not allowed; the message lists what is.
    """
    file = Path(path)
    text = _text(file)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(
            f"{file.name}: not a valid TOML file ({error}). Text stands in quotes, sections in [brackets]; on Windows "
            "write paths with / instead of \\."
        ) from error
    values = defaults()
    for section, own in given.items():
        _section(file.name, section, own, values, file.parent)
    return _with(values, overrides or {}, file.name)


def study_from(overrides: Mapping[str, Any], *, source: str = "command line") -> Study:
    """Make a study from values by ``section.key``; those not given have their defaults.

    Raises
    ------
    OptionError
        For a key or value that is not allowed.
    """
    return _with(defaults(), overrides, source)


def study_from_values(values: Mapping[str, Mapping[str, Any]], *, source: str) -> Study:
    """Take the sections of `Study.plain` back in; paths stay as they are."""
    known = defaults()
    for section, own in values.items():
        if section == "":
            for name, value in own.items():
                _section(source, name, value, known, None)
        else:
            _section(source, section, own, known, None)
    return _with(known, {}, source)


def _text(file: Path) -> str:
    if file.is_dir():
        raise FileError(f"{file}: is a folder; name the study.toml in it.")
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        hint = ", ".join(sorted(p.name for p in file.parent.glob("*.toml"))) if file.parent.is_dir() else ""
        there = f"; there is {hint}" if hint else ""
        raise FileError(
            f"{file}: there is no such file{there}. Name a study.toml, or give the files by flags (--sessions ...)."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{file}: cannot be read as UTF-8 text ({error}).") from error


def _section(where: str, section: str, own: Any, values: dict[str, dict[str, Any]], folder: Path | None) -> None:
    top = {key.name for key in keys_of("")}
    if section in top:
        values[""][section] = _value(f"{where}: {section}", BY_NAME[section], own, folder)
        return
    if section not in SECTIONS or section == "":
        allowed = [*top, *(f"[{name}]" for name in SECTIONS if name)]
        hint = _near(section, [*top, *SECTIONS, *(key.name for key in KEYS)])
        raise OptionError(f"{where}: unknown section or key {section!r}{hint}; allowed are {', '.join(allowed)}.")
    if not isinstance(own, Mapping):
        raise OptionError(f"{where}: [{section}] is a section; write its keys under a line [{section}].")
    if section in FREE:
        values[section] = {
            str(name): _free(f"{where}: {section}.{name}", section, value) for name, value in own.items()
        }
        return
    known = {key.name: key for key in keys_of(section)}
    for name, value in own.items():
        if name not in known:
            home = next((key.dotted for key in KEYS if key.name == name), "")
            hint = f"; {name!r} belongs to {home}" if home else _near(name, known)
            raise OptionError(f"{where}: unknown key {name!r} in [{section}]{hint}; allowed are {', '.join(known)}.")
        values[section][name] = _value(f"{where}: {section}.{name}", known[name], value, folder)


def _with(values: dict[str, dict[str, Any]], overrides: Mapping[str, Any], source: str) -> Study:
    for dotted, value in sorted(overrides.items(), key=lambda item: item[0].startswith("measures.")):
        section, _, name = dotted.rpartition(".") if dotted in BY_NAME else dotted.partition(".")
        if section in FREE:
            checked = _free(f"{source}: {dotted}", section, value)
            role = next((r for r in ("outcome", "alliance") if values[r]["column"] == name), None)
            if section == "measures" and role is not None:
                values[role]["measure"] = checked  # takes the place of what the file says of this column
            else:
                values[section][name] = checked
        elif dotted not in BY_NAME:
            raise OptionError(
                f"{source}: unknown key {dotted!r}{_near(dotted, BY_NAME)}; allowed are {', '.join(BY_NAME)}."
            )
        elif value is not None:
            values[section][name] = _value(f"{source}: {dotted}", BY_NAME[dotted], value, None)
    return Study(values, source)


def _value(where: str, key: Key, value: Any, folder: Path | None) -> Any:
    """Check one value; paths count from ``folder``."""
    checked = _of_kind(key, value)
    if checked is None:
        raise OptionError(f"{where} must be {WORDS[key.kind]}; {value!r} came.")
    if key.choices and checked not in key.choices:
        hint = _near(str(value), key.choices)
        raise OptionError(f"{where}={value!r} is not allowed{hint}; choose one of {listed(key.choices)}.")
    if key.kind == "path" and folder is not None:
        return str(folder / checked)
    return checked


def _of_kind(key: Key, value: Any) -> Any:
    """The value in its own type; None where it is of another kind."""
    if key.kind in ("text", "path"):
        text = str(value) if isinstance(value, Path) else value
        return text if isinstance(text, str) and (text or key.dotted == "columns.therapist") else None
    if key.kind == "switch":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if key.kind == "number":
        return float(value) if isinstance(value, int | float) else None
    if key.kind == "whole":
        return value if isinstance(value, int) else None
    if key.kind == "list":
        return tuple(value) if _texts(value) else None
    if key.kind == "codes":
        return _codes(value)
    if key.kind == "table":
        return dict(value) if isinstance(value, Mapping) and _texts(list(value.values())) else None
    return _measure(value)


def _free(where: str, section: str, value: Any) -> Any:
    if section == "items":
        if not _texts(value) or len(value) < 2:
            raise OptionError(f"{where} must be a list of two or more item columns; {value!r} came.")
        return list(value)
    checked = _measure(value)
    if checked is None:
        raise OptionError(f"{where} must be {WORDS['measure']}; {value!r} came.")
    return checked


def _measure(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, str) and value else None


def _codes(value: Any) -> Any:
    if isinstance(value, Mapping):
        by_column = {str(name): _codes(own) for name, own in value.items()}
        return None if any(not isinstance(own, tuple) for own in by_column.values()) else by_column
    many = value if isinstance(value, list | tuple) else [value]
    fine = all(isinstance(code, str | int | float) and not isinstance(code, bool) for code in many)
    return tuple(many) if fine else None


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)


def _near(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close and close[0] != name else ""
