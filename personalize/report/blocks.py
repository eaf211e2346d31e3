"""What a section of the report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from personalize.report.inputs import SMALLEST_GROUP
from personalize.report.numbers import num, percent


@dataclass(frozen=True)
class Table:
    """Texts in rows; ``left`` counts the first columns that hold words and not numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True)
class Figure:
    """A picture, what it says, and the table behind it."""

    svg: Markup
    caption: str
    table: Table


@dataclass(frozen=True)
class Section:
    """One section: sentences, figures and tables, or why there is nothing.

    Attributes
    ----------
    id, title : str
    said : sequence of str
        Paragraphs, the first one the finding.
    figures, tables : sequence
    missing : str
        Why the section is empty; shown in place of everything else.
    short : str
        Name in the navigation; the title where empty.
    """

    id: str
    title: str
    said: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[tuple[str, Table]] = ()
    missing: str = ""
    short: str = ""


def ends(level: object) -> tuple[str, str]:
    """Column titles of an interval.

    Examples
    --------
    >>> ends(0.9)
    ('lower 90 %', 'upper 90 %')
    """
    return f"lower {percent(level)}", f"upper {percent(level)}"


def table(frame: pd.DataFrame, head: Sequence[str] | None = None, *, left: int = 1, count: str = "n") -> Table:
    """Turn a frame into texts; numbers of rows about fewer than five patients are suppressed.

    Parameters
    ----------
    frame : DataFrame
    head : sequence of str, optional
        Column titles; the frame's own by default.
    left : int
        First columns that hold words.
    count : str
        Column that counts the patients behind a row, where there is one.
    """
    rows = []
    small = frame[count] < SMALLEST_GROUP if count in frame.columns else pd.Series(False, index=frame.index)
    for values, hide in zip(frame.itertuples(index=False), small, strict=True):
        cells = [_word(v) if place < left else num(v) for place, v in enumerate(values)]
        if hide:
            cells = [c if place < left else f"< {SMALLEST_GROUP} patients" for place, c in enumerate(cells)]
        rows.append(tuple(cells))
    return Table(tuple(head or [str(c) for c in frame.columns]), tuple(rows), left)


def _word(value: object) -> str:
    """A text; empty where a table holds nothing."""
    return "" if value is None or value is pd.NA or value != value else str(value)
