"""What every command shares: errors on stderr without a traceback, exit codes, ``--debug``."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from features.errors import PersonalizeError
from personalize.cli.flags import PREFIX, flags_of, given_flags, in_flags

FAILED, BAD_INPUT = 1, 2
DEBUG = typer.Option(
    "--debug", help="Show the program's own traceback when something goes wrong.", show_default=False, metavar=" "
)


def command(
    app: typer.Typer, name: str, *, sections: Iterable[str] = (), without: Iterable[str] = (), panel: str = "Commands"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command.

    Parameters
    ----------
    app : Typer
    name : str
    sections : iterable of str
        Sections of ``study.toml`` whose flags the command has. The function gets what was used of them as ``flags``, a
        dict by ``section.key``.
    without : iterable of str
        Keys of these sections that make no sense here.
    panel : str
        Group in the list of commands.
    """
    made = flags_of(sections, without=without)

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "flags"]
        debug = inspect.Parameter(
            "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, DEBUG]
        )

        @functools.wraps(function)
        def run(*args: Any, debug: bool = False, **values: Any) -> None:
            with warnings.catch_warnings():
                warnings.showwarning = _note
                try:
                    if made:
                        values["flags"] = given_flags(values)
                    function(*args, **{k: v for k, v in values.items() if not k.startswith(PREFIX)})
                except (typer.Exit, typer.Abort):
                    raise
                except BaseException as problem:
                    raise typer.Exit(_say(problem, debug)) from None

        vars(run)["__signature__"] = inspect.Signature([*own, *made, debug])
        run.__annotations__ = {p.name: p.annotation for p in [*own, *made, debug]}
        app.command(name, rich_help_panel=panel)(run)
        return function

    return register


def _say(problem: BaseException, debug: bool) -> int:
    """Tell what went wrong on stderr; return the exit code."""
    if debug:
        traceback.print_exception(problem)
    if isinstance(problem, PersonalizeError):
        print(f"error: {in_flags(str(problem))}", file=sys.stderr)
        return BAD_INPUT
    if isinstance(problem, KeyboardInterrupt):
        print("stopped; what was not finished is not written.", file=sys.stderr)
        return FAILED
    if isinstance(problem, BrokenPipeError):  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    kind = type(problem).__name__
    print(f"error: the program failed ({kind}: {problem}); this is no fault of the data.", file=sys.stderr)
    if not debug:
        print("Run the same command with --debug and send what it prints to the developers.", file=sys.stderr)
    return FAILED


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"note: {message}", file=sys.stderr)
