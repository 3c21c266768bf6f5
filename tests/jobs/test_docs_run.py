"""Every block of the guides is run, or at least read as what would run it does."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from configured import KEY
from guides import REPOSITORY, Block, blocks, command_of, commands
from landed import AS_OF, Cli, planted_orders, published
from pyspark.sql import DataFrame, SparkSession
from test_entry_points import LIGHT

from spark_seg import Segmentation
from spark_seg.config import load_settings

BLOCKS = list(blocks())
#: The example of the README, on which all guides build.
EXAMPLE = next(block for block in BLOCKS if (block.guide, block.language) == ("README.md", "yaml"))
#: What no configuration can do without: with all of them a block is a whole one.
WHOLE = {"pipeline", "sources", "privacy", "publishing"}

#: Programs of others: that they are called is all that is looked at.
OUTSIDE = {"airflow", "databricks", "docker", "pip"}
#: Programs that are called as they are.
REAL = {"date"}
#: Commands that take long and have tests of their own are read only, as are jobs that compute (`is_cheap`).
DEAR = {"diff", "erase", "gc", "replay", "rollback"}
JOBS = {f"{path.stem.replace('_', '-')}": path for path in (REPOSITORY / "jobs").glob("*.py")}

#: Writes down how it was called, and ends as it is told.
CATCHER = """#!/bin/bash
{ printf '%s\\0' "$0" "$@"; printf '\\1'; } >> "$CAUGHT"
exit "$CODE"
"""


def local(text: str, folder: Path) -> str:
    """Text of a guide with places and names of this test."""
    return text.replace("/lake/segments", str(folder / "segments")).replace("SPARK_SEG_KEY", KEY)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# ---------------------------------------------------------------- the shop of the example


@pytest.fixture(scope="module")
def order_lines(spark: SparkSession) -> Iterator[None]:
    """The table of the example: a date is text, prices are for a piece, and one customer is number 4711."""
    rows: list[tuple[Any, ...]] = [
        (
            row["customer"].replace("star03", "4711"),
            row["order_no"],
            f"{row['created']:%d/%m/%Y}",
            row["price"],
        )
        for row in planted_orders()
    ]
    rows.append(("4711", "without a day", None, 1.0))
    columns = "customer string, order_no string, created string, price double"
    frame = spark.createDataFrame(rows, columns).selectExpr(
        "*", "1 AS quantity", "'1' AS line_no", "'food' AS department"
    )
    spark.sql("CREATE SCHEMA shop")
    frame.write.format("delta").saveAsTable("shop.order_lines")
    yield
    spark.sql("DROP SCHEMA shop CASCADE")


@pytest.fixture(scope="module")
def original(order_lines: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that guides name; `place` publishes the example there, the first time."""
    folder = tmp_path_factory.mktemp("original")
    shutil.copytree(REPOSITORY / "conf", folder / "conf", ignore=shutil.ignore_patterns("*.md"))
    for block in BLOCKS:
        named = re.match(r"# (conf/\w+\.yaml)", block.text)
        if named is not None and block.language == "yaml":
            (folder / named[1]).write_text(local(block.text, folder), "utf-8")
    (folder / "ids.txt").write_text("4711\n", "utf-8")
    return folder


@pytest.fixture
def place(original: Path, tmp_path: Path, cli: Cli) -> Iterator[Path]:
    """A copy of it for each block, as the working directory, so that none builds on another."""
    if not (original / "segments").exists():
        publish(original, cli)
    folder = tmp_path / "place"
    shutil.copytree(original, folder)
    example = folder / "conf" / "shop.yaml"
    example.write_text(example.read_text("utf-8").replace(str(original), str(folder)), "utf-8")
    for script in (REPOSITORY / "scripts").iterdir():
        if script.is_file() and os.access(script, os.X_OK):
            catch(folder / "scripts" / script.name)
    for name in ("spark-seg", "spark-submit", "python", *OUTSIDE):
        catch(folder / "bin" / name)
    for name in REAL:
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    with working_in(folder):
        yield folder


def publish(folder: Path, cli: Cli) -> None:
    """The example, but for a light choice of k."""
    example = folder / "conf" / "shop.yaml"
    content = yaml.safe_load(example.read_text("utf-8"))
    for setting in (*LIGHT, "privacy.min_group=3"):
        path, _, value = setting.partition("=")
        *above, name = path.split(".")
        section = content
        for part in above:
            section = section.setdefault(part, {})
        section[name] = yaml.safe_load(value)
    example.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    with working_in(folder):
        ended = cli(["run-all", "--config", "conf/shop.yaml", "--as-of", AS_OF])
    assert ended.code == 0, ended.said


