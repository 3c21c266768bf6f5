"""A Dockerfile as stages and steps: as much of the language as ours speaks."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_KNOWN = ("RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Step:
    """One instruction of a stage, and what stands after it."""

    does: str
    what: str

    @property
    def words(self) -> list[str]:
        """Its parts: those of a JSON list, or those of a shell."""
        return list(json.loads(self.what)) if self.what.startswith("[") else shlex.split(self.what)


@dataclass(frozen=True)
class Stage:
    """What begins with FROM: its name, what it stands on, and its steps."""

    name: str
    on: str
    steps: list[Step] = field(default_factory=list)

    def needs(self) -> set[str]:
        """What must be there before: the base, and stages that are copied from."""
        copied = (word for step in self.steps if step.does == "COPY" for word in step.words)
        return {self.on, *(word.partition("=")[2] for word in copied if word.startswith("--from="))}


def stages(file: Path) -> dict[str, Stage]:
    """Every stage by its name, in order. Raises `ValueError` for an instruction that is not known here."""
    found: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage: Stage | None = None
    for step in _steps(file.read_text(encoding="utf-8")):
        if step.does == "ARG":
            name, _, default = step.what.partition("=")
            arguments[name] = default
        elif step.does == "FROM":
            on, _, name = step.what.partition(" AS ")
            stage = Stage(name, expanded(on, arguments))
            found[name] = stage
        elif stage is not None and step.does in _KNOWN:
            stage.steps.append(step)
        else:
            raise ValueError(f"{file}: {step.does} is not known here")
    return found


def expanded(text: str, values: dict[str, str]) -> str:
    """`text` with variables replaced; those that are not known stay."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


def _steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        does, _, what = line.strip().partition(" ")
        yield Step(does.upper(), what.strip())
