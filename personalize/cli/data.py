"""Commands that look at data and measures: check, features, measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from features.errors import OptionError
from personalize.check import CheckReport
from personalize.cli.command import BAD_INPUT, command
from personalize.cli.flags import READING, in_flags
from personalize.cli.show import stages_shown
from personalize.cli.study_argument import STUDY, study_of

DATA = typer.Argument(
    help="study.toml, or the table with one row a session.", metavar="STUDY or SESSIONS", show_default=False
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @command(app, "check", sections=READING, panel="Before a run")
    def check(
        study: Annotated[Path | None, DATA] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.", metavar=" ")] = False,
        *,
        flags: dict[str, Any],
    ) -> None:
        """Look at the data before anything is fitted: what is there, what is wrong with it, what can be analysed.

        Give a study.toml, or the sessions table and the columns that matter:

        personalize check sessions.csv --outcome oq45 --alliance wai
        """
        report = _with_flags(study_of(study, flags).check())
        typer.echo(json.dumps(report.to_dict(), indent=1, ensure_ascii=False) if as_json else report.text())
        if not report.ok:
            raise typer.Exit(BAD_INPUT)

    @command(app, "features", sections=(*READING,), panel="Before a run")
    def features(
        study: Annotated[Path | None, STUDY] = None,
        out: Annotated[Path, typer.Option("--out", help="File to write (.csv or .parquet).")] = Path("features.csv"),
        landmark: Annotated[
            str | None,
            typer.Option(
                help="What was known after that many sessions, one row a patient; 0: at intake; last: at the latest. "
                "Without it: one row a session.",
                metavar="NUMBER or last",
                show_default=False,
            ),
        ] = None,
        seen: Annotated[
            str,
            typer.Option(
                help="past: only what was known by then, fit for forecasts; whole: the whole-treatment state and "
                "trait as well.",
                metavar="past or whole",
            ),
        ] = "past",
        *,
        flags: dict[str, Any],
    ) -> None:
        """Write the feature table for your own models: intake, trait and state of the alliance, history of the outcome.

        A second file beside it (features-dictionary.csv) says what every column is and what it has seen.
        """
        from features.build import build_features, dictionary
        from personalize.files import write_table

        at = _landmark(landmark)
        chosen = study_of(study, flags)
        beside = out.with_name(f"{out.stem}-dictionary.csv")
        for role, source in chosen.files.items():
            if source.resolve() in (out.resolve(), beside.resolve()):
                raise OptionError(f"--out {out} would write over the {role} table ({source}); name another file.")
        with stages_shown(3) as show:
            with show("Reading the data"):
                panel = chosen.read()
            with show("Features"):
                table = build_features(panel, at, seen=seen)  # type: ignore[arg-type]
            with show("Writing"):
                write_table(table, out, index=True)
                write_table(dictionary(panel, seen=seen), beside)  # type: ignore[arg-type]
        typer.echo(f"{out}: {len(table)} rows, {table.shape[1]} features; described in {beside}")

    @command(app, "measures", panel="Before a run")
    def measures(
        name: Annotated[str | None, typer.Argument(help="A measure, such as phq9; without it all are listed.")] = None,
    ) -> None:
        """What the registry knows of a scale: range, direction, cut-off, reliable change, and where each was read."""
        from features.measures import measure, overview

        if name is None:
            table = overview()[["title", "minimum", "maximum", "better", "cutoff", "reliable_change"]]
            typer.echo(table.to_string(na_rep="-", max_colwidth=60))
            return
        typer.echo(_described(measure(name)))


def _with_flags(report: CheckReport) -> CheckReport:
    """The report with its remedies spoken in flags."""
    table = report.analyses
    return replace(
        report,
        problems=tuple(map(in_flags, report.problems)),
        warnings=tuple(map(in_flags, report.warnings)),
        notes=tuple(map(in_flags, report.notes)),
        analyses=table.assign(why=[in_flags(str(why)) for why in table["why"]]),
    )


def _landmark(text: str | None) -> Any:
    if text is None or text == "last":
        return text
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"--landmark {text}: give a number of sessions from 0, or last.") from None


def _described(known: Any) -> str:
    lines = [f"{known.name}: {known.title}"]
    shown = {
        "range": None if known.minimum is None else f"{known.minimum:g} to {known.maximum:g}",
        "better": known.better,
        "items": known.items,
        "scoring": known.scoring,
        "clinical cut-off": known.cutoff,
        "reliable change": known.reliable_change,
        "reliability": known.reliability,
        "reversed items": ", ".join(map(str, known.reversed_items)) or None,
    }
    lines += [f"  {label:<17} {value if value is not None else 'not known'}" for label, value in shown.items()]
    lines += [f"  subscale {scale}: items {', '.join(map(str, items))}" for scale, items in known.subscales.items()]
    lines += ["  sources", *(f"    {key}: {text}" for key, text in known.sources.items())] if known.sources else []
    return "\n".join([*lines, f"  note: {known.note}"] if known.note else lines)
