"""The images: by Docker where an engine answers, and else by the steps of the Dockerfile itself.

Without an engine a Debian tree made by debootstrap stands in for the base image; each stage is a layer over
the one before; RUN happens in a chroot as the user of the stage; COPY takes what .dockerignore lets through.
All of it is mounted in a namespace of its own, which ends with the proof, and so do the processes in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from proofs.demo import Failed
from proofs.dockerfile import Stage, Step, expanded, stages
from proofs.lakes import rows
from proofs.servers import REPOSITORY
from proofs.trees import PATH, Mounted, Tree, debian, in_tree, told

DOCKERFILE = REPOSITORY / "conf/container/Dockerfile"
#: What the demo publishes.
_HOUSEHOLDS = 2469
_TOOLS = ("debootstrap", "unshare", "chroot", "mount")
_INSIDE = "--inside"
_EXERCISED = """exercised: every step of these targets; as run, they write to nothing but /tmp and the volume
not exercised: the base image itself, an engine's layers and caches, compose.yaml, devcontainer.json"""


def container() -> None:
    """The image `job` answers and finds its surroundings right; the image `demo` publishes the demo."""
    docker = shutil.which("docker")
    if (
        docker is not None
        and subprocess.run([docker, "info"], check=False, capture_output=True).returncode == 0
    ):
        _by_docker(docker)
        return
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        raise Failed(
            "container: no Docker engine answers, and the steps of the Dockerfile without one need root and "
            f"{', '.join(_TOOLS)}; got {f'no {missing[0]}' if missing else 'another user'}. "
            "Debian: apt-get install debootstrap"
        )
    with tempfile.TemporaryDirectory(prefix="spark_seg_container_") as folder:
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        inside = [*alone, sys.executable, "-m", "proofs.container", _INSIDE, folder]
        if subprocess.run(inside, cwd=REPOSITORY, check=False).returncode != 0:
            raise Failed("container: a step went wrong; see above")


def _by_docker(docker: str) -> None:
    for target, command in (("job", ["--help"]), ("demo", [])):
        tag = f"spark_seg_proof_{target}"
        build = [
            docker,
            "build",
            "--file",
            str(DOCKERFILE),
            "--target",
            target,
            "--tag",
            tag,
            str(REPOSITORY),
        ]
        subprocess.run(build, check=True)
        subprocess.run([docker, "run", "--rm", tag, *command], check=True)
        size = int(told(docker, "image", "inspect", "--format", "{{.Size}}", tag))
        print(f"container     {target}: built and run by Docker, {size / 1e6:,.0f} MB")


def _by_steps(folder: Path) -> None:
    builder = Builder(folder, _context(folder / "context"), stages(DOCKERFILE))
    job = builder.tree("job")
    with Mounted(folder, job.layers, {}) as root:
        in_tree(root, job, [*job.entry, *job.command])
        configs = ["--config", "conf/demo.yaml", "--config", "conf/local.yaml"]
        writable = ["--set", "publishing.root=/tmp/published"]
        in_tree(root, job, [*job.entry, "doctor", *configs, *writable])
    _say(
        "job: --help and doctor as {}, {:,.0f} MB, {:,.0f} of them over the base", job.user, *job.megabytes()
    )
    demo, started = builder.tree("demo"), time.monotonic()
    volume = folder / "volume"
    with Mounted(folder, demo.layers, {}) as root:
        # As Docker fills a new volume: with the owner of the folder that it covers.
        shutil.copytree(root / "home/spark_seg/.demo", volume)
        owner = (root / "home/spark_seg/.demo").stat()
        os.chown(volume, owner.st_uid, owner.st_gid)
    with Mounted(folder, demo.layers, {"/home/spark_seg/.demo": volume}) as root:
        in_tree(root, demo, [*demo.entry, *demo.command])
    found = len(rows(volume / "published", "assignments"))
    if found != _HOUSEHOLDS:
        raise Failed(f"demo: {found:,} households in assignments instead of {_HOUSEHOLDS:,}")
    _say("demo: {:,} households as {} in {:.0f} s", found, demo.user, time.monotonic() - started)
    _say("demo: {:,.0f} MB, {:,.0f} of them over the base", *demo.megabytes())
    for sentence in _EXERCISED.splitlines():
        _say(sentence)


@dataclass(frozen=True)
class Builder:
    """Builds stages in `folder`, each once."""

    folder: Path
    context: Path
    known: dict[str, Stage]
    built: dict[str, Tree] = field(default_factory=dict)

    def tree(self, name: str) -> Tree:
        """The stage of that name, or the base image, after everything that it needs."""
        if name not in self.built:
            stage = self.known.get(name)
            for other in sorted(stage.needs()) if stage is not None else ():
                self.tree(other)
            started = time.monotonic()
            self.built[name] = Tree([debian(self.folder / "base")]) if stage is None else self._staged(stage)
            _say("{}: {:.0f} s", name, time.monotonic() - started)
        return self.built[name]

    def _staged(self, stage: Stage) -> Tree:
        below, layer = self.tree(stage.on), self.folder / f"stage_{stage.name}"
        layer.mkdir()
        tree = Tree([layer, *below.layers], dict(below.env), below.user, below.cwd)
        with Mounted(self.folder, tree.layers) as root:
            for step in stage.steps:
                self._take(step, tree, root)
        return tree

    def _take(self, step: Step, tree: Tree, root: Path) -> None:
        match step.does:
            case "RUN":
                in_tree(root, tree, ["/bin/sh", "-c", step.what])
            case "COPY":
                self._copy(step.words, tree, root)
            case "ENV":
                for word in step.words:
                    name, _, value = word.partition("=")
                    tree.env[name] = expanded(value, {"PATH": PATH} | tree.env)
            case "USER":
                tree.user = step.what
            case "WORKDIR":
                tree.cwd = step.what
                (root / step.what.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENTRYPOINT":
                tree.entry = step.words
            case "CMD":
                tree.command = step.words

    def _copy(self, words: list[str], tree: Tree, root: Path) -> None:
        *sources, target = [word for word in words if not word.startswith("--")]
        place = root / str(Path(tree.cwd, target)).lstrip("/")
        into = target.endswith("/") or target == "." or len(sources) > 1
        others = [word.partition("=")[2] for word in words if word.startswith("--from=")]
        if others:
            with Mounted(self.folder, self.tree(others[0]).layers, {}) as other:
                _copied([other / source.lstrip("/") for source in sources], place, into)
        else:
            _copied([self.context / source for source in sources], place, into)


def _copied(sources: list[Path], place: Path, into: bool) -> None:
    """As COPY does: what a folder holds goes into the target; a file goes into it, or becomes it."""
    for source in sources:
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            told("cp", "--archive", "--no-preserve=ownership", f"{source}/.", str(place))
        else:
            target = place / source.name if into else place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def _context(place: Path) -> Path:
    """The files that .dockerignore lets through: it leaves out all but those that it names."""
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            source, target = REPOSITORY / line[1:], place / line[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
    return place


def _say(sentence: str, *values: object) -> None:
    print(f"container     {sentence.format(*values)}", flush=True)


if __name__ == "__main__" and sys.argv[1:2] == [_INSIDE]:
    try:
        _by_steps(Path(sys.argv[2]))
    except Failed as failed:
        raise SystemExit(str(failed)) from None
