"""Give identifiers one spelling across files: a text file and an SPSS file may store the same ones differently."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from features.checks import nested

LARGEST = 2**63
_CANONICAL = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # a number without leading zeros: reading it loses nothing


def align_identifiers(tables: dict[str, pd.DataFrame], column: str | None) -> dict[str, pd.DataFrame]:
    """Read an identifier as text or as number in all tables alike.

    Where some tables hold numbers and others text, all become numbers if no text would lose anything by it ("17"), and
    text otherwise ("007", "A3"). Tables without the column come back as they are; none is altered.
    """
    here = {
        key: table for key, table in tables.items() if column is not None and list(table.columns).count(column) == 1
    }
    distinct: dict[str, list[Any]] = {}
    for key, table in here.items():
        values = table[column].dropna()
        if nested(values):  # lists in cells: the panel says so
            return tables
        distinct[key] = values.drop_duplicates().tolist()
    every = [value for known in distinct.values() for value in known]
    if not all(isinstance(v, str) or (isinstance(v, int | float) and abs(v) < LARGEST) for v in every):
        return tables  # dates, infinite or giant numbers: the panel says so
    texts = [value.strip() for value in every if isinstance(value, str)]
    if not texts or len(texts) == len(every):
        return tables
    numeric = all(_CANONICAL.fullmatch(text) for text in texts if text)
    out = dict(tables)
    for key, known in distinct.items():
        respelled = {value: _number(value) if numeric else _text(value) for value in known}
        if any(type(value) is not type(new) for value, new in respelled.items()):
            out[key] = here[key].assign(**{str(column): here[key][column].map(respelled)})
    return out


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip() else value


def _text(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)
