"""A results folder, read back: models, panel, options and tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from features import Panel
from features.errors import FileError, OptionError, listed
from personalize.effects.alliance_effect import AllianceEffect
from personalize.files import read_table
from personalize.files.atomic import MARKER
from personalize.study.config import Study
from personalize.study.panel_store import load_panel
from personalize.study.reading import study_from_values
from personalize.trajectories.forecast import TrajectoryForecaster


@dataclass(frozen=True)
class Results:
    """A run that was written to a folder.

    Attributes
    ----------
    folder : Path
    run : dict
        Content of ``run.json``.
    study : Study
        Options of the run; the files have lost their folders.
    """

    folder: Path
    run: dict[str, Any]
    study: Study

    @cached_property
    def forecaster(self) -> TrajectoryForecaster:
        """The fitted forecaster."""
        return TrajectoryForecaster.load(self.folder / "model" / "forecaster")

    @cached_property
    def effect(self) -> AllianceEffect | None:
        """The fitted effect; None where the run left it out."""
        place = self.folder / "model" / "effect"
        if not place.is_dir():
            self._never_written("model/effect/")
            return None
        return AllianceEffect.load(place)

    @cached_property
    def panel(self) -> Panel:
        """The panel that was analysed."""
        return load_panel(self.folder / "model" / "panel")

    def table(self, name: str) -> pd.DataFrame | None:
        """One table of the folder, such as ``"hinge.csv"``; None where the run left it out."""
        path = self.folder / name
        if not path.is_file():
            self._never_written(name)
            return None
        return read_table(path).frame

    def _never_written(self, start: str) -> None:
        """Refuse a folder from which something of this name was taken since the run wrote it."""
        written = self.folder / MARKER
        listed_files = written.read_text(encoding="utf-8").splitlines() if written.is_file() else []
        if any(name.startswith(start) for name in listed_files):
            raise FileError(f"{self.folder / start}: the run wrote it, and it is gone; run the study again.")

    def patient(self, given: str) -> Any:
        """The panel's identifier of a patient given as text.

        Raises
        ------
        OptionError
            When there is no such patient.
        """
        found = {str(one): one for one in self.panel.patient_ids}
        if given not in found:
            near = [name for name in found if given.casefold() in name.casefold()] or list(found)
            raise OptionError(f"{self.folder}: there is no patient {given!r}; there is {listed(near)}.")
        return found[given]


def load_results(folder: str | Path) -> Results:
    """Open the results folder of an earlier run.

    Raises
    ------
    FileError
        When the folder is not there or is no results folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise FileError(f"{place}: there is no such folder; name the results folder of an earlier run.")
    try:
        run = json.loads((place / "run.json").read_text(encoding="utf-8"))
        options = dict(run["options"])
    except FileNotFoundError:
        raise FileError(f"{place}: there is no run.json in it; name the results folder of an earlier run.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{place / 'run.json'}: cannot be read ({error}); run the study again.") from error
    return Results(place, run, study_from_values(options, source=f"{place.name}/run.json"))
