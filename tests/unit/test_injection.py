"""Texts that would be code, SQL or another file, in every text of a configuration: refused, or inert."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from spark_seg.config import json_schema, load_settings
from spark_seg.errors import ConfigError
from spark_seg.pipeline import check_settings

DEMO = Path(__file__).parents[2] / "conf" / "demo.yaml"

CORPUS = {
    "a statement": "; drop table segments",
    "a condition": "' or 1=1",
    "a Java method": "reflect('java.lang.System','getenv','HOME')",
    "a file as a table": "csv.`/etc/passwd`",
    "a folder above": "../../etc/passwd",
    "typographic quotes": "\u2018 or 1=1 \u201d",
    "a long name": "a" * 300,
    "a line break": "a\nb",
    "a NUL": "a\0b",
    "a variable": "${env}",
    "a variable of the machine": "${env:HOME}",
}

#: Beside the demo: every section that it leaves out, but for the sources.
OPTIONAL = """
session: {master: "local[2]", app_name: shop, conf: {spark.ui.enabled: "false"}, cache: never}
cleaning:
  id_unicode: nfc
  id_case: keep
  currency: EUR
  returns: net
  returned_statuses: [returned]
  cancellations: reject
  cancelled_statuses: [cancelled]
  zero_amounts: reject
  earliest: "2001-01-01"
features: {eligible: buyers}
preparation: {features: {recency_days: {impute: max}}}
clustering: {algorithms: [kmeans], distance: euclidean, restarts: {kmeans: 3}, max_iterations: {kmeans: 9}}
selection: {mode: coreset, index: silhouette, pick: "kmeans:4", rules: {min_separation: {monetary: 0.1}}}
segments:
  archetypes: [{name: regulars, description: Come often., play: keep, signature: {frequency: high}}]
  rfm_map: [{name: best, r: 4-5, f: 4-5, m: 4-5}]
contract:
  owner: crm team
  required: [regulars]
  shares: {regulars: [0.1, 0.5]}
  means: {regulars: {monetary: [1, 2]}}
  consumers: {newsletter: [regulars]}
monitoring: {protected: [town], benefit_segments: [regulars]}
report: {path: lake/reports, picture: pca}
tracking:
  mlflow: {uri: "http://127.0.0.1:5000", experiment: shop, model: main.crm.shop, alias: champion}
  openlineage: {to: lake/events.jsonl, namespace: shop}
