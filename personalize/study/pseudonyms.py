"""Replace identifiers of patients and therapists in a whole panel, so that nothing written from it names anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features import Panel
from features.errors import OptionError, listed
from features.intake import names_or_remarks
from personalize.study.panel_store import panel_tables, rebuilt


def pseudonymised(panel: Panel, seed: int) -> tuple[Panel, pd.DataFrame]:
    """Give patients and therapists new names: ``P001``, ``T01``, ..., in an order drawn from the seed.

    Text of which most values occur once (names, remarks) is left out, and noted.

    Returns
    -------
    panel : Panel
        The same data under new names. Its patients stand in the order of the new names, so that folds and draws, and
        with them the last digits of results, differ from those of a run under the old names.
    key : DataFrame
        role ("patient", "therapist"), identifier, pseudonym: what leads back. Keep it apart from the results.
    """
    rng = np.random.default_rng([seed, 7])
    patients = _drawn("P", panel.patient_ids.tolist(), rng, 3)
    therapists = _drawn("T", panel.therapist_ids.tolist(), rng, 2)
    tables, columns = panel_tables(panel), panel.columns
    for name in ("sessions", "patients"):
        tables[name] = tables[name].assign(**{columns.patient: tables[name][columns.patient].map(patients)})
    if "therapists" in tables:
        own = str(columns.therapist)
        for name in ("patients", "therapists"):
            tables[name] = tables[name].assign(**{own: tables[name][own].map(therapists).astype(object)})
    named = {"patients": identifying(panel.patients), "therapists": identifying(panel.therapists)}
    for role, found in named.items():
        if found:
            tables[role] = tables[role].drop(columns=found)
    new = rebuilt(panel, tables)
    new.notes = [_renamed(note, {**therapists, **patients}) for note in panel.notes]
    if any(named.values()):
        left = listed([*named["patients"], *named["therapists"]], 30)
        new.notes.append(f"Left out under pseudonyms, as names or free text: {left}.")
    rows = [("patient", str(old), name) for old, name in patients.items()]
    rows += [("therapist", str(old), name) for old, name in therapists.items()]
    return new, pd.DataFrame(rows, columns=["role", "identifier", "pseudonym"])


def identifying(table: pd.DataFrame) -> list[str]:
    """Columns of a patients or therapists table that may name somebody, however few they are."""
    return [str(name) for name in table.columns if names_or_remarks(table[name], fewest=2)]


def check_moderators(panel: Panel, moderators: Sequence[str]) -> None:
    """Refuse moderators that pseudonyms leave out.

    Raises
    ------
    OptionError
    """
    gone = [name for name in identifying(panel.patients) if name in moderators]
    if gone:
        raise OptionError(
            f"moderators: {listed(gone)} is left out under pseudonyms, as a name or free text; name other columns, "
            "group its values, or run without pseudonyms."
        )


def _drawn(letter: str, ids: list[Any], rng: np.random.Generator, width: int) -> dict[Any, str]:
    width = max(width, len(str(len(ids))))
    order = rng.permutation(len(ids)) + 1
    return {old: f"{letter}{number:0{width}d}" for old, number in zip(ids, order.tolist(), strict=True)}


def _renamed(note: str, names: Mapping[Any, str]) -> str:
    """Replace identifiers in a note, where they stand in quotes or follow the words patient and therapist."""
    by_text = {str(old): new for old, new in names.items()}
    quoted = re.sub(r"'([^']*)'", lambda m: repr(by_text[m[1]]) if m[1] in by_text else m[0], note)

    def numbered(match: re.Match[str]) -> str:
        return re.sub(r"\d+(?! more)", lambda m: by_text.get(m[0], m[0]), match[0])

    return re.sub(r"(?:patient|therapist) \d+(?:(?:, | and )\d+)*", numbered, quoted)
