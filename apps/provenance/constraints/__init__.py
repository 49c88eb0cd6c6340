"""PROV documents read, and judged by PROV-CONSTRAINTS.  Imports the standard library alone, and can be used alone.

from apps.provenance.constraints import read_provn, validate

report = validate(read_provn(text))
report.valid, report.problems
"""

from apps.provenance.constraints.errors import DocumentError, DocumentTooLargeError
from apps.provenance.constraints.limits import Limits
from apps.provenance.constraints.model import Bundle, Document, Literal, Marker, Name, Record, Time
from apps.provenance.constraints.provjson import read_provjson
from apps.provenance.constraints.provn import read_provn
from apps.provenance.constraints.render import to_provn
from apps.provenance.constraints.report import RULE_NAMES, Problem, Report
from apps.provenance.constraints.validate import validate

__all__ = [
    "RULE_NAMES",
    "Bundle",
    "Document",
    "DocumentError",
    "DocumentTooLargeError",
    "Limits",
    "Literal",
    "Marker",
    "Name",
    "Problem",
    "Record",
    "Report",
    "Time",
    "read_provjson",
    "read_provn",
    "to_provn",
    "validate",
]
