"""YAML files and `--set` values → one `Settings`, or every mistake at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from spark_seg.config.features import CleaningSettings, FeatureSettings
from spark_seg.config.mapping import SourcesSettings
from spark_seg.config.model import Settings, inconsistencies
from spark_seg.config.rfm_map import RfmRow
from spark_seg.errors import ConfigError, suggestion

Tree = dict[str, Any]


def load_settings(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> Settings:
    """Merge `files` left to right, then `overrides` (`key.path=value`), and check the result.

    Mappings merge key by key; lists and scalars of a later file replace the earlier ones.
    Raises `ConfigError` with all mistakes, each with the file that made it.
    """
    return _merged(
        [
            *((str(file), partial(_read_file, file)) for file in files),
            *(("--set", partial(_read_override, override)) for override in overrides),
        ],
        title=", ".join(map(str, files)),
    )


def settings_of(*trees: Mapping[str, Any]) -> Settings:
    """The same from mappings as YAML files would hold them; the last one wins."""
    return _merged([("settings", partial(deepcopy, dict(tree))) for tree in trees], title="settings")


def _merged(parts: Iterable[tuple[str, Callable[[], Tree]]], title: str) -> Settings:
    origin: dict[tuple[str, ...], str] = {}
    tree: Tree = {}
    problems: list[str] = []
    _merge(tree, _read_yaml("archetypes.yaml", _packaged("archetypes.yaml")), "archetypes.yaml", origin)
    for name, read in parts:
        try:
            _merge(tree, read(), name, origin)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = _sentences(error, origin)
        apart = [_with_file(sentence, origin) for sentence in _inconsistencies(tree)]
        problems += [sentence for sentence in apart if sentence not in problems]
        raise ConfigError(problems, title=title) from None


class _MapAlone(BaseModel):
    rfm_map: Annotated[tuple[RfmRow, ...], Field(min_length=1)]


class _MapInOverlay(BaseModel):
    segments: _MapAlone


def load_rfm_map(file: str | Path) -> tuple[RfmRow, ...]:
    """The RFM map of a file: the list under `segments.rfm_map`, as overlays have it, or under `rfm_map`.

    What else is in the file is not looked at. Raises `ConfigError` with all mistakes.
    """
    origin: dict[tuple[str, ...], str] = {}
    tree: Tree = {}
    _merge(tree, _read_file(file), str(file), origin)
    alone, within = (("rfm_map",) in origin, ("segments", "rfm_map") in origin)
    if alone == within:
        raise ConfigError(
            f"{file}: must have exactly one of `segments.rfm_map` and `rfm_map`, a list of rows; "
            f"got {'both' if alone else 'none'}"
        )
    try:
        if alone:
            return _MapAlone.model_validate(tree).rfm_map
        return _MapInOverlay.model_validate(tree).segments.rfm_map
    except ValidationError as error:
        model = _MapAlone if alone else _MapInOverlay
        raise ConfigError(_sentences(error, origin, model), title=str(file)) from None


def config_digest(settings: Settings) -> str:
    """SHA-256 of everything that can change a result.

    Left out: how the session is launched, where results are written, how they are pictured, and who is told.
    """
    content = settings.model_dump(mode="json", exclude={"session", "publishing", "report", "tracking"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def json_schema() -> Tree:
    """JSON Schema of a configuration file, for editors."""
    return Settings.model_json_schema()


def _inconsistencies(tree: Tree) -> list[str]:
    """What does not fit together across sections, where those sections are right by themselves."""
    try:
        sources = SourcesSettings.model_validate(tree.get("sources"))
        cleaning = CleaningSettings.model_validate(tree.get("cleaning", {}))
        features = FeatureSettings.model_validate(tree.get("features", {}))
    except ValidationError:
        return []
    return inconsistencies(sources, cleaning, features)


def _packaged(name: str) -> str:
    inside = resources.files("spark_seg").joinpath("conf", name)
    if inside.is_file():
        return inside.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "conf" / name).read_text(encoding="utf-8")


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key given twice is a mistake rather than a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *base` is resolved below, and the keys beside it win
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(
                    problem="a key must be a plain name", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{key}' is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _parse_yaml(where: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}: must be valid YAML; {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character, a date such as 2025-02-30
        first = str(error).splitlines()[0]
        raise ConfigError(f"{where}: must be valid YAML; {first}") from None
    except RecursionError:
        raise ConfigError(f"{where}: must be nested less deeply") from None


def _read_file(file: str | Path) -> Tree:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: the configuration file does not exist. Check --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: must be a readable UTF-8 file; got {type(error).__name__}") from None
    return _read_yaml(str(file), text)


def _read_override(override: str) -> Tree:
    key, separator, value = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError(f"--set: must be key.path=value; got {override!r}")
    nested: Any = _parse_yaml(f"--set {key}", value)
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _read_yaml(name: str, text: str) -> Tree:
    content = _parse_yaml(name, text)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: must be a mapping of settings; got {type(content).__name__}")
    if _contains_itself(content):
        raise ConfigError(f"{name}: must not contain itself; an alias (*) stands inside its own anchor (&)")
    return content


def _contains_itself(value: Any, above: tuple[int, ...] = ()) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return id(value) in above or any(_contains_itself(part, (*above, id(value))) for part in parts)


def _merge(
    into: Tree,
    new: Mapping[Any, Any],
    file: str,
    origin: dict[tuple[str, ...], str],
    at: tuple[str, ...] = (),
) -> None:
    for key, value in new.items():
        path = (*at, str(key))
        origin[path] = file
        if isinstance(value, Mapping) and isinstance(into.get(str(key)), dict):
            _merge(into[str(key)], value, file, origin, path)
        elif isinstance(value, Mapping):
            into[str(key)] = {}
            _merge(into[str(key)], value, file, origin, path)
        else:
            into[str(key)] = value


def _sentences(
    error: ValidationError, origin: Mapping[tuple[str, ...], str], model: type[BaseModel] = Settings
) -> list[str]:
    """One sentence for each setting of `model` that is wrong, with the file that made it so."""
    by_path: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        by_path.setdefault(_path_of(detail, origin), []).append(detail)
    sentences = []
    for path, details in by_path.items():
        # A list that is empty only because its entries are wrong is no mistake of its own.
        if details[0]["type"] == "too_short" and any(p[: len(path)] == path != p for p in by_path):
            continue
        for text in _explain(details, model).split("\n"):
            # A sentence about the whole configuration begins with its own path.
            sentence = f"{'.'.join(path)}: {text}" if path else text
            missing = details[0]["type"] == "missing"
            sentences.append(sentence if missing else _with_file(sentence, origin))
    return sentences


def _with_file(sentence: str, origin: Mapping[tuple[str, ...], str]) -> str:
    """`sentence`, headed by the file that gave the setting it begins with, or the nearest one above."""
    path = tuple(sentence.partition(": ")[0].split("."))
    known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in origin), None)
    return f"{origin[known]}: {sentence}" if known is not None else sentence


def _path_of(detail: ErrorDetails, origin: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Where the mistake is, without the names that pydantic adds for keys and types."""
    path = tuple(str(part) for part in detail["loc"])
    if path and path[-1] == "[key]":
        return path[:-1]
    tagged = detail["type"] != "missing" and path[:-1] in origin and path not in origin
    # A value that may have one of several types: pydantic adds the type to the path.
    return path[:-1] if tagged and isinstance(detail["loc"][-1], str) else path


def _explain(details: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    """What must hold, and what was found. Several details: the types that one value may have."""
    detail = details[0]
    kind, got = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        *parents, name = detail["loc"]
        return f"unknown setting; {suggestion(str(name), _settings_at(parents, model))}"
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    wanted = " or ".join(_WANTED.get(d["type"]) or d["msg"].removeprefix("Input should be ") for d in details)
    shown = repr(got) if isinstance(got, (str, int, float, bool)) else _SHOWN.get(type(got), "nothing")
    return f"must be {wanted}; got {shown}"


_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping of settings",
    "string_type": "text",
    "too_long": "shorter",
    "too_short": "filled with at least one entry",
    "tuple_type": "a list",
}
_SHOWN: dict[type, str] = {dict: "a mapping", list: "a list", tuple: "a list"}


def _settings_at(path: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """Names of the settings that live at `path` of `model`, read from its JSON Schema."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in path:
        node = _resolve(schema, node)
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: Tree, node: Any) -> Any:
    for option in node.get("anyOf", []):
        if "$ref" in option:
            node = option
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node
