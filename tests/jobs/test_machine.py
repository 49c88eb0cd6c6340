"""Random histories of several jobs and workers against a model a few lines long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from apps.core.clock import DbNow
from apps.core.errors import ConflictError
from apps.jobs import endings, kernel, reaper, runner, services
from apps.jobs.endings import Ending
from apps.jobs.models import Job, JobAttempt
from apps.jobs.registry import ChildResult, Claim
from apps.projects.models import Project, User
from apps.provenance import record
from apps.provenance.models import Event
from tests.jobs.handlers import KIND

pytestmark = pytest.mark.django_db(transaction=True)
MOST = 3
JOBS = 2


@dataclass
class Model:
    """What a job is, as simply as it can be said."""

    status: str = "queued"
    attempt: int = 0
    live: bool = False
    cancel: bool = False
    ended: int = 0
    claims: list[Claim] = field(default_factory=list)

    @property
    def free(self) -> bool:
        return self.status == "queued" or (self.status == "running" and not self.live)

    def holds(self, claim: Claim) -> bool:
        return self.status == "running" and self.live and claim.attempt == self.attempt

    def end(self, status: str) -> None:
        self.status, self.live, self.ended = status, False, self.ended + 1


class Histories(RuleBasedStateMachine):
    """Each rule does one thing to the database and to the model, and compares what each says of it."""

    @initialize()
    def begin(self) -> None:
        self.user = User.objects.get()
        self.models: dict[Any, Model] = {}
        for _ in range(JOBS):
            with record.act("job.submit", actor=self.user, project=Project.objects.get().pk) as act:
                job = services.create_job(
                    actor=self.user,
                    project=Project.objects.get(),
                    kind=KIND,
                    params={"do": "nothing"},
                    inputs={},
                    act=act,
                )
            self.models[job.pk] = Model()

    def pick(self, number: int) -> tuple[Any, Model]:
        return list(self.models.items())[number % JOBS]

    @rule(number=st.integers(0, JOBS - 1))
    def claim(self, number: int) -> None:
        pk, model = self.pick(number)
        taken = kernel.claim(pk, kernel.worker_name())
        assert (taken is not None) == (model.free and model.attempt < MOST)
        if taken:
            model.status, model.live, model.attempt = "running", True, model.attempt + 1
            assert taken.attempt == model.attempt
            model.claims.append(taken)

    @rule(number=st.integers(0, JOBS - 1), which=st.integers(0, 9))
    def beat(self, number: int, which: int) -> None:
        _, model = self.pick(number)
        if model.claims:
            claim = model.claims[which % len(model.claims)]
            assert kernel.heartbeat(claim) == model.holds(claim)

    @rule(number=st.integers(0, JOBS - 1))
    def expire(self, number: int) -> None:
        pk, model = self.pick(number)
        Job.objects.filter(pk=pk, status="running").update(lease_until=DbNow(-1))
        model.live = False

    @rule(number=st.integers(0, JOBS - 1))
    def cancel(self, number: int) -> None:
        pk, model = self.pick(number)
        job = Job.objects.get(pk=pk)
        if model.ended:
            with pytest.raises(ConflictError):
                services.request_cancel(actor=self.user, job=job)
            return
        services.request_cancel(actor=self.user, job=job)
        model.cancel = True
        if model.free:
            model.end("cancelled")

    @rule(
        number=st.integers(0, JOBS - 1),
        which=st.integers(0, 9),
        how=st.sampled_from(["succeeded", "failed", "cancelled"]),
    )
    def finish(self, number: int, which: int, how: str) -> None:
        _, model = self.pick(number)
        if not model.claims:
            return
        claim = model.claims[which % len(model.claims)]
        ending = Ending(Job.Status(how), "code" if how == "failed" else "")
        may = model.holds(claim)
        try:
            if how == "succeeded":
                endings.finish_succeeded(claim, ChildResult({}), ending)
            else:
                endings.finish_without_result(claim, ending)
        except kernel.LeaseLostError:
            assert not may
        else:
            assert may
            model.end(how)

    @rule(number=st.integers(0, JOBS - 1), which=st.integers(0, 9))
    def release(self, number: int, which: int) -> None:
        _, model = self.pick(number)
        if not model.claims:
            return
        claim = model.claims[which % len(model.claims)]
        assert kernel.release(claim, outcome="stopping") == model.holds(claim)
        if model.holds(claim):
            model.status, model.live = "queued", False

    @rule()
    def reap(self) -> None:
        buried = set(reaper.reap().buried)
        expected = {pk for pk, model in self.models.items() if model.free and model.attempt >= MOST}
        assert buried == expected
        for pk in buried:
            self.models[pk].end("errored")

    @rule(number=st.integers(0, JOBS - 1))
    def ring_for_an_exhausted_job(self, number: int) -> None:
        pk, model = self.pick(number)
        if model.free and model.attempt < MOST:
            return  # that would run it; the runner's own tests do
        assert runner.execute(pk) == ""
        if model.free:
            model.end("errored")

    @invariant()
    def agrees(self) -> None:
        for pk, model in getattr(self, "models", {}).items():
            job = Job.objects.get(pk=pk)
            assert (job.status, job.attempt) == (model.status, model.attempt)
            assert job.cancel_requested == model.cancel
            assert (job.finished_at is not None) == bool(model.ended)
            assert Event.objects.filter(activity=pk).count() == model.ended <= 1
            assert JobAttempt.objects.filter(job=job).count() == model.attempt
            assert JobAttempt.objects.filter(job=job, ended_at=None).count() == (model.status == "running")


def test_random_histories(project: Project, settings: Any) -> None:
    settings.CORR_MAX_ATTEMPTS = MOST
    run_state_machine_as_test(Histories, settings=_SETTINGS)


_SETTINGS = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
