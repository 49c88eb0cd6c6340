"""Nothing that rests on what was withdrawn stays unmarked, in whichever order two transactions end."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable

import pytest
from django.db import connections

from apps.core.errors import ConflictError, InvalidValueError
from apps.provenance import record, selectors
from apps.provenance.checks import verify_chain
from apps.provenance.models import Event
from tests.provenance.things import Image

WAIT = 20.0


@pytest.fixture
def base(ann, project):
    image = Image(project_id=project)
    with record.act("make", actor=ann, project=project) as act:
        act.created(image)
    return image


def withdraw(thing, select=list, meanwhile: Callable[[], object] = lambda: None):
    with record.act("withdraw", actor=None, project=thing.project_id) as act:
        act.invalidated(thing, reason="wrong standard")
        marked = act.stale_closure(thing.id, "wrong standard", select=select)
        meanwhile()
        assert marked == []
    return marked


def finish(source, meanwhile: Callable[[], object] = lambda: None):
    made = Image(project_id=source.project_id)
    with record.act("finish", actor=None, project=source.project_id) as act:
        act.used(source)
        act.created(made)
        act.derived(made, source)
        act.inherit_stale([made.id], [source.id], "an input was stale")
        meanwhile()
    return made


@pytest.mark.django_db
def test_dependents_are_found_when_the_event_is_written(base):
    made = finish(base)
    later = finish(made)
    other = finish(base)
    marked = withdraw(base, select=lambda ids: set(ids) & {made.id, later.id})
    assert set(marked) == {made.id, later.id} == selectors.is_stale([base.id, made.id, later.id, other.id])
    said = json.loads(Event.objects.latest("seq").payload)["stale"]
    assert len(said) == 2
    assert {mark["reason"] for mark in selectors.stale_marks(marked)} == {"wrong standard"}
    assert verify_chain() == []


@pytest.mark.django_db
def test_a_result_of_stale_inputs_is_born_stale_with_each_as_a_cause(base):
    made = finish(base)
    withdraw(base)
    born = finish(made)
    (mark,) = selectors.stale_marks([born.id])
    assert (mark["cause"], mark["reason"]) == (made.id, "an input was stale")
    assert not selectors.is_stale([finish(base).id])


@pytest.mark.django_db
def test_inheritance_sees_the_marks_of_its_own_act_and_no_mark_stands_twice(ann, base, project):
    source, made = finish(base), Image(project_id=project)
    with record.act("outer", actor=ann, project=project) as outer:
        outer.created(made)
        outer.inherit_stale([made.id], [source.id], "an input was stale")
        with record.act("inner", actor=ann, project=project) as inner:
            inner.stale([source.id], base.id, "by hand")
            marked = inner.stale_closure(base.id, "found", select=lambda ids: set(ids) & {source.id})
        assert marked == []
    assert marked == [source.id]
    assert [mark["reason"] for mark in selectors.stale_marks([source.id])] == ["by hand"]
    assert [mark["cause"] for mark in selectors.stale_marks([made.id])] == [source.id]


@pytest.mark.django_db
def test_a_select_that_fails_leaves_nothing(base):
    before = Event.objects.count()
    finish(base)

    def fail(_ids):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        withdraw(base, select=fail)
    assert Event.objects.count() == before + 1


@pytest.mark.django_db
def test_a_reason_is_demanded(base):
    for say in (
        lambda act: act.stale_closure(base.id, " ", select=list),
        lambda act: act.inherit_stale([base.id], [base.id], ""),
    ):
        with pytest.raises(InvalidValueError), record.act("x", actor=None, project=None) as act:
            say(act)


def release(thing, meanwhile: Callable[[], object] = lambda: None):
    with record.act("release", actor=None, project=thing.project_id) as act:
        act.used(thing)
        act.demand_fresh([thing.id], ConflictError)
        meanwhile()


@pytest.mark.django_db
def test_an_act_that_demands_what_is_fresh_is_refused_with_the_reason(ann, base, project):
    made = finish(base)
    release(made)
    withdraw(base, select=lambda ids: set(ids) & {made.id})
    before = Event.objects.count()
    with pytest.raises(ConflictError, match="wrong standard"):
        release(made)
    with pytest.raises(ConflictError), record.act("outer", actor=ann, project=project):
        release(made)
    release(base)  # what was withdrawn itself is not marked by that
    assert Event.objects.count() == before + 1


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


@pytest.mark.postgres_only  # SQLite has one writing transaction at a time
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["withdraw", "finish", "either"])
def test_two_open_transactions_never_lose_a_mark(base, first):
    source = finish(base)
    said = {name: threading.Event() for name in ("withdraw", "finish")}
    ended = {name: threading.Event() for name in ("withdraw", "finish")}

    def meet(own: str, other: str) -> Callable[[], None]:
        def meanwhile() -> None:
            selectors.is_stale([source.id])  # both have read before either has written
            said[own].set()
            assert said[other].wait(WAIT)
            if first == other:
                assert ended[other].wait(WAIT)

        return meanwhile

    def run(name: str, work: Callable[[], object]) -> object:
        result = work()
        ended[name].set()
        return result

    one, _ = in_thread(lambda: run("withdraw", lambda: withdraw(base, meanwhile=meet("withdraw", "finish"))))
    two, made = in_thread(lambda: run("finish", lambda: finish(source, meanwhile=meet("finish", "withdraw"))))
    for thread in (one, two):
        thread.join(2 * WAIT)
    (result,) = made
    assert isinstance(result, Image)
    assert selectors.is_stale([source.id, result.id]) == {source.id, result.id}
    assert len({mark["cause"] for mark in selectors.stale_marks([result.id])}) == 1
    assert uuid.UUID(str(result.id)) in selectors.is_stale([result.id])


@pytest.mark.postgres_only  # SQLite has one writing transaction at a time
@pytest.mark.django_db(transaction=True)
def test_what_is_marked_between_look_and_commit_is_refused(base):
    made = finish(base)
    looked, marked = threading.Event(), threading.Event()

    def meanwhile() -> None:
        assert not selectors.is_stale([made.id])
        looked.set()
        assert marked.wait(WAIT)

    def refused() -> str:
        with pytest.raises(ConflictError) as refusal:
            release(made, meanwhile)
        return str(refusal.value)

    thread, said = in_thread(refused)
    assert looked.wait(WAIT)
    withdraw(base, select=lambda ids: set(ids) & {made.id})
    marked.set()
    thread.join(2 * WAIT)
    assert len(said) == 1
    assert "wrong standard" in str(said[0])
    assert [event.verb for event in Event.objects.order_by("seq")] == ["make", "finish", "withdraw"]
