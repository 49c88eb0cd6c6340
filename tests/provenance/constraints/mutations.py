"""Seeded damage to documents: bytes changed, cut, doubled, and words of the form put where they do not belong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from apps.provenance.constraints import DocumentError, Limits, validate
from apps.provenance.documents import read_document

WORDS = {
    "provn": b"document|endDocument|bundle ex:b|endBundle|prefix x <|entity(|used(|wasDerivedFrom(|,-|;|)|[|]|'|\"|%%"
    b'|@en|"""|\\u00e4|\\|/*|*/|//|ex:|prov:|2012-11-16T16:05:00|-|{|}',
    "json": b'{|}|[|]|:|,|"|"$"|"type"|"prov:entity"|"prov:time"|null|true|1e999|-0|"_:x"|"bundle"|"prefix"|"default"'
    b'|\\u0000|"\\ud800"',
    "xml": b'<|>|</|/>|<!--|-->|<![CDATA[|]]>|&amp;|&#0;|&x;|<?x?>|prov:ref="|prov:id="|xsi:type="xsd:QName"'
    b'|xmlns:ex="http://x/"',
    "turtle": b"@prefix|@base|<|>|.|;|,|[|]|(|)|^^|@en|a|prov:|prov:qualifiedUsage|prov:Entity|_:b|'|1e|true",
}
LIMITS = Limits(bytes=1 << 20, records=10_000)


def mutated(seed: bytes, words: Sequence[bytes], chance: random.Random) -> bytes:
    """Return a document damaged in one to six places."""
    body = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.choice((0, 1, 1, 2, 8, 40)))
        body[start:end] = chance.choice(
            (b"", chance.choice(words), bytes([chance.randrange(256)]), bytes(body[start:end]) * 2)
        )
    return bytes(body)


def run(form: str, seeds: Sequence[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield how each document ended: ``valid``, ``invalid`` or ``refused``; anything else is raised."""
    chance = random.Random(f"{form} {seed}")
    words = WORDS[form].split(b"|")
    for _ in range(count):
        body = mutated(chance.choice(seeds), words, chance)
        try:
            report = validate(read_document(body, form, LIMITS))
        except DocumentError:
            yield "refused", body
        else:
            yield ("valid" if report.valid else "invalid"), body
