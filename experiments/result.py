"""What every experiment returns: a table, a sentence, a figure, and the check that could have proved it wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from personalize.files.atomic import results_folder

SHOWN = 40  # rows of a table that the text shows
FIGURE_SETTINGS = {"svg.hashsalt": "personalize", "svg.fonttype": "none"}  # the same bytes for the same figure


@dataclass(frozen=True)
class ExperimentResult:
    """Answer to one question.

    Attributes
    ----------
    name, claim : str
        The experiment and the claim it tests.
    table : DataFrame
        Long and tidy: what was estimated, estimate, lower, upper; where the truth is known also truth and covered.
    sentence : str
        The answer in words that a paper could use.
    falsification : DataFrame
        One row a check: check, expected, estimate, lower, upper, passed, n. A check that does not pass says that an
        assumption of the table does not hold in these data.
    figure : Figure or None
    notes : tuple of str
        What was left out, and what the numbers rest on.
    shown : DataFrame or None
        What the text shows in place of a long table.
    """

    name: str
    claim: str
    table: pd.DataFrame
    sentence: str
    falsification: pd.DataFrame
    figure: Figure | None = None
    notes: tuple[str, ...] = ()
    shown: pd.DataFrame | None = None

    @property
    def text(self) -> str:
        """Claim, table, sentence, check and notes as plain text."""
        table = self.table if self.shown is None else self.shown
        more = len(table) - SHOWN
        rest = [f"... and {more} rows more in the table."] if more > 0 else []
        parts = [
            f"{self.name}: {self.claim}",
            _plain(table.head(SHOWN)),
            *rest,
            self.sentence,
            "Falsification check",
        ]
        parts.append(_plain(self.falsification))
        parts += [f"Note: {note}" for note in self.notes]
        return "\n\n".join(parts) + "\n"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write table.csv, falsification.csv, result.txt and figure.svg, .pdf, .png; all of them or none.

        Raises
        ------
        FileError
            When something that is not an earlier result is in the way.
        """
        with results_folder(folder, overwrite=overwrite) as place:
            self.table.to_csv(place / "table.csv", index=False)
            self.falsification.to_csv(place / "falsification.csv", index=False)
            (place / "result.txt").write_text(self.text, encoding="utf-8")
            if self.figure is not None:
                with matplotlib.rc_context(FIGURE_SETTINGS):
                    for kind, dated in (("svg", {"Date": None}), ("pdf", {"CreationDate": None}), ("png", {})):
                        self.figure.savefig(place / f"figure.{kind}", dpi=150, bbox_inches="tight", metadata=dated)


def check_row(
    check: str, expected: str, estimate: float, lower: float, upper: float, *, passed: bool, n: int
) -> dict[str, object]:
    """One row of a falsification table."""
    return {
        "check": check,
        "expected": expected,
        "estimate": estimate,
        "lower": lower,
        "upper": upper,
        "passed": bool(passed),
        "n": n,
    }


def with_truth(table: pd.DataFrame, truth: object) -> pd.DataFrame:
    """Add the known truth, and whether the interval holds it, beside an estimate."""
    known = pd.Series(truth, index=table.index, dtype=float)
    held = (known >= table["lower"]) & (known <= table["upper"])
    return table.assign(truth=known, covered=held.where(known.notna() & table["lower"].notna()))


def _plain(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda value: f"{value:.3g}", na_rep="")
