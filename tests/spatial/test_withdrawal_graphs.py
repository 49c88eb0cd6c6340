"""What goes stale with a transform or a calibration is what rests on it: random graphs of frames against networkx.

Frames, transforms, regions and what was decided about them are made by the services that make them in the lab; what
jobs leave is said to the record as the runner says it.  What each rests on is written down here, apart from the record.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import pytest

from apps.catalog.models import Calibration
from apps.catalog.services import withdraw_calibration
from apps.core.errors import ConflictError
from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.provenance.models import Node
from apps.spatial import services
from apps.spatial.models import Frame, FrameExtent, Mount, Roi, Targeting, Transform
from apps.spatial.services.calibrated import open_calibrated_frame
from apps.spatial.services.frames import open_frame
from apps.spatial.services.transforms import add_transform
from apps.spatial.targeting import target_roi
from apps.spatial.targeting_history import history_between
from tests.factories import (
    CalibrationFactory,
    InstrumentFactory,
    MountFactory,
    RoiFactory,
    SpecimenEventFactory,
    SpecimenFactory,
    StaffFactory,
    TransformFactory,
)
from tests.spatial.places import SENSES, join, moved, spread
from tests.spatial.test_targeting import Study

pytestmark = pytest.mark.django_db
GRAPHS = 100
DECIDED = ("corr:TransformDecision", "corr:TransformOverride")


@dataclass
class World:
    """Images of one specimen on one instrument, and an edge from each thing to what it rests on."""

    rng: random.Random
    instrument: Any
    specimen: Any
    mount: Mount
    calibrations: list[Calibration]
    rests_on: nx.DiGraph = field(default_factory=nx.DiGraph)
    frames: list[Frame] = field(default_factory=list)
    images: list[uuid.UUID] = field(default_factory=list)
    transforms: list[Transform] = field(default_factory=list)
    rois: list[Roi] = field(default_factory=list)

    @property
    def actor(self) -> Any:
        return self.specimen.project.created_by

    def act(self, verb: str) -> Any:
        return record.act(verb, actor=self.actor, project=self.specimen.project_id)

    def rest(self, thing: uuid.UUID, *grounds: uuid.UUID) -> None:
        self.rests_on.add_node(thing)
        self.rests_on.add_edges_from((thing, ground) for ground in grounds)

    def image(self) -> None:
        """An image in its nominal frame."""
        with self.act("publish") as act:
            frame = open_frame(
                act, Frame(project=self.specimen.project, kind="image", name="image", description="made", specimen=None)
            )
            FrameExtent.objects.create(frame=frame, x_min=0, x_max=9, y_min=0, y_max=9, z_min=0, z_max=9)
            image = act.entity("corr:Image")
        self.frames.append(frame)
        self.images.append(image)
        self.rest(frame.pk)
        self.rest(image)

    def calibrate(self) -> None:
        """A version of an image in the frame that a calibration makes of the nominal one."""
        nominal = self.rng.choice([frame for frame in self.frames if frame.kind == "image"])
        calibration = self.rng.choice(self.calibrations)
        known = Transform.objects.filter(source=nominal, calibration=calibration).exists()
        with self.act("apply_calibration") as act:
            edge = open_calibrated_frame(act=act, nominal=nominal, calibration=calibration, actor=self.actor)
            image = act.entity("corr:Image")
        self.rest(image, calibration.pk, nominal.pk, *([edge.pk] if known else []))
        self.images.append(image)
        if not known:
            self.frames.append(edge.target)
            self.rest(edge.target.pk, calibration.pk, nominal.pk)
            self.rest(edge.pk, calibration.pk, nominal.pk, edge.target.pk)

    def join(self) -> None:
        """A transform typed between two frames and accepted, or one that corrects another and stays a candidate."""
        former = self.rng.choice([None, *self.transforms])
        if former is not None and not hasattr(former, "superseded_by"):
            ends = (former.source, former.target)
        else:
            former, ends = None, tuple(self.rng.sample([*self.frames, self.mount.frame], 2))
        made = TransformFactory(
            source=ends[0], target=ends[1], matrix=moved((1, 2, 3)), covariance=spread(1.0), supersedes=former
        )
        self.rest(made.pk, ends[0].pk, ends[1].pk)
        self.transforms.append(made)
        self._accept(made)

    def _accept(self, transform: Transform) -> None:
        try:
            services.accept_transform(actor=self.actor, transform=transform, no_residual_reason="made")
        except ConflictError:
            return

    def register(self) -> None:
        """A job that finds a transform, sometimes from another one."""
        image, begin = self.rng.choice(self.images), self.rng.choice([None, *self.transforms])
        ends = self.rng.sample(self.frames, 2)
        given = [image] + ([begin.pk] if begin else [])
        with self.act("run") as act:
            for one in given:
                act.used(one)
            made = add_transform(
                act,
                Transform(
                    source=ends[0],
                    target=ends[1],
                    kind="rigid",
                    method="registration",
                    matrix=moved((3, 2, 1)),
                    covariance=spread(1.0),
                    residual_um=0.1,
                    created_by=self.actor,
                ),
            )
            for one in given:
                act.derived(made, one)
        self.rest(made.pk, ends[0].pk, ends[1].pk, *given)
        self.transforms.append(made)
        self._accept(made)

    def map(self) -> None:
        """An image written in another's frame, and a number computed of it."""
        if not self.transforms:
            return
        image, transform = self.rng.choice(self.images), self.rng.choice(self.transforms)
        with self.act("run") as act:
            act.used(image)
            act.used(transform)
            mapped = act.entity("corr:Image")
            act.derived(mapped, transform)
        with self.act("run") as act:
            act.used(mapped)
            number = act.entity("corr:Property")
        self.rest(mapped, image, transform.pk)
        self.rest(number, mapped)
        self.images.append(mapped)

    def mark(self) -> None:
        """A region in a frame, or a new version of one."""
        former = self.rng.choice([None, *self.rois])
        if former is not None and not hasattr(former, "superseded_by"):
            roi = RoiFactory(frame=former.frame, supersedes=former)
        else:
            roi = RoiFactory(frame=self.rng.choice(self.frames))
        self.rest(roi.pk, roi.frame_id)
        self.rois.append(roi)

    def send(self) -> None:
        """A region sent to the stage along the best path, and sometimes found there."""
        if not self.rois:
            return
        roi = self.rng.choice(self.rois)
        try:
            path = target_roi(roi, self.mount).path
            services.send_roi(actor=self.actor, roi=roi, mount=self.mount)
        except ConflictError:
            return
        self.rest(ledger.newest_versions([roi.pk])[roi.pk], roi.pk, *path.transforms)
        self.rest(Targeting.objects.filter(roi=roi).latest("created_at").pk, roi.pk, *path.transforms)
        if self.rng.random() < 0.5:
            found = services.record_found(
                actor=self.actor, roi=roi, mount=self.mount, position={"x": 0, "y": 0, "z": 0}
            )
            self.rest(found.pk, roi.pk, *path.transforms)
            self.rest(ledger.newest_versions([roi.pk])[roi.pk], roi.pk)

    def falls_with(self, cause: uuid.UUID) -> set[uuid.UUID]:
        return set(nx.ancestors(self.rests_on, cause)) if cause in self.rests_on else set()


