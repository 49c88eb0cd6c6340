"""What a document was found to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

RULE_NAMES: Final = {
    22: "key-object",
    23: "key-properties",
    24: "unique-generation",
    25: "unique-invalidation",
    26: "unique-wasStartedBy",
    27: "unique-wasEndedBy",
    28: "unique-startTime",
    29: "unique-endTime",
    42: "derivation-generation-generation-ordering",
    51: "impossible-unspecified-derivation-generation-use",
    52: "impossible-specialization-reflexive",
    53: "impossible-property-overlap",
    54: "impossible-object-property-overlap",
    55: "entity-activity-disjoint",
    56: "membership-empty-collection",
}
"""The rules of PROV-CONSTRAINTS that a problem can carry."""
MOST_PROBLEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a document is not valid.

    Parameters
    ----------
    rule : int or None
        Number in PROV-CONSTRAINTS (W3C Recommendation of 2013); None for a statement that is not well formed.
    message : str
        In plain words.
    records : tuple of str
        The statements concerned, as PROV-N.
    cycle : tuple of str
        Of an order that contradicts itself: the steps, each from what comes first to what follows.
    bundle : str
        Name of the bundle, empty for the top level.
    """

    rule: int | None
    message: str
    records: tuple[str, ...]
    cycle: tuple[str, ...] = ()
    bundle: str = ""

    @property
    def name(self) -> str:
        """Name of the rule, empty for none."""
        return RULE_NAMES.get(self.rule, "") if self.rule is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "rule": self.rule,
            "name": self.name,
            "message": self.message,
            "records": list(self.records),
            "cycle": list(self.cycle),
            "bundle": self.bundle,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict.

    Parameters
    ----------
    problems : tuple of Problem
        Empty for a valid document; at most :data:`MOST_PROBLEMS` are kept.
    records : int
        Statements that were judged.
    unjudged : int
        Statements of other vocabularies, which no rule speaks of.
    truncated : bool
        There were more problems.
    steps : int
        Elementary steps taken (indexings, unions, edges walked): a measure of the work that no clock disturbs.
    """

    problems: tuple[Problem, ...]
    records: int = 0
    unjudged: int = 0
    truncated: bool = False
    steps: int = field(default=0, compare=False)

    @property
    def valid(self) -> bool:
        """True if there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, as ``POST prov/validate/`` answers."""
        return {
            "valid": self.valid,
            "mode": "spec",
            "problems": [problem.to_dict() for problem in self.problems],
            "records": self.records,
            "unjudged": self.unjudged,
            "truncated": self.truncated,
        }
