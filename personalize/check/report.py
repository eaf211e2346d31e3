"""The result of a check, and its page of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

WIDTH = 100
SESSIONS_SHOWN = 12
ROWS_SHOWN = 15


@dataclass(frozen=True)
class CheckReport:
    """What is in the data and what is wrong with it, before anything is fitted.

    Attributes
    ----------
    problems : tuple of str
        What keeps the tables from being analysed, as `features.Panel` says it; empty where nothing does.
    warnings : tuple of str
        What a data manager should look at.
    notes : tuple of str
        What was done on reading: values set to missing, columns taken, sessions left out.
    overview : DataFrame
        what, value.
    sessions : DataFrame
        sessions, patients: how many patients have how many sessions.
    missing : DataFrame
        session, patients, and a column a score with the share missing.
    scores : DataFrame
        One row a score; see `personalize.check.counts.score_summary`.
    codes : DataFrame
        column, code, n, why: values that look like codes for missing.
    therapists : DataFrame
        therapist, patients.
    intake : DataFrame
        column, kind, missing, values.
    reliability : DataFrame
        One row a scale and level, where items were given; see `personalize.check.reliability.item_reliability`.
    analyses : DataFrame
        analysis, possible ("yes", "with care", "no"), why.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    overview: pd.DataFrame
    sessions: pd.DataFrame
    missing: pd.DataFrame
    scores: pd.DataFrame
    codes: pd.DataFrame
    therapists: pd.DataFrame
    intake: pd.DataFrame
    reliability: pd.DataFrame
    analyses: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether the data can be analysed as they are."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON: tables as lists of rows, missing numbers as None."""
        out: dict[str, Any] = {"ok": self.ok}
        for item in fields(self):
            value = getattr(self, item.name)
            out[item.name] = _records(value) if isinstance(value, pd.DataFrame) else list(value)
        return out

    def text(self) -> str:
        """The report as a page of plain text."""
        parts = [
            "The data can be analysed as they are." if self.ok else "The data cannot be analysed as they are.",
            _listing("What must be changed", self.problems),
            _overview(self.overview),
            _listing("What to look at", self.warnings),
            _analyses(self.analyses),
            _sessions(self.sessions),
            _scores(self.scores),
            _missing(self.missing),
            _table("Values that may mark a missing one", _codes(self.codes)),
            _therapists(self.therapists),
            _table("Intake columns", _percent(self.intake, ["missing"])),
            _table("Reliability (Cronbach's alpha)", self.reliability.round(3)),
            _listing("What was done on reading", self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def __str__(self) -> str:
        return self.text()


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _listing(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    body = ["\n".join(wrap(line, WIDTH, initial_indent="- ", subsequent_indent="  ")) for line in lines]
    return f"{title}\n" + "\n".join(body)


def _overview(frame: pd.DataFrame) -> str:
    wide = max((len(str(what)) for what in frame["what"]), default=0)
    lines = [
        "\n".join(wrap(f"{what!s:<{wide}}  {value}", WIDTH, subsequent_indent=" " * (wide + 2)))
        for what, value in zip(frame["what"], frame["value"], strict=True)
    ]
    return "What is there\n" + "\n".join(lines) if lines else ""


def _analyses(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    wide = max(len(name) for name in frame["analysis"])
    lines = [
        "\n".join(
            wrap(f"{row.possible:<9}  {row.analysis:<{wide}}  {row.why}", WIDTH, subsequent_indent=" " * (wide + 13))
        )
        for row in frame.itertuples()
    ]
    return "What can be analysed\n" + "\n".join(lines)


def _sessions(frame: pd.DataFrame) -> str:
    """How many patients have how many sessions, from many numbers folded into a dozen lines."""
    if frame.empty:
        return ""
    counts, patients = frame["sessions"].to_numpy(), frame["patients"].to_numpy()
    if len(counts) > SESSIONS_SHOWN:
        width = int(np.ceil((counts.max() + 1) / SESSIONS_SHOWN))
        bins = counts // width
        names = [f"{b * width}-{b * width + width - 1}" if width > 1 else str(b) for b in np.unique(bins)]
        patients = np.asarray([patients[bins == b].sum() for b in np.unique(bins)])
    else:
        names = [str(count) for count in counts]
    longest = max(patients.max(), 1)
    lines = [f"{n:>9}  {p:>7}  {'#' * int(np.ceil(40 * p / longest))}" for n, p in zip(names, patients, strict=True)]
    return "Sessions per patient\n sessions patients\n" + "\n".join(lines)


def _scores(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    shown = frame[["score", "n", "mean", "sd", "minimum", "maximum"]].copy()
    for name in ("mean", "sd", "minimum", "maximum"):
        shown[name] = [f"{value:.4g}" for value in frame[name]]
    for name in ("missing", "floor", "ceiling", "between"):
        shown[name] = _share(frame[name])
    shown["outside"] = [str(n) if known else "?" for n, known in zip(frame["outside"], frame["ranged"], strict=True)]
    text = _table("Scores", shown)
    if not frame["ranged"].all():
        text += (
            "\n(floor, ceiling: at the smallest and largest value seen where no measure is named; between: share of"
            "\nvariance between patients)"
        )
    return text


def _missing(frame: pd.DataFrame) -> str:
    scores = [name for name in frame.columns if name not in ("session", "patients")]
    if frame.empty or not scores:
        return ""
    shown = frame.head(SESSIONS_SHOWN)
    rest = frame.iloc[SESSIONS_SHOWN:]
    text = _table("Share of ratings missing, by session", _percent(shown, scores))
    if len(rest):
        held = rest["patients"].sum()
        later = ", ".join(f"{name} {(rest[name] * rest['patients']).sum() / held:.0%}" for name in scores)
        text += f"\nlater sessions, to {int(rest['session'].max())}: {later}"
    return text


def _codes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(code=[f"{code:g}" for code in frame["code"]])


def _therapists(frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    counts = frame["patients"].to_numpy()
    single = int((counts == 1).sum())
    return (
        f"Therapists\n{len(counts)} therapists; patients each: {counts.min()} to {counts.max()}, median "
        f"{np.median(counts):g}; {single} with one patient only"
    )


def _percent(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    return frame.assign(**{name: _share(frame[name]) for name in names if name in frame.columns})


def _share(values: pd.Series) -> list[str]:
    return ["" if np.isnan(v) else "0" if v == 0 else f"{v:.0%}" if v >= 0.01 else "<1%" for v in values.astype(float)]


def _table(title: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return ""
    text = frame.head(ROWS_SHOWN).to_string(index=False, max_colwidth=60)
    more = f"\n... and {len(frame) - ROWS_SHOWN} more" if len(frame) > ROWS_SHOWN else ""
    return f"{title}\n{text}{more}"
