"""Metadata of a data set in MLCommons Croissant 1.0 (JSON-LD), with its fields on privacy.

Source: MLCommons, "Croissant Format Specification 1.0" and "Croissant RAI Specification 1.0".
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from dpfedsyn.columns import ISO, Column, Date, Numeric
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.export.files import DataFile
from dpfedsyn.marking import caption
from dpfedsyn.report import wording
from dpfedsyn.report.finished import FinishedRun

SCHEMA_ORG, CROISSANT = "https://schema.org/", "http://mlcommons.org/croissant/"
_OWN = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator",
    "source", "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": SCHEMA_ORG,
    "sc": SCHEMA_ORG,
    "cr": CROISSANT,
    "rai": f"{CROISSANT}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _OWN},
}


def metadata(
    run: FinishedRun, encoder: Encoder, files: Sequence[DataFile], title: str, licence: str
) -> dict[str, Any]:
    """Return the metadata; fields of tables are those of the public schema."""
    silos = run.statement["silos"]
    claims = "; ".join(
        f"{silo['name']}: {wording.claim(silo['epsilon'], wording.terms(silo))}"
        f"{wording.behind(silo.get('brought'))}"
        for silo in silos
    )
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [f"{CROISSANT}1.0", f"{CROISSANT}RAI/1.0"],
        "name": caption(title, private=run.private),
        "description": caption(
            f"Synthetic rows from {len(silos)} silos, made by dpfedsyn. {claims}.",
            private=run.private,
        ),
        "version": "1.0.0",
        "datePublished": datetime.date.today().isoformat(),
        "isLiveDataset": False,
        "distribution": [_object(file) for file in files],
        "recordSet": [
            _records(file, encoder) for file in files if isinstance(encoder, TableEncoder)
        ],
        "rai:dataCollection": "Drawn from private models of several silos; no record was copied.",
        "rai:personalSensitiveInformation": claims,
        "rai:dataLimitations": [str(entry) for entry in run.statement["caveats"]],
    }
    return described | ({"license": licence} if licence else {})


def _object(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": file.kind,
        "sha256": file.sha256,
    }


def _records(file: DataFile, encoder: TableEncoder) -> dict[str, Any]:
    schema, own = encoder.schema, file.name.partition(".")[0]
    kinds: list[tuple[str, str, str]] = [(c.name, _type(c), c.title) for c in schema.columns]
    kinds.append((schema.target.column, "sc:Text", schema.target.title))
    return {
        "@type": "cr:RecordSet",
        "@id": own,
        "name": own,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{own}/{name}",
                "name": name,
                "description": title or name,
                "dataType": kind,
                "source": {"fileObject": {"@id": file.name}, "extract": {"column": name}},
            }
            for name, kind, title in kinds
        ],
    }


def _type(column: Column) -> str:
    if isinstance(column, Numeric):
        return "sc:Float" if column.decimals > 0 else "sc:Integer"
    if isinstance(column, Date) and column.format == ISO and not column.missing_codes:
        return "sc:Date"
    return "sc:Text"
