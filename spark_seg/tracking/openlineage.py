"""A row of the ledger → OpenLineage events (2-0-2 of the standard): when it began, and what came of it.

Everything in them follows from the row, ids included: told again, a run says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from pyspark.sql.types import StructType

from spark_seg.publishing import CommittedRun
from spark_seg.sources import resolved
from spark_seg.tracking.facts import committed_at, seconds

_SPEC = "https://openlineage.io/spec"
#: Facet → the version of its definition.
_FACETS = {
    "jobType": "2-0-4/JobTypeJobFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "tags": "1-0-0/TagsRunFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
}
#: Inputs of the ledger that are no datasets.
_NO_DATASETS = ("monitoring",)

Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Whose runs are told: the namespace of jobs, the pipeline, and the zone in which its days begin."""

    namespace: str
    pipeline: str
    time_zone: str


def events_of(
    job: Job,
    runs: Sequence[CommittedRun],
    run: CommittedRun,
    places: Mapping[str, str],
    schemas: Mapping[str, StructType],
) -> list[Json]:
    """START and COMPLETE of `run`, one of the committed `runs`.

    `places`: published table → path or name in the catalog; `schemas`: published table → its columns.
    """
    producer = f"urn:spark-seg:{run.code_version or 'unknown'}"
    end = committed_at(run)
    inputs = _inputs(job, runs, run, producer)
    outputs = [
        _dataset(
            job,
            places[receipt.table],
            _facets(producer, version=_version(receipt.version), schema=_columns(schemas.get(receipt.table))),
            outputFacets=_facets(producer, outputStatistics={"rowCount": receipt.rows}),
        )
        for receipt in run.receipts
    ]
    if run.model_path is not None and run.model_run_id == run.run_id:
        version = _version(run.model_digest) if run.model_digest else None
        outputs.append(_dataset(job, run.model_path, _facets(producer, version=version), outputFacets={}))
    told = {
        "producer": producer,
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(uuid5(NAMESPACE_URL, f"{producer}:{job.pipeline}:{run.run_id}:{run.attempt_id}")),
            "facets": _run_facets(job, run, producer),
        },
        "job": {
            "namespace": job.namespace,
            "name": f"{job.pipeline}.{run.job}",
            "facets": _facets(
                producer, jobType={"processingType": "BATCH", "integration": "SPARK", "jobType": "JOB"}
            ),
        },
        "inputs": inputs,
    }
    began = end - timedelta(seconds=seconds(run))
    return [
        {"eventType": "START", "eventTime": _instant(began), **told, "outputs": []},
        {"eventType": "COMPLETE", "eventTime": _instant(end), **told, "outputs": outputs},
    ]


def _inputs(job: Job, runs: Sequence[CommittedRun], run: CommittedRun, producer: str) -> list[Json]:
    found = []
    for source, table, version, rows in run.inputs:
        if source in _NO_DATASETS or not table:
            continue
        counted = {"inputStatistics": {"rowCount": rows}} if rows is not None else {}
        facets = _facets(producer, version=_version(_in_delta(runs, source, version)))
        found.append(_dataset(job, table, facets, inputFacets=_facets(producer, **counted)))
    return found


def _in_delta(runs: Sequence[CommittedRun], source: str, version: str) -> str:
    """Version of an input. Tables of ours are pinned by the run that wrote them; its receipt has the version,
    and a model has a digest."""
    wrote = next((run for run in runs if run.run_id == version), None)
    if wrote is None:
        return version
    if source == "model":
        return wrote.model_digest or version
    receipt = wrote.receipt(source)
    return version if receipt is None else str(receipt.version)


def _run_facets(job: Job, run: CommittedRun, producer: str) -> Json:
    day = datetime.combine(run.as_of, time(), ZoneInfo(job.time_zone))
    tags = {
        "run_id": run.run_id,
        "as_of": run.as_of.isoformat(),
        "revision": str(run.revision),
        "code_version": run.code_version,
        "config_digest": run.config_digest,
        "model_run_id": run.model_run_id,
        "algorithm": run.algorithm,
        "k": None if run.k is None else str(run.k),
    }
    told = [{"key": k, "value": v, "source": "spark_seg"} for k, v in tags.items() if v]
    engine = {"name": "spark", "version": run.spark_version or "unknown"}
    nominal = {"nominalStartTime": _instant(day)}
    return _facets(producer, nominalTime=nominal, processing_engine=engine, tags={"tags": told})


def _dataset(job: Job, place: str, facets: Json, **more: Json) -> Json:
    """A dataset as the standard names it: by where its files lie, else by its name in the catalog."""
    scheme, remote, rest = place.partition("://")
    if remote:
        bucket, _, path = rest.partition("/")
        namespace, name = f"{scheme}://{bucket}", path
    elif "/" in place or "." not in place:
        namespace, name = "file", resolved(place.removeprefix("file:"))
    else:
        namespace, name = job.namespace, place
    return {"namespace": namespace, "name": name, "facets": facets, **{k: v for k, v in more.items() if v}}


def _facets(producer: str, **facets: Json | None) -> Json:
    return {
        name: {"_producer": producer, "_schemaURL": _definition(name), **content}
        for name, content in facets.items()
        if content is not None
    }


def _definition(facet: str) -> str:
    version, _, name = _FACETS[facet].partition("/")
    return f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"


def _version(version: object) -> Json:
    return {"datasetVersion": str(version)}


def _columns(schema: StructType | None) -> Json | None:
    if schema is None:
        return None
    return {
        "fields": [
            {"name": field.name, "type": field.dataType.simpleString()}
            | ({"description": comment} if (comment := field.metadata.get("comment")) else {})
            for field in schema.fields
        ]
    }


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