def catch(path: Path) -> None:
    """A program that is caught when it is called."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(CATCHER, "utf-8")
    path.chmod(0o755)


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_holds(block: Block, request: pytest.FixtureRequest) -> None:
    origin = re.fullmatch(r"from: (\S+)", block.note)
    if origin is not None:
        assert block.text in (REPOSITORY / origin[1]).read_text("utf-8")
    elif block.language == "yaml":
        check_settings(block, request.getfixturevalue("tmp_path"))
    elif block.language == "python":
        run_python(block, request)
    elif block.language == "sh":
        run_shell(block, request)
    elif block.language == "text":
        assert re.match(r"(drawn from|printed by): \S", block.note), "say above it where it comes from"
    else:
        pytest.fail(f"nobody runs a block in {block.language or 'no language'}")


def check_settings(block: Block, folder: Path) -> None:
    """A whole configuration stands by itself, a part of one beside the example."""
    file, base = folder / "block.yaml", folder / "example.yaml"
    file.write_text(block.text, "utf-8")
    base.write_text(EXAMPLE.text, "utf-8")
    whole = yaml.safe_load(block.text).keys() >= WHOLE
    load_settings([file] if whole else [base, file])


def run_python(block: Block, request: pytest.FixtureRequest) -> None:
    """Everything of it is executed; a last expression must give rows, or a segmentation."""
    place: Path = request.getfixturevalue("place")
    spark: SparkSession = request.getfixturevalue("spark")
    names = {"spark": spark, "orders": orders_of(spark)}
    *body, last = ast.parse(local(block.text, place)).body
    exec(compile(ast.Module(body, []), str(block), "exec"), names)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), str(block), "exec"), names)
        return
    value = eval(compile(ast.Expression(last.value), str(block), "eval"), names)
    if isinstance(value, Segmentation):
        assert value.assignments.count() == 48
        assert "How k was chosen" in value.report
    elif value is not None:
        assert (value.count() if isinstance(value, DataFrame) else len(value)) > 0


def orders_of(spark: SparkSession) -> DataFrame:
    """What somebody has in a notebook: the shop's orders as a frame."""
    rows = [(r["customer"], r["order_no"], r["created"], r["price"]) for r in planted_orders()]
    return spark.createDataFrame(
        rows, "customer string, order_id string, ordered_at timestamp, amount double"
    )


def run_shell(block: Block, request: pytest.FixtureRequest) -> None:
    """By bash, once as if all went well and once as if nothing did, so that both ways are gone."""
    place: Path = request.getfixturevalue("place")
    cli: Cli = request.getfixturevalue("cli")
    (run,) = published(place / "segments", "runs")
    known = dict.fromkeys(("RUN", "RUN_A", "RUN_B"), run["run_id"])
    called: dict[tuple[str, ...], None] = {}
    for code in ("0", "7"):
        called |= dict.fromkeys(calls_of(block, place, known, code))
    assert called, "a block calls something"
    for program, *words in called:
        if program == "spark-seg":
            run_or_read(words, cli)
        elif program in ("spark-submit", "python"):
            read_job(words)
        elif program.startswith("scripts/"):
            read_script(program, words)


def calls_of(block: Block, place: Path, known: dict[str, Any], code: str) -> list[tuple[str, ...]]:
    """What a block calls, when each call ends with `code`."""
    caught = place / "caught"
    caught.write_bytes(b"")
    environment = known | {"PATH": str(place / "bin"), "CAUGHT": str(caught), "CODE": code}
    ended = subprocess.run(
        ["/bin/bash", "-eu" if code == "0" else "-u", "-c", block.text],
        check=False, env=environment, cwd=place, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert (ended.returncode == 0 or code != "0") and "not found" not in ended.stderr, (
        f"{ended.stderr} (programs of others stand in OUTSIDE)"
    )
    calls = [call.split("\0")[:-1] for call in caught.read_text("utf-8").split("\1")[:-1]]
    return [(call[0].removeprefix(f"{place / 'bin'}/"), *call[1:]) for call in calls]


def run_or_read(words: list[str], cli: Cli) -> None:
    """A command of spark-seg is executed when that takes a second or two; else its arguments are read."""
    remote = [word for word in words if word.startswith("sc://") or word == "--remote"]
    name, arguments = command_of([word for word in words if word not in remote])
    if not remote and is_cheap(name, arguments):
        ended = cli(words)
        assert ended.code in (0, 5), f"{' '.join(words)}: {ended.said}"
    else:
        read(name, arguments)


def is_cheap(name: str, words: list[str]) -> bool:
    """Jobs are when they only plan, or when they find that they are done."""
    if name not in JOBS:
        return name not in DEAR
    plans = "--dry-run" in words and "--against" not in words
    done = name == "run-all" and AS_OF in words and not {"--revise", "--set", "--against"} & {*words}
    return plans or done


def read(name: str, words: list[str]) -> None:
    """The arguments are those that the command takes, and their configuration is right."""
    with commands()[name].make_context(name, [*words]) as context:
        if (files := context.params.get("config")) is not None:
            load_settings(files, context.params["set_"] or [])


def read_job(words: list[str]) -> None:
    """`python jobs/X.py …`, or spark-submit with options of its own before the job."""
    place = next(i for i, word in enumerate(words) if word.endswith(".py"))
    job = Path(words[place])
    assert (REPOSITORY / job).is_file(), f"{job} is not there"
    if job.parent == Path("jobs"):
        name = job.stem.replace("_", "-")
        read("erase" if name == "erase-customers" else name, words[place + 1 :])


def read_script(program: str, words: list[str]) -> None:
    """Options of a script stand in it or in the Python that it starts, and so does what it is told to do."""
    text = (REPOSITORY / program).read_text("utf-8")
    for name in re.findall(r"scripts/\w+(?:\.py)?|(?<=-m )\w+", text):
        place = REPOSITORY / "scripts" / name.removeprefix("scripts/")
        sources = [place] if place.suffix == ".py" else sorted(place.glob("*.py"))
        text += "".join(source.read_text("utf-8") for source in sources)
    names = [word for word in words if not word.startswith("--")]
    if "choices=" in text and names:
        assert f'"{names[0]}"' in text, f"{program} {names[0]}: no such name"
    assert [word for word in words if word.startswith("--") and word not in text] == []
