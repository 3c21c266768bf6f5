"""The guides say what is there: references are current; links, files, settings and commands exist."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import docs
import pytest
from guides import (
    GUIDES,
    REPOSITORY,
    anchors,
    blocks,
    command_of,
    commands,
    links,
    options_of,
    spans,
)

from spark_seg.config import Settings
from spark_seg.tables import PUBLISHED

every_guide = pytest.mark.parametrize("guide", GUIDES)

#: Files that are the reader's own, or stand for any.
YOURS = {"jobs/X.py", "conf/shop.yaml", "conf/mine.yaml", "conf/promise.yaml", "conf/large.yaml"}
#: Options of programs that are not ours.
OF_OTHERS = {"--archives", "--build-arg", "--master", "--packages", "--properties-file", "--py-files"}
_PATH = re.compile(r"(?<![\w/.<-])(?:scripts|spark_seg|jobs|tests|conf|\.github)/[\w.*/-]*")


# ---------------------------------------------------------------- what is generated


@every_guide
def test_generated_parts_are_current(guide: str) -> None:
    assert docs.current(GUIDES[guide]) == GUIDES[guide], "run scripts/docs"


def test_every_generated_part_stands_in_a_guide_and_comes_back_when_it_is_altered() -> None:
    text = "\n".join(GUIDES.values())
    found = re.findall(r"<!-- generated: (\w+) -->", text)
    assert sorted(found) == sorted(docs.PARTS)
    assert text.count("<!-- end -->") == len(found)
    guide = GUIDES["conf/README.md"]
    altered = guide.replace("| `42` |", "| `43` |")
    assert altered != guide
    assert docs.current(altered) == guide


def test_the_reference_has_every_setting_with_its_limits_and_every_published_table() -> None:
    text = docs.configuration()
    assert "| `seed` | whole number 0 to 2,147,483,647 | `42` | of everything random |" in text
    assert "| `min_ratio` | number > 0 ≤ 1 | `0.8` |" in text
    assert "| `kinds` | name → number 0 to 1,000,000 | `{}` |" in text
    for where in ("sources.rates", "selection.rules", "preparation.features.NAME", "segments.rfm_map[]"):
        assert f"### `{where}`\n" in text
    assert all(f"### {name}\n" in docs.tables() for name in PUBLISHED)
    assert "null_&lt;name>" in text  # or the page would swallow it


# ---------------------------------------------------------------- what is written


def test_the_readme_stays_one_page() -> None:
    text = GUIDES["README.md"]
    assert len(text.encode()) < 16_000
    assert text.count("\n") <= 220


@every_guide
def test_links_and_pictures_lead_somewhere(guide: str) -> None:
    folder = (REPOSITORY / guide).parent
    wrong = []
    for target in links(guide):
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else REPOSITORY / guide
        page = file / "README.md" if file.is_dir() else file
        known = str(page.relative_to(REPOSITORY))
        if not page.exists() or (anchor and anchor not in anchors(known)):
            wrong.append(target)
    assert wrong == []


def test_every_picture_is_shown() -> None:
    shown = {target for target in links("README.md") if target.startswith(".github/")}
    assert shown == {f".github/{path.name}" for path in (REPOSITORY / ".github").glob("*.*g")}


@every_guide
def test_files_that_are_named_are_there(guide: str) -> None:
    named = {path for text in _code(guide) for path in _PATH.findall(text)} - YOURS
    assert [path for path in sorted(named) if not list(REPOSITORY.glob(path.rstrip("/.")))] == []


@every_guide
def test_settings_and_columns_that_are_named_are_there(guide: str) -> None:
    known = {
        re.sub(r"\[\]|\.NAME", "", f"{where}.{name}")
        for where, model in docs.sections("", Settings)
        for name in model.model_fields
    }
    wrong = []
    for span in spans(guide):
        found = re.match(r"([a-z_]+)\.(?!json)([a-z_]+)((?:\.[a-z_]+)*)(?=$|[:=])", span)
        if found is None or found[1] not in {*Settings.model_fields, *PUBLISHED}:
            continue
        setting = any(f".{one}".endswith(f".{found[0]}") for one in known)
        column = found[1] in PUBLISHED and found[2] in _columns(found[1])
        if not (setting or column or _is_function(found[1], found[2])):
            wrong.append(span)
    assert wrong == []


@every_guide
def test_commands_and_options_that_are_named_are_there(guide: str) -> None:
    files = [path for path in (REPOSITORY / "scripts").rglob("*") if path.suffix in ("", ".py")]
    scripts = "".join(path.read_text("utf-8") for path in files if path.is_file())
    everywhere = {option for name in commands() for option in options_of(name)} | OF_OTHERS
    wrong = []
    for span in spans(guide):
        first, *words = span.split()
        if first == "spark-seg" and words and words[0] != "X":
            name, rest = command_of(words)
            wrong += [span for word in rest if word.startswith("--") and word not in options_of(name)]
        elif first.startswith(("--", "scripts/")) or first.replace("_", "-") in commands():
            options = re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)
            wrong += [option for option in options if option not in everywhere and option not in scripts]
    assert wrong == []


def test_messages_of_the_night_are_those_of_the_code() -> None:
    section = GUIDES["jobs/README.md"].partition("## At night")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d) \| `([^`]+)` \|", section, re.MULTILINE)
    code = "".join(path.read_text("utf-8") for path in (REPOSITORY / "spark_seg").rglob("*.py"))
    assert len(rows) > 15
    assert [message for _, message in rows if message not in code] == []


def test_the_drawing_of_the_rooms_is_the_contract_of_the_layers() -> None:
    (drawing,) = (block.text for block in blocks() if block.note == "drawn from: pyproject.toml")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    sides = [layer.split(" | ") for layer in contract["layers"]]
    layers = [layer.removeprefix("spark_seg.") for beside in sides for layer in beside]
    rooms = drawing.splitlines()[0].split(" → ")
    assert rooms == [layer for layer in reversed(layers) if layer in rooms]
    assert [layer for layer in layers if not re.search(rf"\b{layer}\b", drawing)] == []


def _code(guide: str) -> Iterator[str]:
    yield from spans(guide)
    yield from (block.text for block in blocks() if block.guide == guide)


def _columns(table: str) -> list[str]:
    found = re.search(rf"^### {table}\n(.*?)(?=^##)", GUIDES["spark_seg/README.md"], re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `(\w+)` \|", found[1], re.MULTILINE) if found else []


def _is_function(room: str, name: str) -> bool:
    path = REPOSITORY / "spark_seg" / room
    there = path.is_dir() or Path(f"{path}.py").exists()
    return there and hasattr(importlib.import_module(f"spark_seg.{room}"), name)
