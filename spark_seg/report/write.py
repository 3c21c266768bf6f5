"""The report of a run as files: the page, and the model card beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from spark_seg.config import Settings
from spark_seg.errors import ConfigError
from spark_seg.publishing import Store
from spark_seg.report.card import card
from spark_seg.report.collect import published
from spark_seg.report.page import page
from spark_seg.sources import resolved


@dataclass(frozen=True)
class Written:
    """Where the page and the model card of a run lie."""

    page: str
    card: str


def folder_of(settings: Settings) -> str | None:
    """The folder of reports; None where results go to a database and no folder is set."""
    root = settings.publishing.root
    path = settings.report.path or (f"{root}/reports" if root is not None else None)
    return None if path is None else resolved(path)


def write_report(store: Store, settings: Settings, run_id: str, folder: str | None = None) -> Written:
    """Write `<run_id>.html` and `<run_id>.md` into `folder` (default: `report.path`).

    Raises `ConfigError` when there is no such run, or when the folder cannot be written to.
    """
    place = folder if folder is not None else folder_of(settings)
    if place is None:
        raise ConfigError(
            "report.path: must be set where results go to publishing.database; got nothing. Name a folder, "
            "or give one with --out"
        )
    written = Written(f"{place}/{run_id}.html", f"{place}/{run_id}.md")
    texts = report_texts(store, settings, run_id)
    _write(place, {written.page: texts["html"], written.card: texts["md"]})
    return written


def report_texts(store: Store, settings: Settings, run_id: str) -> dict[str, str]:
    """The page (`html`) and the model card (`md`) of a run. Raises `ConfigError` when there is none."""
    told = published(store, settings, run_id)
    return {"html": page(told), "md": card(told)}


def _write(folder: str, files: Mapping[str, str]) -> None:
    """Whole files or none: a page that is half there is never seen on a disk of this machine."""
    try:
        if "://" in folder:
            system, _ = fs.FileSystem.from_uri(folder)
            for path, text in files.items():
                with system.open_output_stream(fs.FileSystem.from_uri(path)[1]) as stream:
                    stream.write(text.encode())
            return
        base = Path(folder.removeprefix("file:"))
        base.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            target = base / Path(path).name
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(target)
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(
            f"report: must be written to {folder}; got {type(error).__name__} ({error}). Set "
            "report.path to a folder that this machine can write to, or write it elsewhere: "
            "spark-seg report RUN --out FOLDER"
        ) from error
