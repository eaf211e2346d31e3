"""Command that runs an experiment on a simulated clinic or a study: experiment."""

from __future__ import annotations

from contextlib import nullcontext
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
        jobs: Annotated[
            int | None,
            typer.Option(
                "--jobs", help="Processes, where an experiment can use several.", metavar="N", show_default=False
            ),
        ] = None,
        checkpoint: Annotated[
            Path | None,
            typer.Option(
                "--checkpoint",
                help="File that keeps what is done, for an interrupted run; by default beside --out.",
                metavar="FILE",
                show_default=False,
            ),
        ] = None,
        dask: Annotated[
            str | None,
            typer.Option("--dask", help="Scheduler of a Dask cluster.", metavar="ADDRESS", show_default=False),
        ] = None,
        *,
        flags: dict[str, Any],
    ) -> None:
        """Ask one question, or all, of simulated clinics or your study: personalize experiment for-whom study.toml."""
        from personalize.study.experiments import find_experiment, listed_experiments, long_run_options, takes
        from personalize.study.reading import study_from

        if name is None:
            typer.echo(listed_experiments())
            return
        ask = find_experiment(name)
        options = long_run_options(ask, {"n_jobs": jobs, "checkpoint": checkpoint, "dask": dask})
        if out is not None and checkpoint is None and takes(ask, "checkpoint"):
            options["checkpoint"] = out.with_name(f"{out.name}.cells.jsonl")
        if takes(ask, "folder"):
            options["folder"] = out
        own_line = takes(ask, "progress")  # says itself how far it is, on the line where the spinner would be
        if own_line:
            options["progress"] = True
        given = study is not None or "data.sessions" in flags
        chosen = study_of(study, flags) if given else study_from(flags)
        with stages_shown(2) as show:
            panel = None
            if given:
                with show("Reading the data"):
                    panel = chosen.read()
            with nullcontext() if own_line else show(name):
                finding = ask(
                    panel,
                    random_state=chosen.get("analysis.seed"),
                    quick=not full,
                    alliance_sem=chosen.get("alliance.sem"),
                    outcome_sem=chosen.get("outcome.sem"),
                    **options,
                )
        typer.echo(finding.text)
        if out is not None and "folder" not in options:
            finding.save(out, overwrite=overwrite)
            typer.echo(f"Tables and figure in {out}.")
