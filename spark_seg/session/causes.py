"""Failures of the surroundings, told in a sentence: who meets them at night needs no stack trace."""

from __future__ import annotations

import re

from spark_seg.errors import ConfigError, Interrupted, SegmentationError

#: Words of Spark, Java and the object stores → what they mean and what to do, and whether trying again may
#: help without anybody doing something. The first that is found counts.
_CAUSES: tuple[tuple[str, str, type[SegmentationError]], ...] = (
    (
        r"AccessControlException|AccessDeniedException|Access Denied|Permission denied|PERMISSION_DENIED"
        r"|INSUFFICIENT_PERMISSIONS|Mkdirs failed|status code:? 403|Status Code: 403"
        r"|UNAUTHORIZED_ACCESS|AuthorizationPermissionMismatch",
        "permission: whoever runs this must be allowed to read the sources and to write to publishing.root "
        "or publishing.database, and to its models; a store or the catalog refused{place}. Grant it, or name "
        "another place",
        ConfigError,
    ),
    (
        r"UnknownHostException|Name or service not known|NoRouteToHostException|Network is unreachable"
        r"|UnresolvedAddressException|ConnectTimeoutException|SdkClientException: Unable to execute",
        "network: every address that a run names must be reached from the driver and the workers; one was "
        "not{place}. Look at the network, the endpoint and the proxy of the cluster",
        Interrupted,
    ),
    (
        r"All masters are unresponsive|Master removed our application|StatusCode\.UNAVAILABLE"
        r"|failed to connect to all addresses|Cannot call methods on a stopped SparkContext"
        r"|SparkContext was shut down",
        "session: the cluster must stay reachable while a run is at work; it went away. Nothing was "
        "committed by this attempt unless the ledger says so; run the same command again",
        Interrupted,
    ),
    (
        r"NoSuchMethodError|NoClassDefFoundError|AbstractMethodError|IncompatibleClassChangeError"
        r"|UnsupportedClassVersionError",
        "delta: Spark, Java and Delta's jars must fit together; they do not{place}. spark-seg doctor says "
        "which; README has the versions that were tried",
        ConfigError,
    ),
    (
        r"ClassNotFoundException: (?:org\.apache\.spark\.sql\.delta|io\.delta)"
        r"|Cannot find catalog plugin class for catalog 'spark_catalog'"
        r"|DATA_SOURCE_NOT_FOUND\].*\bdelta\b|Failed to find data source: delta",
        "delta: Delta's jars must be there; Spark does not find them. Give spark-submit --packages "
        "io.delta:delta-spark_4.x_2.13:VERSION for its Spark, or put the jars into Spark's folder jars",
        ConfigError,
    ),
    (
        r"ModuleNotFoundError: No module named '(?:spark_seg|numpy|pyarrow|scipy|threadpoolctl)",
        "workers: Python workers must be able to import spark_seg, numpy, pyarrow, scipy and threadpoolctl; "
        "one cannot{place}. Give spark-submit --py-files the package's zip and --archives the packed "
        "environment (scripts/build), or install both on every worker",
        ConfigError,
    ),
    (
        r"PYTHON_VERSION_MISMATCH|Python in worker has different version",
        "workers: Python of driver and workers must be of one minor version; they are not. Set "
        "PYSPARK_PYTHON on both sides",
        ConfigError,
    ),
    (
        r"Cannot run program \"[^\"]*python[^\"]*\"",
        "workers: there must be a Python on every worker; Spark found none. Set PYSPARK_PYTHON to one with "
        "numpy and pyarrow",
        ConfigError,
    ),
    (
        r"No module named '(?:grpc|google|grpc_status)|PACKAGE_NOT_INSTALLED.*grpc",
        "session: Spark Connect needs its own packages here; they are not installed. Install "
        "spark-seg[connect]",
        ConfigError,
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "disk: driver and workers must have room for shuffles and results; a disk is full{place}. Clear "
        "spark.local.dir, or give workers more",
        Interrupted,
    ),
)
#: What the sentence may quote of an error: paths and hosts, which are no rows.
_PLACE = re.compile(
    r"(?:file:|[a-z0-9]+://)[^\s,:;'\"\]\)]+|(?<=[\s'\"=(])/(?:[\w.@+-]+/)*[\w.@+-]+"
    r"|(?<=UnknownHostException: )[\w.-]+"
)


def explained(error: BaseException) -> SegmentationError | None:
    """The sentence for a failure of network, rights, jars or workers; None for every other error."""
    text = _whole(error)
    for words, sentence, kind in _CAUSES:
        found = re.search(words, text)
        if found is not None:
            line = text[text.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            place = _PLACE.search(line)
            return kind(sentence.replace("{place}", f" ({place[0]})" if place is not None else ""))
    return None


def _whole(error: BaseException) -> str:
    """The messages of an error and of what it came from."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(texts) < 10:
        texts.append(f"{type(link).__name__}: {link}")
        link = link.__cause__ or link.__context__
    return "\n".join(texts)
