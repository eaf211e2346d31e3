"""What patients and therapists are called in the report."""

from __future__ import annotations

import re
from dataclasses import dataclass

from features.panel import Panel


@dataclass(frozen=True)
class Names:
    """Display names.

    Attributes
    ----------
    patients : tuple of str
        In the order of ``panel.patients``.
    therapists : tuple of str
        In the order of ``panel.therapists``.
    """

    patients: tuple[str, ...]
    therapists: tuple[str, ...]

    @classmethod
    def of(cls, panel: Panel) -> Names:
        """Read the identifiers off a panel."""
        return cls(tuple(str(i) for i in panel.patient_ids), tuple(str(i) for i in panel.therapist_ids))

    def files(self) -> list[str]:
        """File name of each patient's page: safe characters only, no two alike on any file system."""
        used: set[str] = set()
        out = []
        for name in self.patients:
            plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60] or "patient"
            candidate, number = plain, 2
            while candidate.lower() in used:
                candidate, number = f"{plain}-{number}", number + 1
            used.add(candidate.lower())
            out.append(f"{candidate}.html")
        return out
