"""Write files and folders so that they appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import FileError, listed

MARKER = ".personalize"  # lists the files of a results folder, so that replacing it never takes anybody else's


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Hand out a temporary path beside ``path``, which becomes ``path`` when the block ends without an error.

    Yields
    ------
    Path
        Where to write; it has the suffix of ``path``.

    Raises
    ------
    FileError
        When the folder does not exist or cannot be written to.
    """
    target = Path(path)
    if target.is_dir():
        raise FileError(f"{target}: is a folder; name a file in it.")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise FileError(
            f"{target}: cannot be written ({error.strerror}); check the folder and its permissions."
        ) from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        _replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def results_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Hand out a temporary folder beside ``path``, which becomes ``path`` when the block ends without an error.

    A results folder of an earlier run is replaced whole. Anything else in the way is refused: a folder that is not
    ours, or one of ours in which files were added since.

    Parameters
    ----------
    path : str or Path
        The results folder. Folders above it are made.
    overwrite : bool
        Replace a folder of ours even if files were added to it, and move a folder that is not ours aside (to
        ``<name>.before``, never deleting it).

    Yields
    ------
    Path
        Where to write. On an error it is removed with all that is in it, and ``path`` stays as it was.

    Raises
    ------
    FileError
        When something is in the way or the place cannot be written to.
    """
    target = Path(os.path.abspath(Path(path).expanduser()))
    aside = _in_the_way(target, overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise FileError(
            f"{target}: cannot be made ({error.strerror}); choose another place for the results."
        ) from error
    try:
        yield partial
        names = sorted(file.relative_to(partial).as_posix() for file in partial.rglob("*") if not file.is_dir())
        (partial / MARKER).write_text("\n".join(names) + "\n", encoding="utf-8")
        partial.chmod(0o777 & ~_umask())
        _swap(partial, target, aside)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _in_the_way(target: Path, overwrite: bool) -> Path | None:
    """Where a folder in the way is to be moved; None where it may be replaced. Raises where it must not be touched."""
    if not os.path.lexists(target):
        return None
    if not target.is_dir() or target.is_symlink():
        raise FileError(f"{target}: is in the way and no folder; choose another name for the results.")
    here = Path.cwd()
    if target == here or target in here.parents or target == Path.home():
        raise FileError(f"{target}: is the folder you are in, or above it; choose a new name for the results.")
    found = {file.relative_to(target).as_posix() for file in target.rglob("*") if not file.is_dir()}
    if not found:
        return None
    if MARKER in found:
        known = set((target / MARKER).read_text(encoding="utf-8").splitlines()) | {MARKER}
        added = sorted(found - known)
        if added and not overwrite:
            raise FileError(
                f"{target}: holds an earlier run and files that were added since ({listed(added)}); move them away, "
                "choose another name, or pass overwrite=True to replace the folder with all that is in it."
            )
        return None
    if not overwrite:
        raise FileError(
            f"{target}: exists and is not a results folder; choose a new name, or pass overwrite=True to move it aside."
        )
    number = 0
    while os.path.lexists(aside := target.with_name(f"{target.name}.before{number or ''}")):
        number += 1
    return aside


def _swap(partial: Path, target: Path, aside: Path | None) -> None:
    old = None
    try:
        if os.path.lexists(target):
            old = aside or Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent)) / target.name
            target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            if old is not None:
                old.rename(target)
            raise
    except OSError as error:
        raise FileError(f"{target}: cannot be put in place ({error.strerror}); nothing was changed.") from error
    if old is not None and aside is None:
        shutil.rmtree(old.parent, ignore_errors=True)


def _replace(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except OSError as error:
        raise FileError(f"{target}: cannot be replaced ({error.strerror}); is it open in another program?") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
