"""Write SPSS and Stata files with labels and user-missing codes; the same table gives the same bytes."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat

from features.errors import FileError, listed
from personalize.files.labelled import SPSS_EPOCH, STATA_EPOCH
from personalize.files.table import Label, Table

SPSS_NAME, STATA_NAME = 64, 32  # bytes and characters a variable name may have
RESERVED = {"ALL", "AND", "BY", "EQ", "GE", "GT", "LE", "LT", "NE", "NOT", "OR", "TO", "WITH"}


def write_labelled(table: Table, path: Path) -> None:
    """Write a table as ``.sav`` or ``.dta``, by the suffix of ``path``.

    Categories become codes from 1 with value labels (or keep the codes they were read with), truth values become 0 and
    1, dates become dates, and user-missing cells get their codes back. Codes that the other program does not know are
    translated: SPSS numbers to Stata's letters ``a`` to ``z``, letters to numbers below all others. A name that is
    not allowed is changed and kept as the variable's label.

    Raises
    ------
    FileError
        When a column holds what the format cannot hold, or the file cannot be written.
    """
    stata = path.suffix.lower() == ".dta"
    names = variable_names([str(c) for c in table.frame.columns], stata)
    columns: dict[str, pd.Series] = {}
    labels: dict[str, str | None] = {}
    value_labels: dict[str, Any] = {}
    missing: dict[str, Any] = {}
    formats: dict[str, str] = {}
    for name in table.frame.columns:
        short = names[str(name)]
        values, own_labels, kind = _storable(table, str(name), stata, path.name)
        codes, ranges, renamed = _recoded(table, str(name), values, stata)
        if len(codes):
            values = values.astype(object)
            values.loc[codes.index] = codes
        own_labels = {renamed.get(code, code): text for code, text in own_labels.items()}
        columns[short] = values
        label = table.labels.get(str(name), "" if short == name else str(name))
        if label:
            labels[short] = label[:80] if stata else label
        if own_labels:
            value_labels[short] = own_labels
        if ranges:
            missing[short] = ranges
        if kind:
            formats[short] = kind
    frame = pd.DataFrame(columns)
    levels = {names[c]: level for c, level in table.levels.items() if c in names}
    try:
        if stata:
            pyreadstat.write_dta(
                frame,
                str(path),
                column_labels=labels,
                variable_value_labels=value_labels,
                missing_user_values=missing,
                variable_format=formats,
            )
        else:
            pyreadstat.write_sav(
                frame,
                str(path),
                column_labels=labels,
                variable_value_labels=value_labels,
                missing_ranges=missing,
                variable_format=formats,
                variable_measure=levels,
                row_compress=True,
            )
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError) as error:
        raise FileError(f"{path.name}: cannot be written ({str(error).rstrip('.')}).") from error
    _still_the_clock(path, stata)


def variable_names(names: list[str], stata: bool) -> dict[str, str]:
    """Names the format allows, by the names given: letters, digits and underscores, distinct whatever the case."""
    longest = STATA_NAME if stata else SPSS_NAME
    taken: set[str] = set()
    out: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]" if stata else r"[^A-Za-z0-9_.]", "_", name).rstrip("._") or "v"
        if not plain[0].isalpha() or plain.upper() in RESERVED:
            plain = f"v_{plain}".replace("__", "_")
        plain = plain[:longest]
        count, candidate = 1, plain
        while candidate.casefold() in taken:
            count += 1
            candidate = f"{plain[: longest - 4]}_{count}"
        taken.add(candidate.casefold())
        out[name] = candidate
    return out


def _storable(table: Table, name: str, stata: bool, file: str) -> tuple[pd.Series, dict[Label, str], str | None]:
    """The column as floats or text, its value labels, and the display format of dates."""
    values = table.frame[name]
    labels: dict[Label, str] = {_number(code): text for code, text in table.value_labels.get(name, {}).items()}
    if isinstance(values.dtype, pd.CategoricalDtype):
        given = {text: code for code, text in labels.items()}
        texts = [str(category) for category in values.cat.categories]
        if not set(texts) <= set(given):
            given = {text: float(i + 1) for i, text in enumerate(texts)}
            labels = {code: text for text, code in given.items()}
        lookup = np.asarray([*(given[text] for text in texts), np.nan], dtype=float)
        return pd.Series(lookup[values.cat.codes.to_numpy()], index=values.index), labels, None
    if pd.api.types.is_datetime64_any_dtype(values):
        if getattr(values.dt, "tz", None) is not None:
            values = values.dt.tz_localize(None)
        timed = bool((values.dropna() != values.dropna().dt.normalize()).any())
        since = (values - (STATA_EPOCH if stata else SPSS_EPOCH)).dt.total_seconds()
        if stata:
            return (since * 1000, labels, "%tc") if timed else (since / 86400, labels, "%td")
        return since, labels, "DATETIME20" if timed else "SDATE10"
    if pd.api.types.is_bool_dtype(values):
        return values.astype(float), labels or {0.0: "no", 1.0: "yes"}, None
    if pd.api.types.is_numeric_dtype(values):
        return pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index), labels, None
    odd = [type(v).__name__ for v in values.dropna().head(1000) if not isinstance(v, str | int | float | np.generic)]
    if odd:
        raise FileError(f"{file}: column {name!r} holds {listed(set(odd))} values, which the format cannot hold.")
    return values.map(lambda v: "" if pd.isna(v) else str(v)).astype(object), {}, None


def _recoded(
    table: Table, name: str, values: pd.Series, stata: bool
) -> tuple[pd.Series, list[Any], Mapping[Label, Label]]:
    """User-missing cells in the codes of the format to be written, the declaration, and how codes were renamed."""
    codes = table.coded.get(name, pd.Series(dtype=object))
    codes = codes[codes.index.isin(values.index)].map(_number)
    declared = [(_number(low), _number(high)) for low, high in table.missing.get(name, ())]
    if stata == all(isinstance(low, str) for low, _ in declared):
        if stata:
            return codes, [low for low, _ in declared], {}
        return codes, [low if low == high else {"lo": low, "hi": high} for low, high in declared], {}
    labelled = [c for c in map(_number, table.value_labels.get(name, {})) if table._is_missing(name, c)]
    known = sorted({*codes, *labelled, *(low for low, high in declared if low == high)}, key=str)
    if stata:
        letters: dict[Label, Label] = dict(zip(known, string.ascii_lowercase, strict=False))
        return codes.map(letters), [letters[c] for c in known if c in letters], letters
    lowest = min(0.0, np.floor(np.nanmin(pd.to_numeric(values, errors="coerce").to_numpy(dtype=float), initial=0.0)))
    numbers: dict[Label, Label] = {code: float(lowest - 1 - i) for i, code in enumerate(known)}
    ranges: list[Any] = list(numbers.values())
    if len(ranges) > 3:  # SPSS takes three single codes, or a range
        ranges = [{"lo": min(ranges), "hi": max(ranges)}]
    return codes.map(numbers).astype(object), ranges, numbers


def _number(code: Any) -> Label:
    return code if isinstance(code, str) else float(code)


def _still_the_clock(path: Path, stata: bool) -> None:
    """Overwrite the time of writing in the file's header, so that the same table gives the same bytes."""
    with path.open("r+b") as file:
        if not stata:
            file.seek(92)  # creation date "dd mmm yy" and time "hh:mm:ss" stand at bytes 92 to 109 of the header
            file.write(b"01 Jan 0000:00:00")
            return
        head = file.read(4096)
        place = head.find(b"<timestamp>")
        if place >= 0:
            length = head[place + 11]
            file.seek(place + 12)
            file.write(b"01 Jan 2000 00:00".ljust(length)[:length])
