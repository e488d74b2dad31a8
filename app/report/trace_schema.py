"""The JSON Schema of a call's trace. ``python -m app.report.trace_schema docs/trace.schema.json`` writes it."""

import sys
from pathlib import Path

from app.report.schema import SCHEMA_MODE, document_of
from app.report.trace import TRACE_VERSION, CallTrace
from app.system import files


def schema_document() -> bytes:
    """The schema (draft 2020-12) as indented JSON with a line end."""
    return document_of(f"Segue call trace, version {TRACE_VERSION}", CallTrace)


if __name__ == "__main__":
    files.write_atomically(Path(sys.argv[1]), schema_document(), SCHEMA_MODE)