MOVES = (
    World.image,
    World.calibrate,
    World.calibrate,
    World.join,
    World.join,
    World.register,
    World.map,
    World.mark,
    World.send,
)


def world(seed: int, instrument: Any) -> World:
    rng = random.Random(seed)
    specimen = SpecimenFactory()
    made = World(
        rng,
        instrument,
        specimen,
        MountFactory(specimen=specimen, instrument=instrument),
        [CalibrationFactory(instrument=instrument) for _ in range(2)],
    )
    made.rest(made.mount.frame.pk)
    for move in (World.image, World.image, World.calibrate, World.join, World.mark):
        move(made)
    for _ in range(rng.randint(3, 9)):
        rng.choice(MOVES)(made)
    return made


def entities(project: uuid.UUID) -> dict[uuid.UUID, str]:
    return dict(Node.objects.filter(project=project, kind="entity").values_list("id", "type"))


@pytest.mark.parametrize("seed", range(0, GRAPHS, 10))
def test_what_falls_is_what_networkx_lists(seed: int, as_user: Any) -> None:
    instrument = InstrumentFactory(stage_axes=SENSES)
    staff = StaffFactory()
    fallen: Counter[str] = Counter()
    for number in range(seed, seed + 10):
        made = world(number, instrument)
        expected_types = entities(made.specimen.project_id)
        matrices = dict(Transform.objects.filter(project=made.specimen.project).values_list("pk", "matrix"))
        if number % 2 and made.transforms:
            cause = made.rng.choice(made.transforms)
            url = f"/api/v1/transforms/{cause.pk}/withdraw/"
            answer = as_user(made.actor).post(url, {"reason": "the stage had slipped"}, format="json")
            assert answer.status_code == 200, answer.content
            told = {uuid.UUID(thing["id"]) for thing in answer.json()["stale"]}
            things = ledger.things_of(made.falls_with(cause.pk))
            assert told == {things.get(pk, pk) for pk in made.falls_with(cause.pk)}
        else:
            cause = made.rng.choice(made.calibrations)
            assert set(withdraw_calibration(actor=staff, calibration=cause, reason="damaged")) == made.falls_with(
                cause.pk
            )
        assert ledger.is_stale(expected_types) == made.falls_with(cause.pk)
        assert {mark["cause"] for mark in ledger.stale_marks(made.falls_with(cause.pk))} <= {cause.pk}
        fallen.update(expected_types[pk] for pk in made.falls_with(cause.pk))
        # nothing is overwritten
        assert matrices == dict(Transform.objects.filter(project=made.specimen.project).values_list("pk", "matrix"))
    assert not set(DECIDED) & set(fallen)
    assert {"corr:Transform", "corr:Image"} <= set(fallen), fallen


