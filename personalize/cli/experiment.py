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

    @command(app, "experiment", sections=(*READING, "analysis"), without=("analysis.all_baselines",), panel="Questions")
    def experiment(
        name: Annotated[
            str | None, typer.Argument(help="The experiment; without it they are listed.", metavar="NAME", show_default=False)
        ] = None,
        study: Annotated[Path | None, STUDY] = None,
        out: Annotated[
            Path | None, typer.Option("--out", help="File for the table (.csv).", metavar="FILE", show_default=False)
        ] = None,
        full: Annotated[bool, typer.Option("--full", help="Full size; without it a quick one.", metavar=" ")] = False,
        *,
        flags: dict[str, Any],
    ) -> None:
        """Ask one question of a simulated clinic, or of your study: personalize experiment for-whom study.toml."""
        from personalize.files import write_table
        from personalize.study.experiments import find_experiment, listed_experiments

        if name is None:
            typer.echo(listed_experiments())
            return
        ask = find_experiment(name)
        chosen = study_of(study, flags) if study is not None or "data.sessions" in flags else None
        with stages_shown(2) as show:
            panel = None
            if chosen is not None:
                with show("Reading the data"):
                    panel = chosen.read()
            with show(name):
                seed = chosen.get("analysis.seed") if chosen is not None else flags.get("analysis.seed", 0)
                finding = ask(panel, random_state=seed, quick=not full)
        typer.echo(finding.table.to_string(index=False))
        typer.echo(f"\n{finding.sentence}")
        if out is not None:
            write_table(finding.table, out)
