"""One of several writers: ``python -m tests.provenance.writer_process NUMBER ACTS``; with ``-`` it makes the tables.

Every fourth act fails after it said something.  All writers use the same new accounts, software and named person, so
that each is made on first use by whoever comes first.
"""

from __future__ import annotations

import sys
import uuid

import django

PROJECT = uuid.UUID(int=42)


def make_tables() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def write(number: int, acts: int) -> None:
    from apps.provenance import record

    for turn in range(acts):
        account = uuid.uuid5(uuid.NAMESPACE_OID, f"account {turn}")
        try:
            with record.act("load.write", actor=account, project=PROJECT, reason=f"writer {number}") as act:
                first = act.entity("test:Image", attributes={"corr:writer": number, "corr:turn": turn})
                second = act.entity("test:Image")
                act.derived(second, first)
                act.associated(record.person_agent("Jo Smith"), role="operator")
                act.associated(record.software_agent("load", str(turn)))
                if turn % 4 == 3:
                    raise RuntimeError("this act fails")
        except RuntimeError:
            continue


def main() -> None:
    django.setup()
    number, acts = sys.argv[1], int(sys.argv[2])
    if number == "-":
        make_tables()
    else:
        write(int(number), acts)


if __name__ == "__main__":
    main()