@pytest.fixture
def study(db: None) -> Study:
    return Study()


def sentences(client: Any, thing: str) -> str:
    return " ".join(said["text"] for said in client.get(f"/api/v1/{thing}/derivation/").json()["sentences"])


def test_a_region_sent_along_a_transform_that_falls_says_so_until_it_is_sent_anew(study: Study, as_user: Any) -> None:
    client, pit = as_user(study.actor), f"rois/{study.pit.pk}"
    body = {"mount": str(study.mount.pk), "reason": "deepest pit at 12 h"}
    assert client.post(f"/api/v1/{pit}/target/", body).status_code == 200
    answer = client.post(f"/api/v1/transforms/{study.first.pk}/withdraw/", {"reason": "wrong grain"}).json()
    sent = {"type": "corr:Targeting", "id": str(Targeting.objects.get().pk)}
    told = sorted(answer["stale"], key=lambda thing: thing["type"])
    assert told == [{"type": "corr:Roi", "id": str(study.pit.pk)}, sent]
    told = client.get(f"/api/v1/{pit}/stale/").json()
    assert (told["stale"], [mark["reason"] for mark in told["marks"]]) == (True, ["wrong grain"])
    assert [mark["reason"] for mark in client.get(f"/api/v1/{pit}/derivation/").json()["stale"]] == ["wrong grain"]
    join(study.volume.frame, study.sem.frame, moved((-90, 300, 0), study.down), 1.5)
    (warning,) = client.get(f"/api/v1/{pit}/targeting/?mount={study.mount.pk}").json()["warnings"]
    assert "send it anew" in warning
    assert client.post(f"/api/v1/{pit}/target/", body).status_code == 200
    assert client.get(f"/api/v1/{pit}/stale/").json()["stale"] is False
    assert client.get(f"/api/v1/{pit}/targeting/?mount={study.mount.pk}").json()["warnings"] == []


def test_a_prediction_that_fell_teaches_nothing_and_what_was_seen_stays_seen(study: Study, as_user: Any) -> None:
    client = as_user(study.actor)
    body = {"mount": str(study.mount.pk), "position": {"x": 2703.0, "y": -304.0, "z": 470.0}}
    found = client.post(f"/api/v1/rois/{study.pit.pk}/found/", body).json()
    assert client.get("/api/v1/found/history/").json()["results"][0]["count"] == 1
    answer = client.post(f"/api/v1/transforms/{study.second.pk}/withdraw/", {"reason": "the stage had slipped"}).json()
    assert answer["stale"] == [{"type": "corr:Found", "id": found["id"]}]
    assert client.get(f"/api/v1/found/{found['id']}/stale/").json()["stale"] is True
    assert client.get("/api/v1/found/history/").json()["results"] == []
    assert history_between(study.xrm.pk, study.fib.pk) is None
    assert client.get(f"/api/v1/rois/{study.pit.pk}/").json()["status"] == "acquired"
    assert client.get(f"/api/v1/rois/{study.pit.pk}/stale/").json()["stale"] is False


def test_what_was_targeted_after_milling_tells_by_whose_leave(study: Study, as_user: Any) -> None:
    client, pit = as_user(study.actor), f"rois/{study.pit.pk}"
    body = {"mount": str(study.mount.pk), "reason": "deepest pit at 12 h"}
    SpecimenEventFactory(specimen=study.specimen, kind="mill")
    refused = client.post(f"/api/v1/{pit}/target/", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "state_changed")
    for named in refused.json()["details"]["transforms"]:
        leave = {"state": named["state"], "reason": "the trench is far from here"}
        assert client.post(f"/api/v1/transforms/{named['transform']}/override/", leave).status_code == 200
    warnings = client.get(f"/api/v1/{pit}/targeting/?mount={study.mount.pk}").json()["warnings"]
    assert len([line for line in warnings if "mill" in line and "the trench is far from here" in line]) == 2
    assert client.post(f"/api/v1/{pit}/target/", body).status_code == 200
    found = client.post(
        f"/api/v1/{pit}/found/", {"mount": body["mount"], "position": {"x": 2703.0, "y": -304.0, "z": 470.0}}
    ).json()
    for thing in (pit, f"found/{found['id']}"):
        story = sentences(client, thing)
        assert f"gave leave to use the rigid transform from {study.volume.frame.name}" in story, story
        assert "for which it does not hold" in story
        assert "the trench is far from here" in story
        assert "with leave to use the rigid transform" in story
    story = sentences(client, pit)
    assert f"sent region pit to the mount of {study.specimen.name} on {study.fib.name} along the rigid" in story, story
    assert "deepest pit at 12 h" in story
