"""PROV-CONSTRAINTS rule by rule as the recommendation has it, without a thought for speed; the validator must equal it.

Every definition, inference and constraint applies to facts until nothing new follows; variables are numbers.  An
inference adds nothing where what it asks for is there already, so the search ends.  All orders of 30 to 49 are laid
between all events, and their closure is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, product

from apps.provenance.constraints.model import MARKER, PROV, SHAPES, Bundle, Name, Record, Time
from apps.provenance.constraints.terms import canonical_time

Term = str | int
Fact = tuple[str, Term, tuple[Term, ...]]
EVENTS = ("used", "wasGeneratedBy", "wasInvalidatedBy", "wasStartedBy", "wasEndedBy")
DISJOINT = (*EVENTS, "wasInformedBy", "wasAttributedTo", "wasAssociatedWith", "actedOnBehalfOf")
IDENTIFIED = (*DISJOINT, "wasDerivedFrom", "wasInfluencedBy")
NOTHING = "-"


class InvalidError(Exception):
    """A rule is broken."""

    def __init__(self, rule: int | None) -> None:
        super().__init__(rule)
        self.rule = rule


class Chase:
    def __init__(self, bundle: Bundle) -> None:
        self.fresh = count(1)
        self.facts: set[Fact] = set()
        self.empty: set[Term] = set()
        for record in bundle.records:
            if record.kind in SHAPES:
                self.facts.add(self.expanded(record))

    # definitions 1 to 4

    def expanded(self, record: Record) -> Fact:
        shape, kind = SHAPES[record.kind], record.kind
        places: list[Term] = []
        for parameter, argument in zip(shape.parameters, record.arguments, strict=True):
            if isinstance(argument, Name):
                places.append(argument.uri)
            elif isinstance(argument, Time):
                places.append(canonical_time(argument.text))
            elif parameter.required:
                raise InvalidError(None)
            elif (kind, parameter.name) == ("wasAssociatedWith", "plan") or kind == "wasDerivedFrom":
                places.append(NOTHING)
            else:
                assert argument in (None, MARKER)
                places.append(next(self.fresh))
        if kind == "wasDerivedFrom" and places[2] != NOTHING:
            places = [next(self.fresh) if place == NOTHING else place for place in places]
        identifier = record.identifier.uri if record.identifier else next(self.fresh)
        if kind == "entity" and any(
            name.uri == PROV + "type" and value.uri == PROV + "EmptyCollection"
            for name, value in record.attributes
            if isinstance(value, Name)
        ):
            self.empty.add(identifier)
        kind = "specializationOf" if kind == "mentionOf" else kind
        return kind, identifier, tuple(places[:2] if kind == "specializationOf" else places)

    def of(self, kind: str) -> list[tuple[Term, tuple[Term, ...]]]:
        return [(identifier, places) for name, identifier, places in self.facts if name == kind]

    # equalities: 22 to 29

    def equalities(self) -> Iterator[tuple[int, Term, Term]]:
        keyed = [fact for fact in self.facts if fact[0] in (*IDENTIFIED, "entity", "activity", "agent")]
        for one, other in product(keyed, keyed):
            if one[:2] == other[:2] and one[2] != other[2]:
                rule = 23 if one[0] in IDENTIFIED else 22
                yield from ((rule, a, b) for a, b in zip(one[2], other[2], strict=True) if a != b)
        for kind, rule, pair in (
            ("wasGeneratedBy", 24, (0, 1)),
            ("wasInvalidatedBy", 25, (0, 1)),
            ("wasStartedBy", 26, (0, 2)),
            ("wasEndedBy", 27, (0, 2)),
        ):
            for (one, first), (other, second) in product(self.of(kind), self.of(kind)):
                if one != other and all(first[place] == second[place] for place in pair):
                    yield rule, one, other
        for kind, rule, place in (("wasStartedBy", 28, 0), ("wasEndedBy", 29, 1)):
            for (activity, times), (_, places) in product(self.of("activity"), self.of(kind)):
                if places[0] == activity and places[3] != times[place]:
                    yield rule, places[3], times[place]

    def merge(self) -> bool:
        for rule, one, other in self.equalities():
            if isinstance(one, str) and isinstance(other, str):
                raise InvalidError(rule)
            old, new = (one, other) if isinstance(one, int) else (other, one)
            self.facts = {
                (kind, new if identifier == old else identifier, tuple(new if p == old else p for p in places))
                for kind, identifier, places in self.facts
            }
            self.empty = {new if term == old else term for term in self.empty}
            return True
        return False

    # inferences 5 to 21

    def has(self, kind: str, *wanted: Term | None) -> bool:
        return any(
            all(want is None or want == place for want, place in zip(wanted, places, strict=False))
            for _, places in self.of(kind)
        )

    def new(self) -> int:
        return next(self.fresh)

    def inferred(self) -> Iterator[Fact]:
        yield from self.of_communication()
        yield from self.of_elements()
        for kind in ("wasStartedBy", "wasEndedBy"):  # 9, 10
            for _, (_, trigger, other, _) in self.of(kind):
                if not self.has("wasGeneratedBy", trigger, other):
                    yield "wasGeneratedBy", self.new(), (trigger, other, self.new())
        yield from self.of_derivation()
        yield from self.of_agents()
        for kind in IDENTIFIED:  # 15
            for identifier, places in self.of(kind):
                yield "wasInfluencedBy", identifier, places[:2]
        yield from self.of_specialization()
        # 12, 16, 17, 18 and 20 say what alternates there are, of which no constraint speaks.

    def of_communication(self) -> Iterator[Fact]:
        new = self.new
        for _, (later, earlier) in self.of("wasInformedBy"):  # 5
            if not any(
                g[1] == earlier and u[0] == later and g[0] == u[1]
                for (_, g), (_, u) in product(self.of("wasGeneratedBy"), self.of("used"))
            ):
                between = new()
                yield "wasGeneratedBy", new(), (between, earlier, new())
                yield "used", new(), (later, between, new())
        for (_, g), (_, u) in product(self.of("wasGeneratedBy"), self.of("used")):  # 6
            if g[0] == u[1] and not self.has("wasInformedBy", u[0], g[1]):
                yield "wasInformedBy", new(), (u[0], g[1])

    def of_elements(self) -> Iterator[Fact]:
        new = self.new
        for entity, _ in self.of("entity"):  # 7
            for kind in ("wasGeneratedBy", "wasInvalidatedBy"):
                if not self.has(kind, entity):
                    yield kind, new(), (entity, new(), new())
        for activity, times in self.of("activity"):  # 8
            for kind, time in zip(("wasStartedBy", "wasEndedBy"), times, strict=True):
                if not self.has(kind, activity, None, None, time):
                    yield kind, new(), (activity, new(), new(), time)

    def of_derivation(self) -> Iterator[Fact]:
        for _, (later, earlier, activity, generation, usage) in self.of("wasDerivedFrom"):  # 11
            if NOTHING not in (activity, generation, usage):
                if ("used", usage, (activity, earlier)) not in self.without_times("used"):
                    yield "used", usage, (activity, earlier, self.new())
                if ("wasGeneratedBy", generation, (later, activity)) not in self.without_times("wasGeneratedBy"):
                    yield "wasGeneratedBy", generation, (later, activity, self.new())

    def without_times(self, kind: str) -> set[Fact]:
        return {(kind, identifier, places[:2]) for identifier, places in self.of(kind)}

    def of_agents(self) -> Iterator[Fact]:
        new = self.new
        for _, (entity, agent) in self.of("wasAttributedTo"):  # 13
            if not any(
                g[0] == entity and a[:2] == (g[1], agent)
                for (_, g), (_, a) in product(self.of("wasGeneratedBy"), self.of("wasAssociatedWith"))
            ):
                activity = new()
                yield "wasGeneratedBy", new(), (entity, activity, new())
                yield "wasAssociatedWith", new(), (activity, agent, new())
        for _, (delegate, responsible, activity) in self.of("actedOnBehalfOf"):  # 14
            for agent in (delegate, responsible):
                if not self.has("wasAssociatedWith", activity, agent):
                    yield "wasAssociatedWith", new(), (activity, agent, new())

    def of_specialization(self) -> Iterator[Fact]:
        specials = [places for _, places in self.of("specializationOf")]
        for (one, two), (three, four) in product(specials, specials):  # 19
            if two == three and not self.has("specializationOf", one, four):
                yield "specializationOf", self.new(), (one, four)
        entities = {entity for entity, _ in self.of("entity")}
        for special, general in specials:  # 21
            if general in entities:
                yield "entity", special, ()
            if general in self.empty:
                self.empty.add(special)

    def run(self) -> None:
        changed = True
        while changed:
            while self.merge():
                pass
            before = len(self.facts)
            marked = len(self.empty)
            for fact in list(self.inferred()):
                self.facts.add(fact)
                if self.merge():
                    break  # what was to be inferred may be there now
            changed = len(self.facts) != before or len(self.empty) != marked or any(True for _ in self.equalities())

    # constraints 30 to 56

    def orders(self) -> Iterator[tuple[Term, Term, bool]]:
        gens, invs, uses = self.of("wasGeneratedBy"), self.of("wasInvalidatedBy"), self.of("used")
        starts, ends = self.of("wasStartedBy"), self.of("wasEndedBy")

        def before(one: Iterable, left: int, other: Iterable, right: int) -> Iterator[tuple[Term, Term, bool]]:
            for (a, first), (b, second) in product(one, other):
                if first[left] == second[right]:
                    yield a, b, False

        for one, left, other, right in (
            (starts, 0, ends, 0),  # 30
            (starts, 0, starts, 0),  # 31
            (ends, 0, ends, 0),  # 32
            (starts, 0, uses, 0),  # 33
            (uses, 0, ends, 0),
            (starts, 0, gens, 1),  # 34
            (gens, 1, ends, 0),
            (gens, 0, invs, 0),  # 36
            (gens, 0, uses, 1),  # 37
            (uses, 1, invs, 0),  # 38
            (gens, 0, gens, 0),  # 39
            (invs, 0, invs, 0),  # 40
            (gens, 0, starts, 1),  # 43
            (starts, 1, invs, 0),
            (gens, 0, ends, 1),  # 44
            (ends, 1, invs, 0),
        ):
            yield from before(one, left, other, right)
        yield from self.orders_of_relations(gens, invs, starts, ends)

    def orders_of_relations(self, gens, invs, starts, ends) -> Iterator[tuple[Term, Term, bool]]:
        for _, (later, earlier) in self.of("wasInformedBy"):  # 35
            yield from across(starts, earlier, ends, later)
        for _, (later, earlier, activity, generation, usage) in self.of("wasDerivedFrom"):
            if NOTHING not in (activity, generation, usage):  # 41
                yield usage, generation, False
            yield from across(gens, earlier, gens, later, strict=True)  # 42
        for _, (special, general) in self.of("specializationOf"):  # 45, 46
            yield from across(gens, general, gens, special)
            yield from across(invs, special, invs, general)
        yield from self.orders_of_agents(gens, invs, starts, ends)

    def orders_of_agents(self, gens, invs, starts, ends) -> Iterator[tuple[Term, Term, bool]]:
        for _, (activity, agent, _) in self.of("wasAssociatedWith"):  # 47
            yield from across(starts, activity, invs, agent)
            yield from across(gens, agent, ends, activity)
            yield from across(starts, activity, ends, agent)
            yield from across(starts, agent, ends, activity)
        for _, (entity, agent) in self.of("wasAttributedTo"):  # 48
            yield from across(gens, agent, gens, entity)
            yield from across(starts, agent, gens, entity)
        for _, (delegate, responsible, _) in self.of("actedOnBehalfOf"):  # 49
            yield from across(gens, responsible, invs, delegate)
            yield from across(starts, responsible, ends, delegate)

    def check_order(self) -> None:
        strict: dict[tuple[Term, Term], bool] = {}
        for one, other, is_strict in self.orders():
            strict[one, other] = strict.get((one, other), False) or is_strict
        events = {event for pair in strict for event in pair}
        for middle in events:
            into = [(a, s) for (a, b), s in strict.items() if b == middle]
            out = [(b, s) for (a, b), s in strict.items() if a == middle]
            for (a, first), (b, second) in product(into, out):
                strict[a, b] = strict.get((a, b), False) or first or second
        if any(strict.get((event, event), False) for event in events):
            raise InvalidError(42)

    def types(self) -> tuple[set[Term], set[Term]]:  # 50
        entities, activities = {i for i, _ in self.of("entity")}, {i for i, _ in self.of("activity")}
        for kind, ents, acts in (
            ("used", (1,), (0,)),
            ("wasGeneratedBy", (0,), (1,)),
            ("wasInvalidatedBy", (0,), (1,)),
            ("wasStartedBy", (1,), (0, 2)),
            ("wasEndedBy", (1,), (0, 2)),
            ("wasInformedBy", (), (0, 1)),
            ("wasDerivedFrom", (0, 1), (2,)),
            ("wasAttributedTo", (0,), ()),
            ("wasAssociatedWith", (2,), (0,)),
            ("actedOnBehalfOf", (), (2,)),
            ("specializationOf", (0, 1), ()),
            ("alternateOf", (0, 1), ()),
            ("hadMember", (0, 1), ()),
        ):
            for _, places in self.of(kind):
                entities |= {places[place] for place in ents}
                activities |= {places[place] for place in acts}
        return entities - {NOTHING}, activities - {NOTHING}

    def check(self) -> None:
        self.check_identifiers()
        for _, (_, _, activity, generation, usage) in self.of("wasDerivedFrom"):
            if activity == NOTHING and (generation, usage) != (NOTHING, NOTHING):
                raise InvalidError(51)
        if any(special == general for _, (special, general) in self.of("specializationOf")):
            raise InvalidError(52)
        entities, activities = self.types()
        if entities & activities:
            raise InvalidError(55)
        if any(collection in self.empty for _, (collection, _) in self.of("hadMember")):
            raise InvalidError(56)
        self.check_order()

    def check_identifiers(self) -> None:
        for one, other in product(self.facts, self.facts):
            if one[1] == other[1] and one[0] in DISJOINT and other[0] in DISJOINT and one[0] != other[0]:
                raise InvalidError(53)
            if one[1] == other[1] and one[0] in ("entity", "activity", "agent") and other[0] in IDENTIFIED:
                raise InvalidError(54)


def across(one, first: Term, other, second: Term, strict: bool = False) -> Iterator[tuple[Term, Term, bool]]:
    """Every event of one thing before every event of another."""
    for (a, left), (b, right) in product(one, other):
        if left[0] == first and right[0] == second:
            yield a, b, strict


def broken_rule(bundle: Bundle) -> tuple[bool, int | None]:
    """Return whether an instance is valid, and else the rule that was met first."""
    try:
        chase = Chase(bundle)
        chase.run()
        chase.check()
    except InvalidError as found:
        return False, found.rule
    return True, None
