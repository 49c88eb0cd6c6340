"""As :mod:`apps.provenance.validator_child`, for every form: it imports ``prov``, lxml and rdflib first."""

from __future__ import annotations

from apps.provenance.documents import read_document
from apps.provenance.validator_child import main

if __name__ == "__main__":
    main(read_document)
