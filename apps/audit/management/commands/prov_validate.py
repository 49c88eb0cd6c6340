"""``manage.py prov_validate FILE...``: exits 0 when all are valid, 1 when one is not, 2 when one cannot be read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from apps.provenance.constraints import DocumentError, Limits, Report, validate
from apps.provenance.documents import FORM_OF, SUFFIX_OF, read_document

_VALID, _INVALID, _UNREADABLE = 0, 1, 2
_LIMITS: Final = Limits(bytes=4 << 30, records=100_000_000)


class Command(BaseCommand):
    """Judge PROV documents by PROV-CONSTRAINTS."""

    help = "Judge PROV documents by the W3C's PROV-CONSTRAINTS; exit code 0 valid, 1 not valid, 2 not readable."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Files, or ``-`` for standard input; the form by the ending or by ``--form``."""
        parser.add_argument("files", nargs="+", metavar="FILE", help="a document; - reads standard input")
        parser.add_argument("--form", choices=sorted(set(FORM_OF.values())), help="instead of the ending of the name")
        parser.add_argument("--json", action="store_true", help="one JSON object a file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a verdict for each file."""
        worst = _VALID
        for file in options["files"]:
            try:
                report = _judge(file, options["form"])
            except (DocumentError, OSError) as error:
                self.stderr.write(f"{file}: cannot be read: {error}")
                worst = _UNREADABLE
                continue
            self.stdout.write(
                json.dumps({"file": file, **report.to_dict()}) if options["json"] else _told(file, report)
            )
            if not report.valid:
                worst = max(worst, _INVALID)
        if worst:
            raise SystemExit(worst)


def _judge(file: str, form: str | None) -> Report:
    form = form or SUFFIX_OF.get(Path(file).suffix.lower())
    if form is None:
        raise DocumentError(f"no form is known by this name; endings are {', '.join(SUFFIX_OF)}, or give --form")
    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return validate(read_document(body, form, _LIMITS))


def _told(file: str, report: Report) -> str:
    if report.valid:
        return f"{file}: valid ({report.records} statements)"
    lines = [f"{file}: not valid, {len(report.problems)}{' or more' if report.truncated else ''} problems"]
    for problem in report.problems:
        rule = f"rule {problem.rule} ({problem.name})" if problem.rule else "not well formed"
        bundle = f" in bundle {problem.bundle}" if problem.bundle else ""
        lines.append(f"  {rule}{bundle}: {problem.message}")
        lines += [f"    {text}" for text in (*problem.records, *problem.cycle)]
    return "\n".join(lines)
