"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from personalize.cli import apply, data, experiment, run, simulate

app = typer.Typer(
    name="personalize",
    help="Who is helped by a stronger alliance, when, and how sure is that? From session-by-session therapy data: for "
    "every patient a forecast of the outcome, and an honest estimate of how much it hinges on "
    "change in the alliance.\n\n"
    "Start with `personalize demo`, or with `personalize check sessions.csv --outcome oq45 --alliance wai`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("personalize"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", metavar=" ", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


for part in (run, data, apply, simulate, experiment):
    part.add_to(app)
