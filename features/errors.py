"""Errors whose messages a researcher can act on: table, column, patient, what was expected, what came, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Integral

SHOWN = 5  # how many patients or values a message names before it counts the rest


class PersonalizeError(Exception):
    """Root of every error this project raises on purpose; the command line prints it without a traceback."""


class PanelError(PersonalizeError, ValueError):
    """The tables break the panel's contract.

    Parameters
    ----------
    problems : sequence of str
        One sentence a kind of problem. All kinds found are reported together.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            text = f"{len(self.problems)} problems in the data:\n" + "\n".join(f"- {line}" for line in self.problems)
        super().__init__(text)


class FileError(PersonalizeError, ValueError):
    """A file cannot be read as what it claims to be, or cannot be written."""


class NotEnoughData(PersonalizeError, ValueError):
    """An analysis needs more patients, sessions or variation than the panel holds."""


class LeakageError(PersonalizeError, ValueError):
    """A whole-treatment feature was handed to a forecast."""


class OptionError(PersonalizeError, ValueError):
    """An option has a value that is not allowed."""


class NotFitted(PersonalizeError, AttributeError, ValueError):
    """A method was called before ``fit``."""


def listed(values: Iterable[object], shown: int = SHOWN) -> str:
    """Name the first few values and count the rest.

    >>> listed(["p1", "p2", "p3"], shown=2)
    "'p1', 'p2' and 1 more"
    """
    items = list(values)
    text = ", ".join(repr(_plain(item)) for item in items[:shown])
    return text if len(items) <= shown else f"{text} and {len(items) - shown} more"


def counted(n: float, noun: str) -> str:
    """Count things in words that agree in number.

    >>> counted(1, "row"), counted(2, "row"), counted(3, "other value")
    ('1 row', '2 rows', '3 other values')
    """
    return f"{int(n)} {noun}" if int(n) == 1 else f"{int(n)} {noun}s"


def _plain(value: object) -> object:
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def check_option(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise `OptionError` that lists the allowed values unless ``value`` is one of them."""
    if value not in allowed:
        raise OptionError(f"{name}={value!r} is not allowed; choose one of {', '.join(repr(a) for a in allowed)}.")


def check_level(name: str, level: object) -> None:
    """Raise `OptionError` unless ``level`` is a probability an interval can be calibrated at: 0.5 to 0.99."""
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0.5 <= level <= 0.99:
        raise OptionError(f"{name}={level!r} is not allowed; give a number from 0.5 to 0.99, such as 0.90.")


def check_seed(name: str, seed: object) -> None:
    """Raise `OptionError` unless ``seed`` is a whole number that all random number generators take."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**32:
        raise OptionError(f"{name}={seed!r} is not allowed; give a whole number from 0 to {2**32 - 1}.")


def reason_in_words(reason: object) -> str:
    """Return the reason that an error gives, without the name of the function in front.

    Examples
    --------
    >>> reason_in_words("validate: no moderators were estimated.")
    'No moderators were estimated.'
    """
    said = re.sub(r"^\w+: ", "", str(reason))
    return said[:1].upper() + said[1:]
