"""The JSON Schemas of report and trace. ``python -m app.report.schema docs`` writes both into that folder."""

import json
import sys
from pathlib import Path

import msgspec

from app.report.report import REPORT_VERSION, CallReport
from app.report.trace import TRACE_VERSION, CallTrace


def documents() -> dict[str, bytes]:
    """By file name: the schema (draft 2020-12) as indented JSON with a line end."""
    return {
        "report.schema.json": _document(f"Segue call report, version {REPORT_VERSION}", CallReport),
        "trace.schema.json": _document(f"Segue call trace, version {TRACE_VERSION}", CallTrace),
    }


def _document(title: str, struct: type[msgspec.Struct]) -> bytes:
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **msgspec.json.schema(struct),
    }
    return (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    for name, document in documents().items():
        (Path(sys.argv[1]) / name).write_bytes(document)
