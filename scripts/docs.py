"""Writes the parts of the guides that follow from the code, between `<!-- generated: NAME -->` and `end`.

Usage: python scripts/docs.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import annotated_types
import typer
import yaml
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from spark_seg.cli import app
from spark_seg.config import ALLOWED_FUNCTIONS, FeatureSettings, Settings
from spark_seg.features import feature_names, feature_spec
from spark_seg.pipeline.plan import JOBS
from spark_seg.publishing import TOLD_BY
from spark_seg.tables import (
    ACTIVITY,
    CONSENTS,
    CUSTOMERS,
    EVENTS,
    FEATURES,
    ORDERS,
    PUBLISHED,
    RATES,
    REPAIRS,
    Field,
    kept_activity_spec,
)
from spark_seg.tables.stamp import PARTITIONS

REPOSITORY = Path(__file__).parents[1]
GUIDES = tuple(
    REPOSITORY / name
    for name in ("README.md", "jobs/README.md", "conf/README.md", "spark_seg/README.md", "tests/README.md")
)
_PART = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
#: Stands for any kind of event, and for the days of any shorter look-back.
_ANY_KIND, _ANY_DAYS = "KIND", 30


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def _cell(text: str) -> str:
    """Nothing of `text` is taken for a border or, outside of code, for a tag."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


# ---------------------------------------------------------------- configuration

#: Checks of values that say more than their type.
_CHECKED = {
    "identifier": "name",
    "_path": "path",
    "_table_name": "schema.table",
    "_schema_name": "schema",
    "_time_zone": "time zone",
    "_key_reference": "env:NAME",
    "_expression": "expression",
    "_type_name": "type",
    "_in_order": "scores 1–5",
}
_PLAIN = {
    str: "text", int: "whole number", float: "number", bool: "true or false", date: "day", type(None): "null",
}  # fmt: skip


def kind(hint: Any, more: Sequence[Any] = ()) -> str:
    """A type of a setting in words, with its limits. `more`: what is known of it beside the type."""
    if get_origin(hint) is Annotated:
        hint, *given = get_args(hint)
        return kind(hint, [*given, *more])
    parts = [p for m in more for p in (m.metadata if isinstance(m, FieldInfo) else [m])]
    checks = [part.func.__name__ for part in parts if isinstance(part, AfterValidator)]
    if words := [_CHECKED[name] for name in checks if name in _CHECKED]:
        return words[0]
    if get_origin(hint) is not None:
        return _combined(get_origin(hint), get_args(hint))
    return "section" if issubclass(hint, BaseModel) else " ".join((_PLAIN[hint], *_limits(parts)))


def _combined(origin: Any, inner: tuple[Any, ...]) -> str:
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is dict:
        return f"{kind(inner[0])} → {kind(inner[1])}"
    if origin is tuple:
        return f"{'list' if inner[1:] == (...,) else 'two'} of {kind(inner[0])}"
    return " or ".join(kind(one) for one in inner)


def _limits(parts: Iterable[Any]) -> list[str]:
    """`0 to 1`, `> 0`, `< 1` or a pattern. What a type and its field both say comes once."""
    found: dict[str, str] = {}
    for part in parts:
        for shape in (annotated_types.Ge, annotated_types.Gt, annotated_types.Le, annotated_types.Lt):
            if isinstance(part, shape):
                name = shape.__name__.lower()
                found[name] = f"{getattr(part, name):,.12g}"
        if (pattern := getattr(part, "pattern", None)) is not None:
            found["pattern"] = f"`{pattern}`"
    if "ge" in found and "le" in found:
        found = {"span": f"{found.pop('ge')} to {found.pop('le')}"} | found
    signs = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< "}
    return [f"{signs.get(name, '')}{value}" for name, value in found.items()]


