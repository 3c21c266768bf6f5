"""What a machine must have before Spark can start there, looked at without Spark."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyspark

from spark_seg.config import SessionSettings

#: Seconds within which a master or a server must answer.
_PATIENCE = 5.0
_PORT_OF_CONNECT = 15002
#: Java that Spark 4 runs on.
_LEAST_JAVA = 17
#: Part of a JDK, and of no cut-down Java, that Spark needs from 4.2 on.
_JAVA_MODULE = "jdk.incubator.vector"
#: Delta's jar, as a file or by its coordinates. Before 4.1 it was made for Spark 4.0 and did not say so.
_JAR = re.compile(r"delta-spark(?:_(?P<spark>\d+\.\d+))?_2\.13[-:]\d")
_FIRST = "4.0"


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is right, and what was found or is to be done."""

    name: str
    right: bool
    told: str


def findings(settings: SessionSettings, submitted: bool = False) -> list[Finding]:
    """What is found on this machine. `submitted`: spark-submit has started the JVM and chosen the jars."""
    if submitted:
        return [_java()]
    return [_java(), _jars(settings.conf)]


def unreachable(address: str) -> str | None:
    """Why nobody answers at a master `spark://…` or a Spark Connect server `sc://…`; None: somebody does,
    or it is another kind of master."""
    scheme, _, rest = address.partition("://")
    if scheme not in ("spark", "sc"):
        return None
    places = re.split(r"[/;]", rest)[0].split(",")
    failures = []
    for place in places:
        host, _, port = place.rpartition(":") if ":" in place else (place, "", str(_PORT_OF_CONNECT))
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE):
                return None
        except (OSError, ValueError) as error:
            failures.append(f"{place} ({type(error).__name__})")
    what = "master" if scheme == "spark" else "Spark Connect server"
    return (
        f"session: a {what} must answer at {scheme}://{','.join(places)}; nobody does: {', '.join(failures)}."
        " Start it, or correct "
        + ("--master or session.master" if scheme == "spark" else "SPARK_REMOTE or --remote")
    )


def jars_beside_spark() -> list[Path]:
    """Delta's jars that lie beside Spark's own."""
    home = Path(os.environ.get("SPARK_HOME", Path(pyspark.__file__).parent))
    return sorted((home / "jars").glob("delta-spark_*.jar"))


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    wanted = f"Spark {pyspark.__version__} needs a JDK {_LEAST_JAVA} or 21"
    found = shutil.which(java)
    if found is None:
        where = f"JAVA_HOME is {home}, where there is none" if home else "there is none on the PATH"
        return Finding("java", False, f"java: {wanted}; {where}. Install one, and set JAVA_HOME to it")
    told = _said(found, "-version")
    stated = re.search(r'version "(\d+)(?:\.(\d+))?', told)
    major = int(stated[1]) if stated is not None else 0
    if major == 1 and stated is not None:
        major = int(stated[2] or 0)
    if major < _LEAST_JAVA:
        return Finding(
            "java",
            False,
            f"java: {wanted}; {found} is version {major or 'unknown'}. Set JAVA_HOME to a newer one",
        )
    if _spark_minor() >= (4, 2) and _JAVA_MODULE not in _said(found, "--list-modules"):
        return Finding(
            "java",
            False,
            f"java: {wanted} with the module {_JAVA_MODULE}; {found} is without it. Take a whole JDK or JRE "
            "(of a Linux distribution, or Temurin)",
        )
    return Finding("java", True, f"{found} is version {major}")


def _said(java: str, argument: str) -> str:
    try:
        done = subprocess.run([java, argument], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the user's own java
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return done.stdout + done.stderr


def _jars(conf: Mapping[str, object]) -> Finding:
    """Delta's jars: which there are, and whether they are for this Spark."""
    spark = ".".join(map(str, _spark_minor()))
    given = [str(conf[name]) for name in ("spark.jars", "spark.jars.packages") if conf.get(name)]
    beside = jars_beside_spark()
    for jar in (*(path.name for path in beside), *",".join(given).split(",")):
        stated = _JAR.search(jar)
        if stated is not None and (stated["spark"] or _FIRST) != spark:
            return Finding(
                "delta",
                False,
                f"delta: jars must be made for Spark {spark}; got {jar}, made for Spark "
                f"{stated['spark'] or _FIRST}. Take delta-spark_{spark}_2.13 of a version that has it",
            )
    if beside:
        return Finding("delta", True, f"{beside[0].name} lies beside Spark's own jars")
    if given:
        return Finding("delta", True, f"from {', '.join(given)}")
    try:
        package = version("delta-spark")
    except PackageNotFoundError:
        return Finding(
            "delta",
            False,
            "delta: Delta's jars must be there; got none beside Spark's own, none in session.conf, and no "
            "package delta-spark that would name them. Install spark-seg[local], or give spark-submit "
            f"--packages io.delta:delta-spark_{spark}_2.13:VERSION",
        )
    return Finding("delta", True, f"Spark fetches io.delta:delta-spark_{spark}_2.13:{package} when it starts")


def _spark_minor() -> tuple[int, int]:
    major, minor = pyspark.__version__.split(".")[:2]
    return int(major), int(minor)
