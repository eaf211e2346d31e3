"""A fitted forecaster in a folder: JSON, NumPy arrays without pickle, LightGBM's text format. Nothing executable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import FileError
from personalize.trajectories.members.member import Stored

FORMAT = 4
KIND = "personalize trajectory forecaster"


def write(folder: str | Path, stored: Stored) -> None:
    """Write ``forecaster.json``, ``forecaster.npz`` and one ``.txt`` a text."""
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        head = {"kind": KIND, "format": FORMAT, "texts": sorted(stored.texts), **stored.plain}
        np.savez(place / "forecaster.npz", allow_pickle=False, **stored.arrays)
        for name, text in stored.texts.items():
            (place / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
        text = json.dumps(head, indent=1, sort_keys=True, default=_plain)
        (place / "forecaster.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise FileError(f"{place}: the forecaster cannot be written ({error}).") from error


def read(folder: str | Path) -> Stored:
    """Read what `write` wrote.

    Raises
    ------
    FileError
        When files are missing, damaged, of another kind or of a version this program does not know.
    """
    place = Path(folder)
    try:
        head: dict[str, Any] = json.loads((place / "forecaster.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"{place}: there is no forecaster.json; a saved forecaster's folder is needed.") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{place / 'forecaster.json'}: cannot be read ({error}).") from error
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise FileError(f"{place / 'forecaster.json'}: this is not a saved forecaster.")
    if head.get("format") != FORMAT:
        raise FileError(
            f"{place / 'forecaster.json'}: written in format {head.get('format')!r}, this version reads {FORMAT}; fit "
            "and save the forecaster anew."
        )
    try:
        with np.load(place / "forecaster.npz", allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        if not all(re.fullmatch(r"[a-z_]+", name) for name in head["texts"]):
            raise ValueError("a file name that no forecaster writes")
        texts = {name: (place / f"{name}.txt").read_text(encoding="utf-8") for name in head["texts"]}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise FileError(f"{place}: the saved forecaster is incomplete or damaged ({error}).") from error
    return Stored(head, arrays, texts)


@contextmanager
def damage_is_an_error(folder: str | Path) -> Iterator[None]:
    """Turn what goes wrong while a saved fit is put together again into a `FileError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{folder}: the saved forecaster is incomplete or damaged ({error}).") from error


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
