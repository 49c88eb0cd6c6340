"""What stands in a ledger, as JSON on standard output: ``python -m tests.provenance.inspect_process``."""

from __future__ import annotations

import json

import django


def main() -> None:
    django.setup()
    from apps.provenance import checks
    from apps.provenance.models import Edge, Event, Node

    said = {
        "findings": [finding.message for finding in checks.verify_chain()],
        "missing_triggers": checks.missing_triggers(),
        "seqs": list(Event.objects.order_by("seq").values_list("seq", flat=True)),
        "links": list(Event.objects.order_by("seq").values_list("prev_hash", "hash")),
        "images": list(
            Node.objects.filter(type="test:Image", attributes__has_key="corr:turn").values_list("attributes", flat=True)
        ),
        "accounts": Node.objects.filter(type="prov:Person", attributes__has_key="corr:account").count(),
        "named": Node.objects.filter(type="prov:Person").exclude(attributes__has_key="corr:account").count(),
        "software": Node.objects.filter(type="prov:SoftwareAgent").count(),
        "derivations": Edge.objects.filter(relation="wasDerivedFrom").count(),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
