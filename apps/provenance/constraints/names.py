"""Prefixes, and the names that they shorten."""

from __future__ import annotations

from collections.abc import Mapping

from apps.provenance.constraints.errors import DocumentError
from apps.provenance.constraints.model import PROV, XSD, Name

_FIXED = {"prov": PROV, "xsd": XSD}


class Namespaces:
    """What each prefix stands for; ``""`` is the default.  A bundle's are laid over its document's."""

    def __init__(self, above: Namespaces | None = None) -> None:
        self._uris: dict[str, str] = dict(above._uris if above is not None else _FIXED)
        self._names: dict[str, Name] = {}

    @property
    def uris(self) -> Mapping[str, str]:
        """Prefix -> URI."""
        return self._uris

    def declare(self, prefix: str, uri: str) -> None:
        """Take a prefix.

        Raises
        ------
        DocumentError
            ``prov`` or ``xsd`` for another namespace than theirs.
        """
        fixed = _FIXED.get(prefix)
        if fixed is not None and uri.rstrip("#") != fixed.rstrip("#"):
            raise DocumentError(f"the prefix {prefix} is that of {fixed}, not of {uri[:200]}")
        self._uris[prefix] = fixed or uri
        self._names.clear()

    def name(self, text: str) -> Name:
        """Return what a written name stands for; each is made once.

        Raises
        ------
        DocumentError
            The prefix, or a default namespace, was not declared.
        """
        found = self._names.get(text)
        if found is None:
            found = self._names[text] = Name(self._uri(text), text)
        return found

    def _uri(self, text: str) -> str:
        prefix, colon, local = text.partition(":")
        if not colon:
            prefix, local = "", text
        if colon and prefix == "_":
            return text
        uri = self._uris.get(prefix)
        if uri is None and colon and not prefix:
            raise DocumentError(f"{text[:200]!r} is no qualified name")
        if uri is None:
            missing = f"the prefix {prefix[:200]!r}" if colon else "a default namespace"
            raise DocumentError(f"{text[:200]!r} needs {missing}, which was not declared")
        return uri + local