def default(where: str, info: FieldInfo) -> str:
    """The default of a setting, as it is written in YAML."""
    if where == "segments.archetypes":
        return "conf/archetypes.yaml"
    if where == "segments.rfm_map":
        return "the standard grid"
    if where == "segments":
        return ""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return ""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000)
    return f"`{text.strip().removesuffix('...').strip()}`"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def sections(where: str, hint: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section that a setting is made of, and those below it, each with its place."""
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield where, hint
        for name, below in _hints(hint).items():
            yield from sections(f"{where}.{name}" if where else name, below)
    elif origin is tuple:
        yield from sections(f"{where}[]", inner[0])
    elif origin is dict:
        yield from sections(f"{where}.NAME", inner[1])
    elif origin is not Literal:
        for one in inner:
            yield from sections(where, one)


def _hints(model: type[BaseModel]) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.model_fields}


def configuration() -> str:
    """Every setting: type, limits, default, effect. Sections that differ in their roles only, once."""
    text = ""
    told: dict[frozenset[str], str] = {}
    alike: list[str] = []
    for where, model in sections("", Settings):
        names = frozenset(model.model_fields)
        if where.startswith(tuple(f"{place}{sign}" for place in alike for sign in ".[")):
            continue
        text += f"### `{where}`\n\n{_about_model(model)}\n\n" if where else ""
        if names in told:
            text += f"Its settings are those of `{told[names]}`.\n\n"
            alike.append(where)
            continue
        told[names] = where
        hints = _hints(model)
        rows = (
            (
                f"`{name}`",
                kind(hints[name], info.metadata),
                default(f"{where}.{name}".removeprefix("."), info),
                info.description or " ".join(_about_model(m) for _, m in [*sections("", hints[name])][:1]),
            )
            for name, info in model.model_fields.items()
        )
        text += f"{table(('setting', 'type', 'default', 'effect'), rows)}\n"
    return text


def _about_model(model: type[BaseModel]) -> str:
    return " ".join(cleandoc(model.__doc__ or "").split())


def functions() -> str:
    """What an expression of a mapping may call."""
    return f"{', '.join(f'`{name}`' for name in sorted(ALLOWED_FUNCTIONS))}.\n"


# ---------------------------------------------------------------- tables

#: Table → what has a row of its own, beside the stamp.
_ROWS = {
    "activity": "customer, day, and category bought or subject of a contact",
    "features": "customer",
    "holdout": "customer who bought in the holdout period",
    "assignments": "customer",
    "candidates": "algorithm and k",
    "profiles": "segment of each scheme",
    "rules": "leaf of the surrogate tree",
    "explanations": "segmented customer",
    "splits": "node of the bisecting tree",
    "segment_lineage": "way from a segment of the former fit to one of this",
    "migrations": "way from segment to segment, with its kind and cause",
    "alerts": "finding that a person should look at",
    "drift": "measure and what it is of",
    "decisions": "run of `monitor_segments`, or of `run_all --refit auto`",
    "rejects": "rejected row",
    "repairs": "row that was handed in again",
    "runs": "committed run",
    "erasures": "request and person who is left out from then on",
    "erasure_receipts": "request, each time it was looked for what is left",
}
#: Tables that no job of `JOBS` writes.
_WRITERS = {
    "repairs": ("`spark-seg repair`",),
    "runs": ("every job when it commits", "`spark-seg rollback`"),
    "erasures": ("`erase_customers`",),
    "erasure_receipts": ("`erase_customers`",),
}


def tables() -> str:
    """Every published table: rows, writers, view, key, columns."""
    text = table(
        ("table", "one row per", "written by"),
        ((f"[`{name}`](#{name})", _ROWS[name], _written_by(name)) for name in PUBLISHED),
    )
    for spec in PUBLISHED.values():
        stamped = spec.columns[: len(PARTITIONS)] == list(PARTITIONS) and spec is not REPAIRS
        own = spec.fields[len(PARTITIONS) :] if stamped else spec.fields
        key = tuple(name for name in spec.key if not (stamped and name in PARTITIONS))
        told = [f"One row per {_ROWS[spec.name]}. Written by {_written_by(spec.name)}."]
        if stamped:
            told.append("Begins with the stamp.")
        if stamped and spec is not ACTIVITY:
            told.append(f"View: `current_{spec.name}`{_with_those_of(spec.name)}")
        if key:
            told.append(f"Key: {', '.join(f'`{name}`' for name in key)}.")
        if spec is FEATURES:
            told.append("Further columns: [Feature columns](#feature-columns).")
        if spec is ACTIVITY:
            own = kept_activity_spec([_ANY_KIND]).fields[len(PARTITIONS) :]
        text += f"\n### {spec.name}\n\n{' '.join(told)}\n\n{_columns(own, key)}"
    return text


def inputs() -> str:
    """The canonical inputs, into which sources are mapped."""
    parts = (
        f"#### Canonical {spec.name}\n\nUnique by {', '.join(f'`{k}`' for k in spec.key)}.\n\n"
        f"{_columns(spec.fields)}"
        for spec in (ORDERS, EVENTS, CUSTOMERS, CONSENTS, RATES)
    )
    return "\n".join(parts)


def _written_by(name: str) -> str:
    jobs = [job for job, (outputs, _) in JOBS.items() if name in outputs]
    return ", ".join((*(f"`{job}`" for job in jobs), *_WRITERS.get(name, ())))


def _with_those_of(name: str) -> str:
    return f", of the runs that `{TOLD_BY[name]}` are of." if name in TOLD_BY else "."


def _columns(fields: Iterable[Field], key: Sequence[str] = ()) -> str:
    rows = (
        (f"`{f.name.replace(_ANY_KIND, '<kind>')}`", f"`{f.type.simpleString()}`", f.comment, f.name in key)
        for f in fields
    )
    head = ("column", "type", "meaning", "null")
    if not key:
        return table(head[:3], (row[:3] for row in rows))
    return table(head, ((*row[:3], "never" if row[3] else "") for row in rows))


def features() -> str:
    """Every column of the table features beside the stamp and the customer."""
    settings = FeatureSettings.model_validate(
        {
            "lookbacks_days": [_ANY_DAYS],
            "engagement": {"kinds": {_ANY_KIND: 1}, "contact_kind": _ANY_KIND, "response_kind": _ANY_KIND},
        }
    )
    numeric = set(feature_names(settings))
    rows = (
        (
            f"`{f.name.replace(f'_{_ANY_DAYS}d', '_<n>d').replace(_ANY_KIND, '<kind>')}`",
            f"`{f.type.simpleString()}`",
            "yes" if f.name in numeric else "",
            f.comment.replace(f"{_ANY_DAYS} days", "n days").replace(_ANY_KIND, "<kind>"),
        )
        for f in feature_spec(settings).fields[len(FEATURES.fields) :]
    )
    return table(("column", "type", "can be clustered", "meaning"), rows)


# ---------------------------------------------------------------- commands


#: Options that more commands than this take are told once.
_MANY = 4


def commands() -> str:
    """Every command of `spark-seg` with its arguments and options."""
    program: Any = typer.main.get_command(app)
    found = list(every_command(program))
    options = [_option(parameter) for _, command in found for parameter in command.params]
    shared = {row for row in options if options.count(row) > _MANY}
    anywhere = [_option(parameter) for parameter in program.params]
    text = table(("options of many commands", "effect"), [*anywhere, *sorted(shared)])
    for name, command in found:
        words = [_usage(p) for p in command.params if p.param_type_name == "argument"]
        rows = [row for p in command.params if (row := _option(p))[1]]
        common = ", ".join(row[0] for row in rows if row in shared)
        own = [row for row in rows if row not in shared]
        text += f"\n### spark-seg {' '.join((name, *words))}\n\n{' '.join(command.help.split())}"
        text += f" With {common}.\n" if common else "\n"
        text += f"\n{table(('option', 'effect'), own)}" if own else ""
    return text


def every_command(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Commands below `command`, each with its full name."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for own, below in command.commands.items():
        yield from every_command(below, f"{name} {own}".strip())


def _usage(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    word = f"{word}…" if parameter.nargs == -1 else word
    return word if parameter.required else f"[{word}]"


def _option(parameter: Any) -> tuple[str, str]:
    """Name and effect; no effect where nothing is told."""
    named = parameter.param_type_name == "option"
    names = parameter.opts if named else [parameter.metavar or parameter.name.upper()]
    told = [parameter.help or ""]
    if parameter.required and named:
        told.append("Required.")
    elif parameter.default is not None and not getattr(parameter, "is_flag", False):
        told.append(f"Default: {getattr(parameter.default, 'value', parameter.default)}.")
    return ", ".join(f"`{name}`" for name in names), " ".join(told).strip()


# ---------------------------------------------------------------- guides

PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "features": features,
    "functions": functions,
    "inputs": inputs,
    "tables": tables,
}


def current(text: str) -> str:
    """A guide with every generated part as the code has it now."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", text)


def main() -> int:
    """Write the guides, or with --check say which are not current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a guide is not current"
    )
    check = parser.parse_args().check
    stale = 0
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        if (new := current(text)) == text:
            continue
        stale += 1
        print(f"{guide.relative_to(REPOSITORY)} {'is not current' if check else 'written'}")
        if not check:
            guide.write_text(new, encoding="utf-8")
    if check and stale:
        print("Run scripts/docs")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
