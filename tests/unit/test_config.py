"""Configuration: merging, defaults, and the sentence that each mistake gets."""

# ruff: noqa: E501 - the sentences of the table are not broken

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from spark_seg.config import Settings, config_digest, json_schema, load_settings
from spark_seg.config.template import template
from spark_seg.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
CONF = REPOSITORY / "conf"

#: The sections without a default, and nothing else.
REQUIRED = """
pipeline: shop
sources:
  orders:
    path: lake/orders
    columns: {customer_id: customer, order_id: order_no, ordered_at: created, amount: price}
privacy: {raw_ids: true}
publishing: {root: lake/segments}
"""

EVENT = "{path: lake/visits, columns: {customer_id: user, occurred_at: ts, kind: {value: visit}}}"


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    return write(tmp_path / "shop.yaml", REQUIRED)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems_of(*files: Path, sets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The problems of a configuration, with file names instead of paths."""
    with pytest.raises(ConfigError) as caught:
        load_settings(files, sets)
    folder = f"{files[0].parent}/"
    return tuple(problem.replace(folder, "") for problem in caught.value.problems)


# ---------------------------------------------------------------- the files in conf/


def test_base_yaml_is_the_template_of_this_model() -> None:
    assert (CONF / "base.yaml").read_text(encoding="utf-8") == template()


def test_base_yaml_with_the_required_sections_is_exactly_the_defaults(minimal: Path) -> None:
    assert load_settings([CONF / "base.yaml", minimal]) == load_settings([minimal])


def _example(section: str) -> str:
    """The commented example of one section of base.yaml, without comment signs."""
    block = re.search(rf"(?m)^# {section}:\n(?:#   .*\n)+", template())
    assert block is not None
    return re.sub(r"(?m)^# ", "", block.group())


def test_the_examples_in_base_yaml_load_when_their_comment_signs_are_removed(tmp_path: Path) -> None:
    own = "features: {engagement: {kinds: {visit: 1}}}\npipeline: shop\n"
    text = own + _example("sources") + _example("privacy") + _example("publishing")
    loaded = load_settings([write(tmp_path / "a.yaml", text)])
    assert loaded.sources.orders.table == "shop.order_lines"
    assert loaded.sources.orders.columns["ordered_at"].format == "dd/MM/yyyy"
    assert loaded.sources.customers is not None
    assert loaded.privacy.variable == "SPARK_SEG_KEY"
    assert loaded.publishing.root == "/lake/segments"


def _settings_of(model: type[BaseModel], at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        paths += _settings_of(kind, (*at, name)) if nested else [(*at, name)]  # type: ignore[arg-type]
    return paths


@pytest.mark.parametrize("path", _settings_of(Settings), ids=".".join)
def test_every_setting_stands_in_base_yaml_with_its_description(path: tuple[str, ...]) -> None:
    text = template()
    if path[0] in ("pipeline", "sources", "privacy", "publishing"):  # no default: an example or a description
        assert re.search(rf"(?m)^#\s+(- )?{path[-1]}:", text)
        return
    if path == ("segments", "archetypes"):
        assert "# archetypes: see conf/archetypes.yaml" in text
        return
    node: Any = yaml.safe_load(text)
    for part in path:
        assert part in node
        node = node[part]
    line = re.search(rf"(?m)^{'  ' * (len(path) - 1)}{path[-1]}:", text)
    assert line is not None
    before = text[: line.start()].splitlines()[-1]
    assert before.strip().startswith("#")


def test_every_setting_has_a_description() -> None:
    def without(model: dict[str, Any]) -> list[str]:
        return [name for name, field in model.get("properties", {}).items()
                if "description" not in field and "$ref" not in field]  # fmt: skip

    schema = json_schema()
    assert {name: without(model) for name, model in schema["$defs"].items() if without(model)} == {
        "Archetype": ["name"]
    }


@pytest.mark.parametrize("overlay", [(), ("local.yaml",), ("cluster.yaml",), ("local.yaml", "cluster.yaml")])
def test_the_demo_loads_with_each_overlay(overlay: tuple[str, ...]) -> None:
    loaded = load_settings([CONF / "demo.yaml", *(CONF / name for name in overlay)])
    assert loaded.pipeline == "complete_journey"
    assert ("spark.sql.shuffle.partitions" in loaded.session.conf) == ("local.yaml" in overlay)
    assert loaded.clustering.parallel_fits == (4 if "cluster.yaml" in overlay else 2)


def test_archetypes_come_from_the_package_unless_a_file_replaces_the_list(minimal: Path) -> None:
    names = [a.name for a in load_settings([minimal]).segments.archetypes]
    assert names == [
        a["name"] for a in yaml.safe_load((CONF / "archetypes.yaml").read_text())["segments"]["archetypes"]
    ]
    own = "segments.archetypes=[{name: mine, description: d, play: p, signature: {monetary: high}}]"
    assert [a.name for a in load_settings([minimal], [own]).segments.archetypes] == ["mine"]


# ---------------------------------------------------------------- merging


def test_mappings_merge_and_lists_and_scalars_are_replaced(tmp_path: Path, minimal: Path) -> None:
    first = write(
        tmp_path / "first.yaml",
        "seed: 1\nselection: {k_min: 3, k_max: 6}\nclustering: {algorithms: [kmeans, bisecting]}",
    )
    second = write(
        tmp_path / "second.yaml", "seed: 2\nselection: {k_max: 5}\nclustering: {algorithms: [mixture]}"
    )
    loaded = load_settings([minimal, first, second])
    assert (loaded.seed, loaded.selection.k_min, loaded.selection.k_max) == (2, 3, 5)
    assert loaded.clustering.algorithms == ("mixture",)
    assert load_settings([minimal, second, first]).selection.k_max == 6


def test_set_comes_after_every_file_and_its_value_is_yaml(minimal: Path, tmp_path: Path) -> None:
    overlay = write(tmp_path / "overlay.yaml", "selection: {k_min: 3, k_max: 6, index: davies_bouldin}")
    loaded = load_settings(
        [minimal, overlay],
        ["selection.k_max=4", "clustering.algorithms=[kmeans]", "cleaning.currency=null", "seed=1", "seed=7",
         "preparation.features={monetary: {cap: null}}", "sources.orders.columns.category=department"],
    )  # fmt: skip
    assert (loaded.selection.k_min, loaded.selection.k_max) == (3, 4)
    assert loaded.selection.index == "davies_bouldin"
    assert loaded.clustering.algorithms == ("kmeans",)
    assert loaded.seed == 7
    assert loaded.preparation.features["monetary"].cap is None
    assert loaded.sources.orders.columns["category"].column == "department"


def test_a_value_of_set_may_hold_an_equals_sign(minimal: Path) -> None:
    loaded = load_settings([minimal], ["sources.orders.columns.status={expression: \"if(a = 1, 'x', 'y')\"}"])
    assert loaded.sources.orders.columns["status"].expression == "if(a = 1, 'x', 'y')"


def test_a_column_may_be_given_short(minimal: Path) -> None:
    short = load_settings([minimal])
    long = load_settings([minimal], ["sources.orders.columns.amount={column: price}"])
    assert short.sources.orders.columns["amount"] == long.sources.orders.columns["amount"]
    assert short.sources.orders.columns["amount"].reads == {"price"}


def test_merge_keys_of_yaml_work_and_are_not_taken_for_a_repeated_key(tmp_path: Path, minimal: Path) -> None:
    text = "selection: &s {k_min: 3, k_max: 6}\nfeatures: {lookback_days: 400}\n"
    assert load_settings([minimal, write(tmp_path / "a.yaml", text)]).selection.k_max == 6
    inherited = "selection:\n  <<: {k_min: 3, k_max: 6}\n  k_max: 5\n"
    loaded = load_settings([minimal, write(tmp_path / "b.yaml", inherited)])
    assert (loaded.selection.k_min, loaded.selection.k_max) == (3, 5)


def test_an_empty_file_changes_nothing(tmp_path: Path, minimal: Path) -> None:
    empty = write(tmp_path / "empty.yaml", "# nothing\n")
    assert load_settings([minimal, empty]) == load_settings([minimal])


def test_a_loaded_configuration_cannot_be_changed(minimal: Path) -> None:
    loaded = load_settings([minimal])
    with pytest.raises(ValueError, match="frozen"):
        loaded.seed = 3  # type: ignore[misc]


# ---------------------------------------------------------------- mistakes


#: Overlay → the problems it gets. In each sentence the overlay is called by its file name.
MISTAKES: dict[str, list[str]] = {
    # unknown keys, at several depths
    "selektion: {k_min: 3}": ["o.yaml: selektion: unknown setting; did you mean 'selection'?"],
    "selection: {k_maks: 3}": ["o.yaml: selection.k_maks: unknown setting; did you mean 'k_max'?"],
    "selection: {rules: {min_segment: 3}}": [
        "o.yaml: selection.rules.min_segment: unknown setting; did you mean 'min_segments'?"
    ],
    "preparation: {features: {monetary: {lag: true}}}": [
        "o.yaml: preparation.features.monetary.lag: unknown setting; did you mean 'log'?"
    ],
    "sources: {orders: {columns: {status: {expresion: a}}}}": [
        "o.yaml: sources.orders.columns.status.expresion: unknown setting; did you mean 'expression'?"
    ],
    "sources: {orders: {lookups: [{path: p, key: [a], columns: [b], pth: 1}]}}": [
        "o.yaml: sources.orders.lookups.0.pth: unknown setting; did you mean 'path'?"
    ],
    "sources: {orders: {columns: {amuont: x}}}": [
        "o.yaml: sources.orders: unknown column role 'amuont'; did you mean 'amount'?"
    ],
    "xyzzy: 1": [
        "o.yaml: xyzzy: unknown setting; known: cleaning, clustering, contract, explanations, features, monitoring, pipeline, preparation, "
        "privacy, publishing, report, seed, segments, selection, session, sources, time_zone, tracking"
    ],
    # wrong values
    "seed: 1.5": ["o.yaml: seed: must be a whole number; got 1.5"],
    "seed: many": ["o.yaml: seed: must be a whole number; got 'many'"],
    "seed: -1": ["o.yaml: seed: must be greater than or equal to 0; got -1"],
    "pipeline: null": ["o.yaml: pipeline: must be text; got nothing"],
    "pipeline: my shop": [
        "o.yaml: pipeline: must be letters, digits and _ and not start with a digit; got 'my shop'. "
        "Rename it at the source, or give it a plain name in a view"
    ],
    "time_zone: Mars/Phobos": [
        "o.yaml: time_zone: must be an IANA time zone such as 'Europe/Berlin'; got 'Mars/Phobos'"
    ],
    "selection: null": ["o.yaml: selection: must be a mapping of settings; got nothing"],
    "selection: [3, 8]": ["o.yaml: selection: must be a mapping of settings; got a list"],
    "selection: {tolerance: .nan}": ["o.yaml: selection.tolerance: must be a finite number; got nan"],
    "selection: {index: elbow}": [
        "o.yaml: selection.index: must be 'silhouette', 'davies_bouldin', 'calinski_harabasz' or 'bic'; got 'elbow'"
    ],
    "clustering: {algorithms: [kmeanz]}": [
        "o.yaml: clustering.algorithms.0: must be 'kmeans', 'bisecting' or 'mixture'; got 'kmeanz'"
    ],
    "clustering: {algorithms: []}": [
        "o.yaml: clustering.algorithms: must be filled with at least one entry; got a list"
    ],
    "clustering: {restarts: {kmeanz: 2}}": [
        "o.yaml: clustering.restarts.kmeanz: must be 'kmeans', 'bisecting' or 'mixture'; got 'kmeanz'"
    ],
    "preparation: {features: {monetary: {impute: bad}}}": [
        "o.yaml: preparation.features.monetary.impute: must be 'median', 'mean', 'min' or 'max' or a number; "
        "got 'bad'"
    ],
    "preparation: {features: {monetary: {log: maybe}}}": [
        "o.yaml: preparation.features.monetary.log: must be true or false; got 'maybe'"
    ],
    "preparation: {features: {monetary: {cap: [0.9, 0.1]}}}": [
        "o.yaml: preparation.features.monetary: cap must be two rising quantiles; got [0.9, 0.1]"
    ],
    "preparation: {features: {}}": [
        "o.yaml: preparation.features: must be filled with at least one entry; got a mapping"
    ],
    "session: {conf: {spark.x: [1]}}": [
        "o.yaml: session.conf.spark.x: must be text or a whole number or a number or true or false; got a list"
    ],
    "sources: {orders: {columns: {amount: {expression: sum(x)}}}}": [
        "o.yaml: sources.orders.columns.amount.expression: function 'sum' is not allowed; known: "
        "abs, ceil, coalesce, concat, concat_ws, floor, greatest, if, least, length, lower, nullif, round, substring, trim, try_cast, upper"
    ],
    "sources: {orders: {columns: {amount: {column: a, value: '1'}}}}": [
        "o.yaml: sources.orders.columns.amount: must have exactly one of `column`, `expression` and `value`"
    ],
    "sources: {orders: {columns: {amount: {column: net amount}}}}": [
        "o.yaml: sources.orders.columns.amount.column: must be letters, digits and _ and not start with a digit; "
        "got 'net amount'. Rename it at the source, or give it a plain name in a view"
    ],
    'sources: {orders: {path: "a\'; drop"}}': [
        "o.yaml: sources.orders.path: must be a plain path without quotes, backslashes, patterns, variables or '..'; got \"a'; drop\""
    ],
    "sources: {orders: {path: ../secret}}": [
        "o.yaml: sources.orders.path: must be a plain path without quotes, backslashes, patterns, variables or '..'; got '../secret'"
    ],
    "sources: {orders: {path: null, table: orders}}": [
        "o.yaml: sources.orders.table: must be schema.table or catalog.schema.table of plain identifiers; got "
        "'orders'. A table at a path is given as `path:`"
    ],
    'sources: {orders: {path: null, table: "shop.orders\\n"}}': [
        "o.yaml: sources.orders.table: must be schema.table or catalog.schema.table of plain identifiers; got "
        r"'shop.orders\n'. A table at a path is given as `path:`"
    ],
    # places
    "sources: {orders: {table: shop.orders}}": [
        "o.yaml: sources.orders: must have exactly one of `table` and `path`"
    ],
    "sources: {orders: {path: null, table: shop.orders, format: csv}}": [
        "o.yaml: sources.orders: a catalog table is read as Delta; `format` belongs to `path`"
    ],
    "sources: {orders: {options: {sep: ';'}}}": [
        "o.yaml: sources.orders: `options` belong to the format csv"
    ],
    "publishing: {database: shop.segments}": [
        "o.yaml: publishing: must have exactly one of `root` and `database`"
    ],
    "privacy: {raw_ids: false}": [
        "o.yaml: privacy: must have exactly one of `key` (env:NAME, for pseudonyms) and `raw_ids: true` (as they are)"
    ],
    "privacy: {key: env:KEY, key_id: a}": [
        "o.yaml: privacy: must have exactly one of `key` (env:NAME, for pseudonyms) and `raw_ids: true` (as they are)"
    ],
    "privacy: {key: env:KEY, raw_ids: false}": ["o.yaml: privacy: key and key_id must be given together"],
    "privacy: {key: s3cr3t-itself, key_id: a, raw_ids: false}": [
        "o.yaml: privacy.key: must be a reference env:NAME to an environment variable that holds the key, never "
        "the key itself"
    ],
    "publishing: {root: null}": ["o.yaml: publishing: must have exactly one of `root` and `database`"],
    "publishing: {root: null, database: shop.segments}": [
        "o.yaml: publishing: models must be set when `database` is (a saved model is a folder)"
    ],
    # who is told of runs
    "tracking: {mlflow: {uri: tracking.example.com}}": [
        "o.yaml: tracking.mlflow.uri: must be an address such as https://host:5000; got 'tracking.example.com'. "
        "Or `databricks`, with a profile: databricks://name"
    ],
    "tracking: {mlflow: {uri: 'https://me:s3cr3t@host'}}": [
        "o.yaml: tracking.mlflow.uri: must be an address without user and password; these belong into the "
        "environment. Or `databricks`, with a profile: databricks://name"
    ],
    "tracking: {mlflow: {uri: 'https://host/?token=s3cr3t'}}": [
        "o.yaml: tracking.mlflow.uri: must be host, port and path, and nothing after them. Or `databricks`, with a "
        "profile: databricks://name"
    ],
    "tracking: {mlflow: {uri: 'env:'}}": [
        "o.yaml: tracking.mlflow.uri: must be a reference env:NAME to an environment variable that holds the "
        "address, never a secret itself"
    ],
    "tracking: {mlflow: {alias: latest}}": [
        "o.yaml: tracking.mlflow.alias: must be a name that MLflow does not use itself (latest, v1, …); got 'latest'"
    ],
    "tracking: {mlflow: {model: shop.champions}}": [
        "o.yaml: tracking.mlflow.model: must be a name, or catalog.schema.name; got 'shop.champions'"
    ],
    "tracking: {openlineage: {to: s3://bucket/events}}": [
        "o.yaml: tracking.openlineage.to: must be a file on this machine, or an http(s) address; got "
        "'s3://bucket/events'"
    ],
    # ranges that cannot be
    "selection: {k_min: 6, k_max: 4}": ["o.yaml: selection: k_max must be at least k_min (6); got 4"],
    "selection: {k_min: 1}": ["o.yaml: selection.k_min: must be greater than or equal to 2; got 1"],
    "selection: {k_max: 101}": ["o.yaml: selection.k_max: must be less than or equal to 100; got 101"],
    "selection: {k_max: 2}": [
        "o.yaml: selection: k_min..k_max (2..2) must overlap rules.min_segments..max_segments (3..12)"
    ],
    "selection: {k_min: 20, k_max: 30}": [
        "o.yaml: selection: k_min..k_max (20..30) must overlap rules.min_segments..max_segments (3..12)"
    ],
    "selection: {rules: {min_segments: 5, max_segments: 4}}": [
        "o.yaml: selection: rules.max_segments must be at least rules.min_segments (5); got 4"
    ],
    "features: {trend_days: 200}": [
        "o.yaml: features: lookback_days must be at least 400 (the longest of lookbacks_days and twice "
        "trend_days); got 365"
    ],
    "features: {lookbacks_days: [30, 30]}": ["o.yaml: features: lookbacks_days must not repeat a period"],
    "features: {lifecycle: {active_within_days: 120}}": [
        "o.yaml: features.lifecycle: lapsed_after_days must be more than active_within_days (120); got 120"
    ],
    # what does not go together
    "clustering: {distance: cosine}": [
        "o.yaml: clustering: distance: cosine cannot be compared with mixture, which has no distance. "
        "Take mixture out of algorithms"
    ],
    "clustering: {restarts: {kmeans: 5}}": [
        "o.yaml: clustering: restarts must name every algorithm; missing: bisecting, mixture"
    ],
    "features: {engagement: {contact_kind: mail}}": [
        "o.yaml: features.engagement: contact_kind and response_kind must be given together"
    ],
    "features: {engagement: {kinds: {mail: 0, click: 1}, contact_kind: mial, response_kind: click}}": [
        "o.yaml: features.engagement: kind 'mial' is not in kinds; did you mean 'mail'?"
    ],
    f"sources: {{events: [{EVENT}]}}": [
        "o.yaml: sources.events.0.columns.kind: 'visit' is not in features.engagement.kinds; there are none"
    ],
    f"features: {{engagement: {{kinds: {{visits: 1}}}}}}\nsources: {{events: [{EVENT}]}}": [
        "o.yaml: sources.events.0.columns.kind: 'visit' is not in features.engagement.kinds; "
        "did you mean 'visits'?"
    ],
    "features: {engagement: {kinds: {visit: 0, click: 1}, contact_kind: visit, response_kind: click}}\n"
    f"sources: {{events: [{EVENT}]}}": [
        "o.yaml: sources.events.0.columns: role 'subject' is required, because 'visit' takes part in the "
        "response rate (features.engagement)"
    ],
    "cleaning: {currency: EUR}": [
        "o.yaml: cleaning.currency: needs the role 'currency' in sources.orders.columns"
    ],
    "cleaning: {returned_statuses: [returned]}": [
        "o.yaml: cleaning: returned_statuses and cancelled_statuses need the role 'status' in "
        "sources.orders.columns"
    ],
    "cleaning: {cancelled_statuses: [cancelled]}": [
        "o.yaml: cleaning: returned_statuses and cancelled_statuses need the role 'status' in "
        "sources.orders.columns"
    ],
    "segments: {archetypes: [{name: a, description: d, play: p, signature: {x: high}}, "
    "{name: a, description: d, play: p, signature: {x: low}}]}": [
        "o.yaml: segments: archetypes must have different names; repeated: a"
    ],
    "segments: {archetypes: [{name: a, description: d, play: p, signature: {x: tall}}]}": [
        "o.yaml: segments.archetypes.0.signature.x: must be 'very_low', 'low', 'middle', 'high' or 'very_high'; "
        "got 'tall'"
    ],
    # YAML itself
    "- a": ["o.yaml: must be a mapping of settings; got list"],
    "seed: 1\nseed: 2": ["o.yaml line 2: must be valid YAML; key 'seed' is given twice"],
    "selection:\n  k_max: 4\n  k_max: 5": ["o.yaml line 3: must be valid YAML; key 'k_max' is given twice"],
    "seed: 1\nselection: {k_max: 4": [
        "o.yaml line 2: must be valid YAML; expected ',' or '}', but got '<stream end>'"
    ],
    "selection:\n\tk_max: 4": [
        "o.yaml line 2: must be valid YAML; found character '\\t' that cannot start any token"
    ],
    "seed: *nowhere": ["o.yaml line 1: must be valid YAML; found undefined alias 'nowhere'"],
    "seed: !!python/object/apply:os.getcwd []": [
        "o.yaml line 1: must be valid YAML; could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.getcwd'"
    ],
    "? [a]\n: 1": ["o.yaml line 1: must be valid YAML; a key must be a plain name"],
    "cleaning: {earliest: 2025-02-30}": ["o.yaml: must be valid YAML; day is out of range for month"],
    "seed: \x07": [
        "o.yaml: must be valid YAML; unacceptable character #x0007: special characters are not allowed"
    ],
    "session: &s {conf: *s}": [
        "o.yaml: must not contain itself; an alias (*) stands inside its own anchor (&)"
    ],
    "session: " + "[" * 2000: ["o.yaml: must be nested less deeply"],
}


@pytest.mark.parametrize(("change", "expected"), MISTAKES.items(), ids=[c[:60] for c in MISTAKES])
def test_each_mistake_gets_its_sentence(
    minimal: Path, tmp_path: Path, change: str, expected: list[str]
) -> None:
    assert list(problems_of(minimal, write(tmp_path / "o.yaml", change))) == expected


def _numbers(node: Any, at: tuple[str, ...] = ()) -> list[str]:
    """Paths of all numbers of a configuration, those in lists and mappings too."""
    if isinstance(node, dict):
        return [path for key, part in node.items() for path in _numbers(part, (*at, key))]
    if isinstance(node, list):
        return [path for i, part in enumerate(node) for path in _numbers(part, (*at, str(i)))]
    return [".".join(at)] if isinstance(node, (int, float)) and not isinstance(node, bool) else []


def _with_true(node: Any, at: list[str]) -> Any:
    if not at:
        return True
    if isinstance(node, list):
        return [_with_true(part, at[1:]) if str(i) == at[0] else part for i, part in enumerate(node)]
    return {**node, at[0]: _with_true(node[at[0]], at[1:])}


DEFAULTS = yaml.safe_load(template()) | {
    "features": {"engagement": {"kinds": {"visit": 1}}},
    "preparation": {"pca_variance": 0.9, "features": {"monetary": {"cap": [0.1, 0.9], "impute": 0}}},
}


@pytest.mark.parametrize("path", sorted({*_numbers(yaml.safe_load(template())), *_numbers(DEFAULTS)}))
def test_true_is_no_number(minimal: Path, tmp_path: Path, path: str) -> None:
    tree = DEFAULTS if path in _numbers(DEFAULTS) else yaml.safe_load(template())
    overlay = write(tmp_path / "o.yaml", yaml.safe_dump(_with_true(tree, path.split("."))))
    (problem,) = problems_of(minimal, overlay)
    assert re.fullmatch(rf"o.yaml: {path}: must be (.* or )?a number; got True", problem)


def test_a_whole_number_or_a_text_of_digits_may_stand_for_a_number(minimal: Path) -> None:
    loaded = load_settings(
        [minimal],
        ["cleaning.max_reject_share=1", "preparation.min_deviation=1e-6", "session.conf={spark.a: true}"],
    )
    assert loaded.cleaning.max_reject_share == 1.0
    assert loaded.preparation.min_deviation == 1e-6
    assert loaded.session.conf == {"spark.a": True}
    assert problems_of(minimal, sets=("seed=true",)) == ("--set: seed: must be a number; got True",)


@pytest.mark.parametrize("section", ["pipeline", "sources", "publishing"])
def test_a_required_section_that_is_missing_is_named(tmp_path: Path, section: str) -> None:
    content = yaml.safe_load(REQUIRED)
    del content[section]
    assert problems_of(write(tmp_path / "a.yaml", yaml.safe_dump(content))) == (f"{section}: is required",)


@pytest.mark.parametrize("role", ["customer_id", "order_id", "ordered_at", "amount"])
def test_a_required_role_that_is_missing_is_named(tmp_path: Path, role: str) -> None:
    content = yaml.safe_load(REQUIRED)
    del content["sources"]["orders"]["columns"][role]
    file = write(tmp_path / "a.yaml", yaml.safe_dump(content))
    assert problems_of(file) == (f"a.yaml: sources.orders: role '{role}' is required",)


def test_all_mistakes_of_all_files_are_reported_at_once_each_with_its_file(
    minimal: Path, tmp_path: Path
) -> None:
    first = write(
        tmp_path / "first.yaml", "seed: x\nselection: {k_mix: 2, k_max: 1000}\ncleaning: {currency: EUR}"
    )
    second = write(tmp_path / "second.yaml", "selection: {rules: {max_segment_share: 7}}\nlanguage: de")
    assert set(problems_of(minimal, first, second, sets=("time_zone=X", "publishing.roots=a"))) == {
        "first.yaml: seed: must be a whole number; got 'x'",
        "first.yaml: selection.k_max: must be less than or equal to 100; got 1000",
        "first.yaml: selection.k_mix: unknown setting; did you mean 'k_min'?",
        "first.yaml: cleaning.currency: needs the role 'currency' in sources.orders.columns",
        "second.yaml: selection.rules.max_segment_share: must be less than or equal to 1; got 7",
        "second.yaml: language: unknown setting; known: cleaning, clustering, contract, explanations, features, monitoring, pipeline, preparation, "
        "privacy, publishing, report, seed, segments, selection, session, sources, time_zone, tracking",
        "--set: time_zone: must be an IANA time zone such as 'Europe/Berlin'; got 'X'",
        "--set: publishing.roots: unknown setting; did you mean 'root'?",
    }


def test_the_last_file_that_gave_a_value_is_the_one_named(minimal: Path, tmp_path: Path) -> None:
    right = write(tmp_path / "right.yaml", "selection: {k_max: 7}")
    wrong = write(tmp_path / "wrong.yaml", "selection: {k_max: 700}")
    assert problems_of(minimal, right, wrong)[0].startswith("wrong.yaml: selection.k_max")
    assert problems_of(minimal, wrong, write(tmp_path / "later.yaml", "selection: {k_max: 800}"))[0] == (
        "later.yaml: selection.k_max: must be less than or equal to 100; got 800"
    )


def test_unreadable_files_and_broken_sets_are_reported_together(minimal: Path, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.yaml", "a: {")
    latin = write(tmp_path / "latin.yaml", "pipeline: caf\xe9".encode("latin-1"))
    folder = tmp_path / "folder"
    folder.mkdir()
    files = (minimal, tmp_path / "absent.yaml", broken, latin, folder)
    assert problems_of(*files, sets=("seed", "a..b=1", "=1", "seed={")) == (
        "absent.yaml: the configuration file does not exist. Check --config",
        "broken.yaml line 1: must be valid YAML; expected the node content, but found '<stream end>'",
        "latin.yaml: must be a readable UTF-8 file; got UnicodeDecodeError",
        "folder: must be a readable UTF-8 file; got IsADirectoryError",
        "--set: must be key.path=value; got 'seed'",
        "--set: must be key.path=value; got 'a..b=1'",
        "--set: must be key.path=value; got '=1'",
        "--set seed line 1: must be valid YAML; expected the node content, but found '<stream end>'",
    )


def test_a_kind_that_is_a_column_needs_no_subject_when_nothing_is_a_contact(minimal: Path) -> None:
    event = "{path: e, columns: {customer_id: c, occurred_at: t, kind: type}}"
    loaded = load_settings([minimal], [f"sources.events=[{event}]", "features.engagement.kinds={visit: 1}"])
    assert loaded.sources.events[0].columns["kind"].column == "type"


def test_cosine_without_a_mixture_is_fine(minimal: Path) -> None:
    loaded = load_settings(
        [minimal], ["clustering.distance=cosine", "clustering.algorithms=[kmeans, bisecting]"]
    )
    assert loaded.clustering.distance == "cosine"


@pytest.mark.parametrize(
    ("publishing", "models"),
    [
        ("{root: lake/out}", "lake/out/models"),
        ("{root: lake/out, models: lake/m}", "lake/m"),
        ("{database: shop.seg, models: /lake/m}", "/lake/m"),
    ],
)
def test_models_lie_below_the_root_unless_they_have_a_folder(
    tmp_path: Path, publishing: str, models: str
) -> None:
    text = REQUIRED.replace("{root: lake/segments}", publishing)
    assert load_settings([write(tmp_path / "a.yaml", text)]).publishing.models_path == models


# ---------------------------------------------------------------- digest and schema

#: One change in every section and of every kind of setting.
CHANGES = {
    "pipeline": "other",
    "seed": "1",
    "time_zone": "Europe/Berlin",
    "sources.orders.path": "lake/orders2",
    "sources.orders.columns.category": "department",
    "cleaning.zero_amounts": "keep",
    "cleaning.earliest": "2001-01-01",
    "features.lookback_days": "400",
    "features.engagement.half_life_days": "10",
    "features.lifecycle.new_within_days": "10",
    "preparation.scale": "robust",
    "preparation.features.monetary": "{log: false}",
    "clustering.parallel_fits": "3",
    "clustering.algorithms": "[kmeans]",
    "selection.tolerance": "0.1",
    "selection.rules.min_segments": "2",
    "segments.survival": "0.6",
    "segments.rfm_map": "[{name: best, r: 5}]",
    "contract.max_moved": "0.5",
    "monitoring.max_psi": "0.5",
    "explanations.max_depth": "3",
    "privacy": "{key: env:SPARK_SEG_KEY, key_id: first, raw_ids: false}",
}


def test_every_section_that_can_change_a_result_is_among_the_changes() -> None:
    assert {path.split(".")[0] for path in CHANGES} == set(Settings.model_fields) - {
        "session", "publishing", "report", "tracking"
    }  # fmt: skip


@pytest.mark.parametrize(("path", "value"), CHANGES.items())
def test_the_digest_changes_with_anything_that_can_change_a_result(
    minimal: Path, path: str, value: str
) -> None:
    before, after = load_settings([minimal]), load_settings([minimal], [f"{path}={value}"])
    assert before != after
    assert config_digest(before) != config_digest(after)


@pytest.mark.parametrize(
    "change",
    [
        "session.master=local[2]",
        "session.conf={spark.x: 1}",
        "publishing.root=elsewhere",
        "report.path=pages",
        "tracking.mlflow.uri=http://127.0.0.1:5000",
        "tracking.openlineage.to=events.jsonl",
    ],
)
def test_the_digest_does_not_change_with_where_a_run_happens(minimal: Path, change: str) -> None:
    before, after = load_settings([minimal]), load_settings([minimal], [change])
    assert before != after
    assert config_digest(before) == config_digest(after)
    assert re.fullmatch("[0-9a-f]{64}", config_digest(before))


def test_the_digest_does_not_depend_on_the_order_of_keys_in_a_file(tmp_path: Path, minimal: Path) -> None:
    content = yaml.safe_load(REQUIRED)
    turned = {key: content[key] for key in reversed(content)}
    other = write(tmp_path / "turned.yaml", yaml.safe_dump(turned, sort_keys=False))
    assert config_digest(load_settings([other])) == config_digest(load_settings([minimal]))


def test_the_json_schema_is_json_and_knows_every_section_and_refuses_unknown_keys() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["required"] == ["pipeline", "sources", "segments", "privacy", "publishing"]
    assert schema["additionalProperties"] is False
    assert all(model["additionalProperties"] is False for model in schema["$defs"].values())
    assert schema["properties"]["seed"]["default"] == 42
