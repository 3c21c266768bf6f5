"""YAML files and `--set` values → one `Settings`, or every mistake at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spark_seg.config.model import Settings
from spark_seg.errors import ConfigError, suggestion

Tree = dict[str, Any]


def load_settings(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> Settings:
    """Merge `files` left to right, then `overrides` (`key.path=value`), and check the result.

    Mappings merge key by key; lists and scalars of a later file replace the earlier ones.
    Raises `ConfigError` with all mistakes, each with the file that made it.
    """
    origin: dict[tuple[str, ...], str] = {}
    tree: Tree = {}
    _merge(tree, _read_yaml("archetypes.yaml", _packaged("archetypes.yaml")), "archetypes.yaml", origin)
    for file in files:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{file}: the configuration file does not exist. Check --config") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: must be a readable UTF-8 file; {type(error).__name__}") from None
        _merge(tree, _read_yaml(str(file), text), str(file), origin)
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not all(key.split(".")):
            raise ConfigError(f"--set: must be key.path=value; got {override!r}")
        nested: Any = _parse_yaml(f"--set {key}", value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(tree, nested, "--set", origin)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_sentences(error, origin), title=", ".join(map(str, files))) from None


def config_digest(settings: Settings) -> str:
    """SHA-256 of everything that can change a result.

    Left out: how the session is launched, and where results are written.
    """
    content = settings.model_dump(mode="json", exclude={"session": True, "publishing": True})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def json_schema() -> Tree:
    """JSON Schema of a configuration file, for editors."""
    return Settings.model_json_schema()


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
            key = self.construct_object(key_node, deep=True)
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


def _read_yaml(name: str, text: str) -> Tree:
    content = _parse_yaml(name, text)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: must be a mapping of settings; got {type(content).__name__}")
    return content


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


def _sentences(error: ValidationError, origin: Mapping[tuple[str, ...], str]) -> list[str]:
    sentences = []
    for detail in error.errors(include_url=False):
        path = tuple(str(part) for part in detail["loc"])
        known = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in origin), None)
        file = f"{origin[known]}: " if known is not None and detail["type"] != "missing" else ""
        for text in _explain(detail).split("\n"):
            where = ".".join(path)
            sentences.append(f"{file}{where}: {text}" if where else f"{file}{text}")
    return sentences


def _explain(detail: ErrorDetails) -> str:
    kind, message, got = detail["type"], detail["msg"], detail["input"]
    if kind == "extra_forbidden":
        *parents, name = detail["loc"]
        return f"unknown setting; {suggestion(str(name), _settings_at(parents))}"
    if kind == "missing":
        return "is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    shown = f"; got {got!r}" if isinstance(got, (str, int, float, bool)) else ""
    return f"{message[0].lower()}{message[1:]}{shown}"


def _settings_at(path: Sequence[int | str]) -> list[str]:
    """Names of the settings that live at `path`, read from the JSON Schema."""
    schema = json_schema()
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
