"""Stages of an image as trees of files: layers over each other, and commands in them by chroot.

Needs root, and is meant for a mount namespace of its own, which takes all mounts with it when it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from proofs.demo import Failed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Where registries are and whom to trust: what Docker would be told by its own settings.
_HANDED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
)
_TRUST = "etc/ssl/certs"
#: What slim images leave out.
_SLIM = "path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n"


@dataclass
class Tree:
    """A stage that is being built or was: its layers, the topmost first, and what its instructions set."""

    layers: list[Path]
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    cwd: str = "/"
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def megabytes(self) -> tuple[float, float]:
        """On disk: all layers, and those over the base image."""
        sizes = [int(told("du", "--summarize", "--bytes", str(p)).split()[0]) / 1e6 for p in self.layers]
        return sum(sizes), sum(sizes[:-1])


class Mounted:
    """The layers of a stage as one tree, with what processes in it need."""

    def __init__(self, folder: Path, layers: list[Path], volumes: dict[str, Path] | None = None) -> None:
        """Writes go to the first layer. With `volumes` they may go to these and to /tmp only, as with
        `read_only` of a compose file."""
        self.root = Path(tempfile.mkdtemp(dir=folder, prefix="tree_"))
        self.scratch = Path(tempfile.mkdtemp(dir=folder, prefix="work_"))
        self.layers, self.volumes = layers, volumes

    def __enter__(self) -> Path:
        root, first, below = self.root, self.layers[0], self.layers[1:]
        if self.volumes is None:
            _overlay(root, below, first, self._scratch("work"))
            for file in ("etc/resolv.conf", "etc/hosts"):
                (root / file).touch()
        else:
            _overlay(root, self.layers)
            _mount(root / "tmp", "-t", "tmpfs", "tmpfs")
            for place, outside in self.volumes.items():
                _mount(root / place.lstrip("/"), "--bind", str(outside))
        _mount(root / "proc", "-t", "proc", "proc")
        _mount(root / "dev", "--rbind", "/dev")
        for file in ("etc/resolv.conf", "etc/hosts"):
            _mount(root / file, "--bind", f"/{file}")
        # Whom this machine trusts. What packages write there is thrown away.
        _overlay(root / _TRUST, [Path("/", _TRUST)], self._scratch("trust"), self._scratch("trust_work"))
        return root

    def __exit__(self, *_: object) -> None:
        told("umount", "--recursive", "--lazy", str(self.root))

    def _scratch(self, name: str) -> Path:
        place = self.scratch / name
        place.mkdir()
        return place


def in_tree(root: Path, tree: Tree, command: list[str]) -> None:
    """A command as the user, in the folder and with the environment of a stage. Raises `Failed`."""
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    home = "/root" if tree.user == "root" else f"/home/{tree.user}"
    env = {"PATH": PATH, "HOME": home, "DEBIAN_FRONTEND": "noninteractive"} | handed_on | tree.env
    chroot = ["chroot", f"--userspec={tree.user}:{tree.user}", str(root)]
    variables = [f"{name}={value}" for name, value in env.items()]
    there = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', tree.cwd]
    told(*chroot, "/usr/bin/env", "-i", *variables, *there, *command)


def debian(place: Path) -> Path:
    """What stands in for an image of Python on Debian: Debian's own Python, as little as slim images have."""
    packages = "python3,python3-venv,ca-certificates"
    told("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(place))
    (place / "etc/dpkg/dpkg.cfg.d/slim").write_text(_SLIM, encoding="utf-8")
    for left_out in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt/archives"):
        shutil.rmtree(place / left_out)
    for name in ("python", "python3"):
        (place / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    return place


def told(*command: str) -> str:
    """What a command says. Raises `Failed` with the last of it when it ends with another code than 0."""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def _overlay(place: Path, below: list[Path], first: Path | None = None, work: Path | None = None) -> None:
    options = f"lowerdir={':'.join(map(str, below))}"
    if first is not None:
        options += f",upperdir={first},workdir={work}"
    _mount(place, "-t", "overlay", "overlay", "-o", options)


def _mount(place: Path, *how: str) -> None:
    told("mount", *how, str(place))
