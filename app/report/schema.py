"""The JSON Schema of the call report. ``python -m app.report.schema docs/report.schema.json`` writes it."""

import json
import sys
from pathlib import Path

import msgspec

from app.report.report import REPORT_VERSION, CallReport
from app.system import files

# A schema is for everybody to read.
SCHEMA_MODE = 0o644


def schema_document() -> bytes:
    """The schema (draft 2020-12) as indented JSON with a line end."""
    return document_of(f"Segue call report, version {REPORT_VERSION}", CallReport)


def document_of(title: str, struct: type[msgspec.Struct]) -> bytes:
    """The schema of a struct, with its title."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **msgspec.json.schema(struct),
    }
    return (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    files.write_atomically(Path(sys.argv[1]), schema_document(), SCHEMA_MODE)
