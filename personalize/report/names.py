"""What patients and therapists are called in the report: their identifiers, or pseudonyms in random order."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

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


def names(panel: Panel, *, pseudonyms: bool = False, seed: int = 0) -> Names:
    """Name the patients and therapists of a panel.

    Pseudonyms are numbered in an order drawn from ``seed``, so that they do not follow the identifiers' order. Whoever
    has the data and the seed can draw them again: they protect against a look over the shoulder, not against the
    holder of the data.
    """
    if not pseudonyms:
        return Names(tuple(str(i) for i in panel.patient_ids), tuple(str(i) for i in panel.therapist_ids))
    rng = np.random.default_rng([seed, 7])
    return Names(_drawn("P", panel.n_patients, rng), _drawn("T", len(panel.therapist_ids), rng))


def _drawn(letter: str, n: int, rng: np.random.Generator) -> tuple[str, ...]:
    width = max(len(str(n)), 3 if letter == "P" else 2)
    return tuple(f"{letter}{number + 1:0{width}d}" for number in rng.permutation(n))