"""
#: What can be given in two ways.
PLACES = (
    {"privacy": {"raw_ids": True}, "publishing": {"root": "lake/segments", "models": "lake/models"}},
    {
        "privacy": {"key": "env:SHOP_KEY", "key_id": "first"},
        "publishing": {"database": "shop.segments", "models": "lake/models"},
    },
)
_TIME = "{column: day, format: dd/MM/yyyy, time_zone: UTC}"
#: Source → its columns, each in another way, and one of them that its contract speaks of.
SOURCES = {
    "orders": (
        f"{{customer_id: who, order_id: {{expression: lower(nr)}}, ordered_at: {_TIME}, amount: paid, "
        "currency: {value: EUR}, status: state}",
        "status",
    ),
    "events": (
        f"{{customer_id: who, occurred_at: {_TIME}, kind: {{value: campaign_contact}}, "
        "subject: {expression: lower(topic)}}",
        "subject",
    ),
    "customers": (
        "{customer_id: who, town: {expression: lower(town)}, since: {column: since, format: dd/MM/yyyy}, "
        "source: {value: crm}}",
        "town",
    ),
    "consents": (
        f"{{customer_id: {{expression: lower(who)}}, purpose: {{value: profile}}, granted: said, "
        f"decided_at: {_TIME}}}",
        "purpose",
    ),
    "rates": (
        f"{{currency: {{value: USD}}, rate: {{expression: abs(rate)}}, valid_from: {_TIME}}}",
        "currency",
    ),
}

ALL = tuple(CORPUS)
#: Texts that are a place like any other.
NAMES = ("typographic quotes", "a long name")
_PLACE = "is a place, in quotes where SQL is made of it; what ends the quotes or leaves the place is refused"
_READER = "says how a CSV file is written; the reader takes it as a value"
_PATTERN = "reaches Spark as a literal; a pattern without year, month and day is refused with its table"
_LITERAL = "is a value, and reaches Spark as nothing but a literal"
_SHOWN = "is shown, and a report escapes what it shows"
_STARTS = "belongs to whoever starts Spark, and could start it otherwise; no SQL is made of it"
KEYS = " (keys)"
#: Setting → what of the corpus it takes by design, and why that is harmless. `*`: whatever the key of a
#: mapping or the place in a list; KEYS: the keys themselves.
FREE_TEXT: dict[str, tuple[tuple[str, ...], str]] = {
    "session.master": (ALL, _STARTS),
    "session.app_name": (ALL, _STARTS),
    "session.conf (keys)": (ALL, _STARTS),
    "session.conf.*": (ALL, _STARTS),
    "contract.owner": (ALL, _SHOWN),
    **{
        f"sources.{source}.{setting}": why
        for source in ("orders", "events.*", "customers", "consents.*", "rates")
        for setting, why in {
            "path": (NAMES, _PLACE),
            "options.*": (ALL, _READER),
            "lookups.*.path": (NAMES, _PLACE),
            "lookups.*.options.*": (ALL, _READER),
            "columns.*.value": (ALL, _LITERAL),
            "columns.*.format": (ALL, _PATTERN),
            "contract.allowed.*.*": (ALL, _LITERAL),
        }.items()
        # The only constant of the example is the kind of its events, which must be a declared one.
        if (source, setting) != ("events.*", "columns.*.value")
    },
    "cleaning.currency": (ALL, _LITERAL),
    "cleaning.returned_statuses.*": (ALL, _LITERAL),
    "cleaning.cancelled_statuses.*": (ALL, _LITERAL),
    "segments.archetypes.*.description": (ALL, _SHOWN),
    "segments.archetypes.*.play": (ALL, _SHOWN),
    "publishing.root": (NAMES, _PLACE),
    "publishing.models": (NAMES, _PLACE),
    "report.path": (NAMES, _PLACE),
    "tracking.openlineage.to": (NAMES, _PLACE),
    "tracking.mlflow.experiment": (NAMES, "is a name at the server, which takes it as a value"),
}

#: Where a text stands in an example, and how the table above calls it.
Slot = tuple[tuple[str | int, ...], str]


def source(name: str, by_name: bool) -> dict[str, Any]:
    """Everything that a source can be told."""
    columns, role = SOURCES[name]
    files = {"path": "lake/rows", "format": "csv", "options": {"sep": ";"}}
    joined = {"key": ["who"], "columns": ["town"]}
    return {
        **({"table": "shop.rows"} if by_name else files),
        "lookups": [files | joined, {"table": "shop.towns", **joined}],
        "columns": yaml.safe_load(columns),
        "contract": {
            "types": {"who": "string"},
            "extra_columns": "report",
            "required": [role],
            "allowed": {role: ["a", "b"]},
        },
    }


def merged(into: Any, new: Any) -> Any:
    if not (isinstance(into, dict) and isinstance(new, dict)):
        return new
    return into | {key: merged(into.get(key), value) for key, value in new.items()}


def example(by_name: bool) -> dict[str, Any]:
    """A complete configuration: with names of tables and a key, or with paths and ids as they are."""
    tree: dict[str, Any] = merged(yaml.safe_load(DEMO.read_text("utf-8")), yaml.safe_load(OPTIONAL))
    told = {name: source(name, by_name) for name in SOURCES}
    lists = {name: [told[name]] for name in ("events", "consents")}
    return tree | PLACES[by_name] | {"sources": told | lists}


EXAMPLES = (example(by_name=False), example(by_name=True))
SCHEMA = json_schema()


def kinds(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a setting may be, references followed."""
    if "$ref" in node:
        yield from kinds(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node:
        for option in node["anyOf"]:
            yield from kinds(option)
    else:
        yield node


def known(node: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[str]:
    """Every place where the schema takes a text."""
    for kind in kinds(node):
        if kind.get("type") == "string":
            yield ".".join(at)
        for name, part in kind.get("properties", {}).items():
            yield from known(part, (*at, name))
        for part in (kind.get("items"), *kind.get("prefixItems", ())):
            if isinstance(part, dict):
                yield from known(part, (*at, "*"))
        if isinstance(values := kind.get("additionalProperties"), dict):
            yield ".".join(at) + KEYS
            yield from known(values, (*at, "*"))


def slots(tree: Any, node: dict[str, Any], at: Slot = ((), "")) -> Iterator[Slot]:
    """Every text of an example, and every mapping whose keys are texts."""

    def below(key: str | int, name: str) -> Slot:
        return (*at[0], key), f"{at[1]}.{name}".lstrip(".")

    if isinstance(tree, str):
        yield at
    elif isinstance(tree, list):
        for i, part in enumerate(tree):
            for kind in kinds(node):
                yield from slots(part, kind.get("items", {}), below(i, "*"))
    elif isinstance(tree, dict):
        for kind in kinds(node):
            named, values = kind.get("properties", {}), kind.get("additionalProperties")
            if isinstance(values, dict):
                yield at[0], at[1] + KEYS
            for key, part in tree.items():
                if key in named:
                    yield from slots(part, named[key], below(key, key))
                elif isinstance(values, dict):
                    yield from slots(part, values, below(key, "*"))


def planted(tree: Any, places: Sequence[Slot], text: str) -> Any:
    """The example with `text` at all of these places."""
    tree = deepcopy(tree)
    for at, name in places:
        inside, above = tree, None
        for part in at:
            inside, above = inside[part], inside
        if name.endswith(KEYS):
            inside[text] = next(iter(inside.values()))
        else:
            above[at[-1]] = text
    return tree


def problems(folder: Path, tree: Any) -> list[str]:
    """What is wrong with a configuration; nothing when it is taken."""
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        check_settings(load_settings([file]))
    except ConfigError as error:
        return [problem.removeprefix(f"{file}: ") for problem in error.problems]
    return []


def taken(folder: Path, tree: Any, places: Sequence[Slot], text: str) -> set[str]:
    """Settings that take `text`: no problem names them among all, and there is none for each alone."""
    said = problems(folder, planted(tree, places, text))
    silent = []
    for at, name in places:
        where = ".".join(map(str, (*at, text) if name.endswith(KEYS) else at))
        if not any(problem.startswith((f"{where}:", f"{where}.")) for problem in said):
            silent.append((at, name))
    return {place[1] for place in silent if not problems(folder, planted(tree, [place], text))}


def test_the_examples_are_right_and_together_hold_every_text_that_there_can_be(tmp_path: Path) -> None:
    assert [problems(tmp_path, tree) for tree in EXAMPLES] == [[], []]
    held = {name for tree in EXAMPLES for _, name in slots(tree, SCHEMA)}
    # No attribute is a time.
    assert set(known(SCHEMA)) - held == {"sources.customers.columns.*.time_zone"}, (
        "put the new setting into OPTIONAL or source()"
    )
    assert set(FREE_TEXT) <= held


@pytest.mark.parametrize("payload", CORPUS)
def test_case_43_what_would_be_code_is_refused_in_every_text_but_those_that_never_become_any(
    tmp_path: Path, payload: str
) -> None:
    text = CORPUS[payload]
    expected = {name for name, (payloads, _) in FREE_TEXT.items() if payload in payloads}
    for tree in EXAMPLES:
        every = list(slots(tree, SCHEMA))
        free = [place for place in every if place[1] in expected]
        assert problems(tmp_path, planted(tree, free, text)) == []
        strict = [place for place in every if place[1] not in expected]
        for keys in (False, True):
            places = [place for place in strict if place[1].endswith(KEYS) == keys]
            assert taken(tmp_path, tree, places, text) == set()
