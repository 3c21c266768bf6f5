"""The images as they are written: pinned, of other users than root, and of files that are let through."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from proofs.dockerfile import Stage, expanded, stages

REPOSITORY = Path(__file__).parents[2]
CONTAINER = REPOSITORY / "conf" / "container"
DOCKERFILE = CONTAINER / "Dockerfile"
#: Stages that people build.
TARGETS = ("job", "demo", "contributor")


@pytest.fixture(scope="module")
def known() -> dict[str, Stage]:
    return stages(DOCKERFILE)


def let_through() -> list[str]:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-1] == "**/__pycache__"
    return [rule[1:] for rule in rules if rule.startswith("!")]


def test_images_stand_on_one_base_of_a_full_version(known: dict[str, Stage]) -> None:
    bases = {stage.on for stage in known.values()} - known.keys()
    (base,) = bases
    assert re.fullmatch(r"python:3\.1[12]\.\d+-slim-\w+", base), base


@pytest.mark.parametrize("target", TARGETS)
def test_images_are_of_a_user_without_rights(known: dict[str, Stage], target: str) -> None:
    users = [step.what for step in known[target].steps if step.does == "USER"]
    assert users == ["spark_seg"]
    assert known[target].on == "base"
    assert any("useradd" in step.what for step in known["base"].steps)


def test_packages_come_with_the_hashes_of_the_lock_file(known: dict[str, Stage]) -> None:
    runs = [
        part
        for s in known.values()
        for step in s.steps
        if step.does == "RUN"
        for part in step.what.split("&&")
    ]
    installs = [run for run in runs if "pip install" in run]
    assert len(installs) == 4
    uv = re.search(r"uv==[\d.]+", (REPOSITORY / "scripts/setup").read_text(encoding="utf-8"))
    assert uv is not None
    for run in installs:
        locked = "--require-hashes --constraint requirements.lock" in run
        ours = "--no-deps dist/*.whl" in run
        assert locked or ours or uv[0] in run, run


def test_what_is_copied_is_there_and_let_through(known: dict[str, Stage]) -> None:
    allowed = let_through()
    assert [path for path in allowed if not (REPOSITORY / path).exists()] == []
    used = set()
    for stage in known.values():
        for step in stage.steps:
            if step.does == "COPY" and not step.words[0].startswith("--from="):
                for source in step.words[:-1]:
                    assert source in allowed, source
                    used.add(source)
    assert used == set(allowed)


def test_compose_and_devcontainer_build_stages_that_there_are(known: dict[str, Stage]) -> None:
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {name: service["build"]["target"] for name, service in services.items()} == {
        "demo": "demo",
        "job": "job",
    }
    for service in services.values():
        assert (
            CONTAINER / service["build"]["context"] / service["build"]["dockerfile"]
        ).resolve() == DOCKERFILE
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    folder = REPOSITORY / ".devcontainer"
    devcontainer = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    build = devcontainer["build"]
    assert (folder / build["dockerfile"]).resolve() == DOCKERFILE
    assert build["target"] in known
    users = [step.what for step in known[build["target"]].steps if step.does == "USER"]
    assert users == [devcontainer["remoteUser"]]


def test_a_dockerfile_is_read_as_stages_and_steps(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(
        "ARG BASE=debian:12\n# why\nFROM ${BASE} AS one\nRUN a && \\\n    b\nFROM one AS two\n"
        'COPY --from=one /x "/y z"\nCMD ["sh", "-c", "a b"]\n',
        encoding="utf-8",
    )
    found = stages(file)
    assert [(stage.name, stage.on) for stage in found.values()] == [("one", "debian:12"), ("two", "one")]
    assert found["one"].steps[0].what.split() == ["a", "&&", "b"]
    assert [step.words for step in found["two"].steps] == [["--from=one", "/x", "/y z"], ["sh", "-c", "a b"]]
    assert found["two"].needs() == {"one"}
    assert expanded("$A:${B}:$C", {"A": "1", "B": "2"}) == "1:2:$C"
    file.write_text("FROM x AS y\nHEALTHCHECK NONE\n", encoding="utf-8")
    with pytest.raises(ValueError, match="HEALTHCHECK is not known here"):
        stages(file)
