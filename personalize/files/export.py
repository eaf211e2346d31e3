"""Export a panel for other programs: the long table as CSV and SPSS file, and an R script."""

from __future__ import annotations

from pathlib import Path

from features import NotEnoughData, Panel
from personalize.files.atomic import results_folder
from personalize.files.longtable import long_table
from personalize.files.rscript import average_model
from personalize.files.writers import write_table


def export_panel(panel: Panel, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a panel's long table as ``panel.csv`` and ``panel.sav``, and ``average_model.R`` beside them.

    The script reads the CSV and fits, with lme4, the within/between model of the outcome on the alliance, and with
    lavaan the random-intercept cross-lagged panel model of the first sessions. It needs nothing of this package.

    Parameters
    ----------
    panel : Panel
    folder : str or Path
        A new folder, or one of an earlier export; it appears whole or not at all.
    overwrite : bool
        As in `results_folder`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotEnoughData
        When the panel has no sessions.
    FileError
        When the folder cannot be written.
    """
    if panel.n_sessions == 0:
        raise NotEnoughData(f"{panel.names['sessions']}: the panel has no sessions to export.")
    table = long_table(panel)
    target = Path(folder)
    with results_folder(target, overwrite=overwrite) as partial:
        write_table(table, partial / "panel.csv")
        write_table(table, partial / "panel.sav")
        (partial / "average_model.R").write_text(average_model(panel), encoding="utf-8")
    return target
