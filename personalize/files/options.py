"""How files are to be read: one frozen set of options for every reader."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from features.errors import OptionError, check_option


@dataclass(frozen=True)
class ReadOptions:
    """How files are to be read.

    Parameters
    ----------
    delimiter : str, optional
        What stands between the values of a text file; found out from the header line by default.
    decimal : {".", ","}
        Decimal mark of text files (and of numbers stored as text in a workbook).
    encoding : str, optional
        Of text files and old SPSS and Stata files. UTF-8 (or what the file declares) by default.
    sheet : str or int, optional
        Sheet of a workbook, by name or by place from 0. Needed where a workbook has several.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    sheet: str | int | None = None

    def __post_init__(self) -> None:
        check_option("decimal", self.decimal, (".", ","))
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise OptionError(f"delimiter={self.delimiter!r} is not allowed; give one character, such as ';' or '\\t'.")
        if self.delimiter is not None and self.delimiter == self.decimal:
            raise OptionError(f"delimiter and decimal are both {self.decimal!r}; values could not be told apart.")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError:
                raise OptionError(
                    f"encoding={self.encoding!r} is not known; common ones are 'utf-8', 'cp1252' (Windows, Western "
                    "Europe), 'latin-1', 'cp1250' (Central Europe), 'utf-16'."
                ) from None
