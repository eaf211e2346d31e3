"""Command that runs an experiment on a simulated clinic or a study: experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from personalize.cli.command import command
from personalize.cli.flags import READING
from personalize.cli.show import stages_shown
from personalize.cli.study_argument import STUDY, study_of


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @command(
        app,
        "experiment",
        sections=(*READING, "analysis"),
        without=("analysis.all_baselines", "analysis.shift_sd", "analysis.moderators"),
        panel="Questions",
    )
    def experiment(
        name: Annotated[
            str | None,
            typer.Argument(help="The experiment; without it they are listed.", metavar="NAME", show_default=False),
        ] = None,
        study: Annotated[Path | None, STUDY] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", help="Folder for tables and figure.", metavar="FOLDER", show_default=False),
        ] = None,
        full: Annotated[bool, typer.Option("--full", help="Full size; without it a quick one.", metavar=" ")] = False,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace a folder that is in the way.", metavar=" ")
        ] = False,
        *,
        flags: dict[str, Any],
    ) -> None:
        """Ask one question of a simulated clinic, or of your study: personalize experiment for-whom study.toml."""
        from personalize.study.experiments import find_experiment, listed_experiments
        from personalize.study.reading import study_from

        if name is None:
            typer.echo(listed_experiments())
            return
        ask = find_experiment(name)
        given = study is not None or "data.sessions" in flags
        chosen = study_of(study, flags) if given else study_from(flags)
        with stages_shown(2) as show:
            panel = None
            if given:
                with show("Reading the data"):
                    panel = chosen.read()
            with show(name):
                finding = ask(
                    panel,
                    random_state=chosen.get("analysis.seed"),
                    quick=not full,
                    alliance_sem=chosen.get("alliance.sem"),
                    outcome_sem=chosen.get("outcome.sem"),
                )
        typer.echo(finding.text)
        if out is not None:
            finding.save(out, overwrite=overwrite)
            typer.echo(f"Tables and figure in {out}.")
