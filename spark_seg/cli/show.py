"""Looking things up in what is published, without SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spark_seg.cli.terminal import ConfigOption, SetOption, console, open_store, print_json, say
from spark_seg.config import Settings, load_settings
from spark_seg.errors import ConfigError
from spark_seg.periods import parse_as_of

app = typer.Typer()
show_app = typer.Typer(no_args_is_help=True, help="Look things up in what is published.")
app.add_typer(show_app, name="show")

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines, on standard output.")]
DayOption = Annotated[
    str | None, typer.Option("--as-of", help="Day of the snapshot, YYYY-MM-DD; default: the last one.")
]
RunOption = Annotated[
    str | None, typer.Option("--run", help="A run instead of the one that counts for the day.")
]


@app.command()
def report(
    config: ConfigOption,
    run_id: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Default: the run that counts for --as-of.")
    ] = None,
    set_: SetOption = None,
    as_of: DayOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; default: report.path.")
    ] = None,
) -> None:
    """Write the report of a committed run: one HTML page, and its model card as Markdown."""
    from spark_seg.report import write_report

    settings = load_settings(config, set_ or [])
    if run_id is None:
        store, _, run = _segmented(settings, as_of, None, quiet=False)
        run_id = run.run_id
    else:
        store = open_store(settings)
    written = write_report(store, settings, run_id, None if out is None else str(out))
    say(console, f"report     {written.page}")
    say(console, f"card       {written.card}")


@show_app.command("runs")
def show_runs(config: ConfigOption, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Every committed run, and which tables show it."""
    from spark_seg.publishing import Ledger
    from spark_seg.report import run_rows, run_table

    settings = load_settings(config, set_ or [])
    runs = Ledger(open_store(settings, quiet=json_), settings.pipeline).runs()
    print_json(run_rows(runs)) if json_ else console.print(run_table(runs))


@show_app.command("segments")
def show_segments(
    config: ConfigOption,
    set_: SetOption = None,
    as_of: DayOption = None,
    run: RunOption = None,
    json_: JsonOption = False,
) -> None:
    """The segments of a day: size, worth, what sets them apart, and their play."""
    from spark_seg.publishing import rows_of
    from spark_seg.report import segment_table

    settings = load_settings(config, set_ or [])
    store, _, found = _segmented(settings, as_of, run, json_)
    rows = [row for row in rows_of(store, found, "profiles") if row["scheme"] == "clusters"]
    print_json(rows) if json_ else console.print(segment_table(rows))


@show_app.command("candidates")
def show_candidates(
    config: ConfigOption,
    set_: SetOption = None,
    as_of: DayOption = None,
    run: RunOption = None,
    json_: JsonOption = False,
) -> None:
    """Every candidate that was measured for the segments of a day, and the verdict on it."""
    from spark_seg.publishing import rows_of, trained_by
    from spark_seg.report import candidate_table

    settings = load_settings(config, set_ or [])
    store, runs, found = _segmented(settings, as_of, run, json_)
    rows = rows_of(store, trained_by(runs, found), "candidates")
    print_json(rows) if json_ else console.print(candidate_table(rows))


@show_app.command("rules")
def show_rules(
    config: ConfigOption,
    set_: SetOption = None,
    as_of: DayOption = None,
    run: RunOption = None,
    json_: JsonOption = False,
    sql: Annotated[bool, typer.Option("--sql", help="One CASE expression for a warehouse.")] = False,
) -> None:
    """The rules that stand for the segments of a day: in words, or as SQL over the columns of features."""
    from spark_seg.publishing import rows_of
    from spark_seg.report import rule_table, rules_as_sql

    settings = load_settings(config, set_ or [])
    store, _, found = _segmented(settings, as_of, run, json_ or sql)
    rows = rows_of(store, found, "rules")
    if not rows:
        raise ConfigError(
            f"rules: must be published with the segments; run {found.run_id} has none. Revise it"
        )
    if json_:
        print_json(rows)
    elif sql:
        typer.echo(rules_as_sql(rows))
    else:
        console.print(rule_table(rows))


@show_app.command("customer")
def show_customer(
    config: ConfigOption,
    customer: Annotated[str, typer.Argument(metavar="ID", help="As the sources have it.")],
    set_: SetOption = None,
    as_of: DayOption = None,
    run: RunOption = None,
    json_: JsonOption = False,
) -> None:
    """Where one customer is, why, how sure that is, and what would change it."""
    from spark_seg.pipeline import check_key
    from spark_seg.report import customer_facts, print_customer
    from spark_seg.sources import naming_of
    from spark_seg.tables import BLANKS

    settings = load_settings(config, set_ or [])
    check_key(settings)
    (name,) = naming_of(settings).names([customer.strip(BLANKS)])
    store, _, found = _segmented(settings, as_of, run, json_)
    facts = customer_facts(store, settings, found, name) if name is not None else None
    if facts is None:
        raise ConfigError(
            f"ID: must be a customer of {found.as_of}; run {found.run_id} has none of that id. Look whether "
            "it is written as in the sources, whether there is consent, and whether the customer was erased"
        )
    print_json(facts) if json_ else print_customer(console, facts)


def _segmented(settings: Settings, as_of: str | None, run_id: str | None, quiet: bool) -> tuple[Any, ...]:
    """The tables, the committed runs, and the one whose segments are asked for."""
    from spark_seg.pipeline import known_run
    from spark_seg.publishing import Ledger, current_run

    day = None if as_of is None else parse_as_of(as_of)
    store = open_store(settings, quiet)
    runs = Ledger(store, settings.pipeline).runs()
    run = known_run(runs, run_id, "--run") if run_id is not None else current_run(runs, "profiles", day)
    if run is None or run.receipt("profiles") is None:
        days = sorted({str(r.as_of) for r in runs if "profiles" in r.tables})
        raise ConfigError(
            f"segments: must be published{f' for {day}' if day else ''}; got {', '.join(days) or 'nothing'}"
        )
    return store, runs, run
