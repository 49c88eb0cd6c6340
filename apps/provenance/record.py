"""The only writer of provenance.

::

    with record.act("image.threshold", actor=user, project=project.id, reason=reason) as act:
        act.used(image)
        act.created(labels)
        act.derived(labels, image)

One outermost act per service call.  It opens the transaction, buffers what is said, and writes everything as one event
last before the commit; acts within it join its transaction and its event.  If the body raises, neither rows nor event
remain; if an inner act raises and the outer one goes on, only what the inner one did and said is gone.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import transaction

from apps.core.errors import NotFoundError
from apps.provenance.acts import Act, Thing, demand_reason
from apps.provenance.agents import (
    Account,
    Agent,
    OrganisationAgent,
    PersonAgent,
    SoftwareAgent,
    organisation_agent,
    person_agent,
    software_agent,
)
from apps.provenance.canonical import RecordError
from apps.provenance.models import ErasableText
from apps.provenance.writer import Heading, write

__all__ = [
    "Account",
    "Act",
    "Agent",
    "OrganisationAgent",
    "PersonAgent",
    "RecordError",
    "SoftwareAgent",
    "act",
    "erase_texts",
    "organisation_agent",
    "person_agent",
    "software_agent",
]

_current: ContextVar[Act | None] = ContextVar("current_act", default=None)


@contextmanager
def act(
    verb: str,
    *,
    actor: Agent | None,
    project: uuid.UUID | None,
    reason: str | None = None,
    activity: Thing | None = None,
    started_at: dt.datetime | None = None,
    ended_at: dt.datetime | None = None,
    on_behalf_of: Agent | None = None,
    plan: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Iterator[Act]:
    """Record what is done in the body, in the same transaction.

    Parameters
    ----------
    verb : str
        What is done, e.g. ``specimen.create``.
    actor : account, UUID or None
        Who does it; recorded as an agent on first use, the name erasable beside the record.  None: the system itself.
    project : UUID or None
        Project the act belongs to; None for site-wide things.
    reason : str, optional
        Why; erasable.
    activity : model instance or UUID, optional
        The existing activity this act is part of the record of, e.g. a job; a new activity otherwise.
    started_at, ended_at : datetime, optional
        Claimed times with zone.  The time of recording is taken from the database's clock in any case.
    on_behalf_of : agent, optional
        Who answers for the actor in this act.
    plan : mapping, optional
        What was followed, e.g. plugin, version and parameters; becomes an entity.
    attributes : mapping, optional
        Further attributes of the activity, keys with prefix.

    Yields
    ------
    Act
        To say what was used, made and changed.

    Raises
    ------
    RecordError
        The body said something that cannot be; a bug of the calling service.
    """
    outer = _current.get()
    this = Act(verb, actor=actor, project=project, activity=activity, parent=outer)
    this.describe(reason, started_at, ended_at, attributes)
    this.associate(on_behalf_of, plan)
    with transaction.atomic():
        token = _current.set(this)
        try:
            yield this
        finally:
            _current.reset(token)
        if outer is None:
            write(this.buffer, Heading(this.id, project, verb))
    if outer is not None:
        outer.buffer.absorb(this.buffer)


def erase_texts(
    texts: Iterable[uuid.UUID], *, actor: Account | uuid.UUID, project: uuid.UUID | None, reason: str
) -> None:
    """Erase texts and their salts; the commitments stay, so the chain stays valid.

    Parameters
    ----------
    texts : iterable of UUID
        Ids of erasable texts.
    actor, project, reason
        As for ``act``; the reason must be given, and must not repeat what is erased.

    Raises
    ------
    NotFoundError
        An id is no text that is still there.
    InvalidValueError
        No reason.
    """
    demand_reason(reason)
    wanted = set(texts)
    there = set(ErasableText.objects.filter(id__in=wanted, text__isnull=False).values_list("id", flat=True))
    if wanted - there:
        raise NotFoundError(f"no text to erase: {', '.join(sorted(map(str, wanted - there)))}")
    with act("text.erase", actor=actor, project=project, reason=reason) as this:
        for text in sorted(there):
            this.erased(text)
