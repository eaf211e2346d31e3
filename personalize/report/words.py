"""The user's words for the two columns that everything is about."""

from __future__ import annotations

from dataclasses import dataclass

from features.panel import Panel


@dataclass(frozen=True)
class Words:
    """Names that run through the report.

    Attributes
    ----------
    outcome, alliance : str
        Label of the column where it has one, else its name; ``alliance`` is empty without such a column.
    better : str
        "lower" or "higher".
    when : str
        "next" or "same": the session whose outcome the process of a row can move first.
    """

    outcome: str
    alliance: str
    better: str
    when: str

    @classmethod
    def of(cls, panel: Panel) -> Words:
        """Read them off a panel."""
        name = panel.columns.alliance
        alliance = "" if name is None else panel.labels.get(name, name)
        outcome = panel.labels.get(panel.columns.outcome, panel.columns.outcome)
        better = "lower" if panel.better == "low" else "higher"
        return cls(outcome, alliance, better, "next" if panel.timing == "after" else "same")
