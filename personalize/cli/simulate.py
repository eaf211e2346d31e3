"""Command that writes a simulated clinic: simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personalize.cli.command import command
from personalize.cli.show import stages_shown


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @command(app, "simulate", panel="Before a run")
    def simulate(
        out: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="FOLDER")] = Path("clinic"),
        preset: Annotated[
            str, typer.Option(help="nonlinear, linear, constant, null, uneven, swinging or harsh.", metavar="NAME")
        ] = "nonlinear",
        patients: Annotated[int, typer.Option(help="Number of patients.", metavar="NUMBER")] = 1000,
        sessions: Annotated[int, typer.Option(help="Sessions a treatment lasts on average.", metavar="NUMBER")] = 12,
        caseload: Annotated[int, typer.Option(help="Patients per therapist, on average.", metavar="NUMBER")] = 20,
        seed: Annotated[int, typer.Option(help="Start of the random numbers.", metavar="NUMBER")] = 0,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace a folder that is in the way.", metavar=" ")
        ] = False,
    ) -> None:
        """Write a simulated clinic as a researcher would have it, with a study.toml to run, and the truth behind it.

        personalize simulate --out clinic && personalize run clinic/study.toml
        """
        from personalize.study.demo import write_clinic

        with stages_shown(1) as show, show("Simulating the clinic"):
            panel = write_clinic(
                out, preset=preset, n_patients=patients, n_sessions=sessions, caseload=caseload, seed=seed,
                overwrite=overwrite,
            )  # fmt: skip
        typer.echo(
            f"{out}: {panel.n_patients} patients of {panel.n_therapists} therapists, {panel.n_sessions} sessions.\n"
            f"Next: personalize run {out / 'study.toml'}"
        )
