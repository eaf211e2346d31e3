"""Commands that use the results of a run: predict, patient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from personalize.cli.command import command
from personalize.cli.show import stages_shown

RESULTS = typer.Argument(help="The results folder of a run.", metavar="RESULTS", show_default=False)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @command(app, "predict", sections=("data",), panel="After a run")
    def predict(
        results: Annotated[Path, RESULTS],
        out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="FOLDER")] = Path("predictions"),
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace a folder that is in the way.", metavar=" ")
        ] = False,
        *,
        flags: dict[str, Any],
    ) -> None:
        """Apply a run to new patients: forecasts from their sessions so far, effects from their intake, pages.

        The new tables must have the columns of the run's tables; a patient without sessions is forecast from intake.

        personalize predict results --sessions new.csv --patients new_patients.csv
        """
        from personalize.study.predict import write_prediction
        from personalize.study.results import load_results

        with stages_shown(3) as show:
            made = write_prediction(load_results(results), flags, out, overwrite=overwrite, show=show)
        for note in made.notes:
            typer.echo(f"note: {note}", err=True)
        typer.echo(f"{out}: forecasts of {made.panel.n_patients} patients; open {out / 'report.html'}")

    @command(app, "patient", panel="After a run")
    def patient(
        results: Annotated[Path, RESULTS],
        who: Annotated[str, typer.Argument(help="The patient's identifier.", metavar="PATIENT", show_default=False)],
        out: Annotated[
            Path | None,
            typer.Option("--out", help="File to write; PATIENT.html in the present folder by default.", metavar="FILE"),
        ] = None,
    ) -> None:
        """Write one patient's page, and say in the terminal what stands on it."""
        from personalize.cli.words import patient_in_words
        from personalize.study.patient import write_patient
        from personalize.study.results import load_results

        opened = load_results(results)
        one = opened.patient(who)
        typer.echo(patient_in_words(opened, one))
        typer.echo(f"\nThe page: {write_patient(opened, one, out)}")
