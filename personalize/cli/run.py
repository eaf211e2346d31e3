"""Commands that analyse a study: run, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from personalize.cli.command import command
from personalize.cli.show import stages_shown
from personalize.cli.study_argument import STUDY, study_of

SECTIONS = ("", "data", "columns", "outcome", "alliance", "analysis", "output")
STAGES = 9


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @command(app, "demo", panel="Start here")
    def demo(
        out: Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="FOLDER")] = Path("results"),
        patients: Annotated[int, typer.Option(help="Patients of the simulated clinic.", metavar="NUMBER")] = 1000,
        sessions: Annotated[int, typer.Option(help="Sessions a treatment lasts on average.", metavar="NUMBER")] = 12,
        preset: Annotated[
            str,
            typer.Option(
                help="Kind of clinic: nonlinear and linear (patients differ in how much alliance helps), constant (all "
                "alike), null (no effect), uneven (noisier outcomes in some), swinging (in those with the "
                "strongest effects), harsh (with measurement error, missing ratings, drop-out).",
                metavar="NAME",
            ),
        ] = "nonlinear",
        seed: Annotated[int, typer.Option(help="Start of the random numbers.", metavar="NUMBER")] = 0,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace a folder that is in the way.", metavar=" ")
        ] = False,
    ) -> None:
        """Simulate a clinic, analyse it, and write a report: the whole way, without data of your own.

        Takes two to three minutes. Since the clinic is simulated the truth is known, and the results say how well it
        was found again. Open results/report.html in a browser.
        """
        from personalize.cli.words import run_in_words, truth_in_words
        from personalize.study.demo import run_demo

        with stages_shown(STAGES) as show:
            done, truth = run_demo(
                out, preset=preset, n_patients=patients, n_sessions=sessions, seed=seed, overwrite=overwrite, show=show
            )
        typer.echo(run_in_words(done))
        typer.echo(truth_in_words(done, truth))

    @command(app, "run", sections=SECTIONS, panel="Start here")
    def run(study: Annotated[Path | None, STUDY] = None, *, flags: dict[str, Any]) -> None:
        """Analyse a study: forecasts, effects of the alliance, explanations and a report, in one results folder.

        With a study.toml (docs/study-toml.md lists its keys):

        personalize run study.toml --out results

        or by flags alone:

        personalize run --sessions sessions.csv --patients patients.csv --outcome oq45 --alliance wai
        """
        from personalize.cli.words import run_in_words
        from personalize.study.run import run_study

        chosen = study_of(study, flags)
        with stages_shown(STAGES) as show:
            done = run_study(chosen, show=show)
        typer.echo(run_in_words(done))
