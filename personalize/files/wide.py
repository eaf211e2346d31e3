"""Find which columns of a wide table are the sessions of a measure: ``phq9_s1``, ``PHQ9_01``, ``wai.3``, ``t2_ors``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from features.errors import OptionError, PanelError, counted, listed

PLACE = "{session}"
# What may stand between a measure's name and the session number without being part of another measure's name.
_WORDS = "s|t|w|m|v|d|sess|session|sessions|sitzung|sitz|time|week|wk|woche|month|visit|wave|day|obs|assessment|mzp"
_PLAIN = re.compile(rf"[._\- ]*({_WORDS})?[._\- ]*", re.IGNORECASE)
_NUMBER = r"(\d{1,3})"


@dataclass(frozen=True)
class WideColumns:
    """The sessions of one measure in a wide table.

    Attributes
    ----------
    name : str
        The measure's name, and its column in the long table.
    pattern : str
        How its columns are named, ``{session}`` standing for the number.
    columns : mapping of int to str
        Column of each session, in the order of the sessions.
    """

    name: str
    pattern: str
    columns: Mapping[int, str]

    def __str__(self) -> str:
        first, last = next(iter(self.columns.values())), list(self.columns.values())[-1]
        numbers = list(self.columns)
        holes = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        without = f", without {', '.join(map(str, holes))}" if holes else ""
        return (
            f"{self.name}: {self.pattern} ({counted(len(numbers), 'column')}, {first} to {last}, sessions "
            f"{numbers[0]} to {numbers[-1]}{without})"
        )


def guess_wide(columns: Iterable[str]) -> list[WideColumns]:
    """Guess the repeated measures of a wide table from its column names alone, to be shown before it is used.

    Columns whose names differ only in a number at the end, or in a number behind a session word at the start, belong
    together. A number inside a name (the 9 of ``phq9_s1``) belongs to the name.

    Examples
    --------
    >>> for group in guess_wide(["id", "phq9_s1", "phq9_s2", "PHQ9_01", "wai.2", "wai.3"]):
    ...     print(group)
    phq9: phq9_s{session} (2 columns, phq9_s1 to phq9_s2, sessions 1 to 2)
    wai: wai.{session} (2 columns, wai.2 to wai.3, sessions 2 to 3)
    """
    found: dict[str, dict[int, str]] = {}
    names: dict[str, str] = {}
    at_end = re.compile(
        rf"(?P<name>.*?[^._\- \d].*?)(?P<gap>[._\- ]({_WORDS})?[._\- ]?|(?<=\D)){_NUMBER}$", re.IGNORECASE
    )
    at_start = re.compile(rf"(?P<word>({_WORDS})[._\- ]?){_NUMBER}(?P<gap>[._\- ])(?P<name>.+)$", re.IGNORECASE)
    for column in columns:
        if match := at_start.match(column):
            pattern = f"{match['word']}{PLACE}{match['gap']}{match['name']}"
            number = int(match[3])
        elif match := at_end.match(column):
            pattern = f"{match['name']}{match['gap']}{PLACE}"
            number = int(match[4])
        else:
            continue
        found.setdefault(pattern, {}).setdefault(number, column)
        names[pattern] = match["name"]
    return [
        WideColumns(names[pattern], pattern, dict(sorted(numbers.items())))
        for pattern, numbers in found.items()
        if len(numbers) > 1
    ]


def find_wide(table: str, columns: Iterable[str], name: str, pattern: str | None = None) -> WideColumns:
    """Find the columns that are the sessions of one measure.

    Parameters
    ----------
    table : str
        What to call the table in messages.
    columns : iterable of str
        Column names of the wide table.
    name : str
        The measure, such as ``"phq9"``; capitals do not matter unless they tell two measures apart.
    pattern : str, optional
        How its columns are named, ``{session}`` standing for the number: ``"phq9_s{session}"``. Guessed by default.

    Raises
    ------
    PanelError
        When no column or several patterns fit; the message shows what is there.
    """
    there = [str(column) for column in columns]
    if pattern is not None:
        return _stated(table, there, name, pattern)
    candidates: dict[str, dict[int, str]] = {}
    plain: dict[str, bool] = {}
    for exact in (True, False):
        flags = re.NOFLAG if exact else re.IGNORECASE
        after = re.compile(rf"({re.escape(name)})(\D{{0,20}}?){_NUMBER}$", flags)
        before = re.compile(rf"(\D{{0,12}}?){_NUMBER}([._\- ]\D{{0,12}})({re.escape(name)})$", flags)
        for column in there:
            if match := after.match(column):
                shape, number, gap = f"{match[1]}{match[2]}{PLACE}", int(match[3]), match[2]
            elif match := before.match(column):
                shape, number, gap = f"{match[1]}{PLACE}{match[3]}{match[4]}", int(match[2]), match[1] + match[3]
            else:
                continue
            numbers = candidates.setdefault(shape, {})
            if number in numbers:
                raise PanelError(
                    f"{table}: columns {numbers[number]!r} and {column!r} both are session {number} of {name!r}; name "
                    f"the pattern with wide={{{name!r}: ...}}."
                )
            numbers[number] = column
            plain[shape] = bool(_PLAIN.fullmatch(gap))
        if candidates:
            break
    best = [shape for shape in candidates if plain[shape]]
    if len(best) > 1:
        shown = "; ".join(str(_group(name, shape, candidates[shape])) for shape in best)
        raise PanelError(
            f"{table}: several patterns fit {name!r}: {shown}. Say which one is the sessions with "
            f"wide={{{name!r}: {best[0]!r}}}."
        )
    if not best:
        near = [str(_group(name, shape, candidates[shape])) for shape in candidates] or list(
            map(str, guess_wide(there))
        )
        raise PanelError(
            f"{table}: no column looks like a session of {name!r}, such as '{name}_s1'; found "
            f"{'; '.join(near) or 'no columns that are numbered alike'}. Name the role as one of these, or its pattern "
            f"with wide={{{name!r}: 'prefix_{PLACE}'}}."
        )
    return _group(name, best[0], candidates[best[0]])


def _stated(table: str, there: list[str], name: str, pattern: str) -> WideColumns:
    if pattern.count(PLACE) != 1:
        raise OptionError(f"wide: pattern {pattern!r} of {name!r} must hold {PLACE} once, where the number stands.")
    head, tail = pattern.split(PLACE)
    shape = re.compile(rf"{re.escape(head)}(\d+){re.escape(tail)}$")
    numbers = {int(match[1]): column for column in there if (match := shape.match(column))}
    if not numbers:
        raise PanelError(
            f"{table}: no column fits the pattern {pattern!r} of {name!r}; the table has {listed(there, 30)}."
        )
    return _group(name, pattern, numbers)


def _group(name: str, pattern: str, numbers: Mapping[int, str]) -> WideColumns:
    return WideColumns(name, pattern, dict(sorted(numbers.items())))
