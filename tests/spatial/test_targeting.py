"""From a region to what a stage shows: position, depth, error, and files that read back to the same place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from apps.catalog.models import Instrument
from apps.spatial.exchange.navigator import read_nav
from apps.spatial.exchange.positions import read_csv, read_fibsemos
from apps.spatial.services import end_mount, override_transform
from tests.factories import (
    NOON,
    FrameFactory,
    InstrumentFactory,
    MountFactory,
    ProjectFactory,
    RoiFactory,
    SpecimenEventFactory,
    SpecimenFactory,
    UserFactory,
)
from tests.spatial.places import SENSES, join, make_image, moved

TURN = Rotation.from_euler("z", 90, degrees=True).as_matrix()
STAGE = SENSES | {
    "length_unit": "mm",
    "angle_unit": "deg",
    "field_of_view_um": 400,
    "x_min_um": -50_000,
    "x_max_um": 50_000,
    "tilt_max_deg": 60,
}


class Study:
    """An X-ray volume, an SEM image on a stage at 52 degrees, and a pit buried in the volume."""

    def __init__(self, **stage):
        self.specimen = SpecimenFactory()
        self.actor = self.specimen.project.created_by
        self.xrm = InstrumentFactory(manufacturer="Carl Zeiss X-ray Microscopy", modality="xrm")
        self.fib = InstrumentFactory(manufacturer="Thermo Fisher Scientific", stage_axes=STAGE | stage)
        self.volume = make_image(
            self.specimen, (100, 100, 100), (10.0, 10.0, 10.0), modality="xrm", instrument=self.xrm
        )
        self.mount = MountFactory(specimen=self.specimen, instrument=self.fib)
        self.sem = make_image(
            self.specimen,
            (1, 1000, 1000),
            (0.5, 0.5, 0.5),
            instrument=self.fib,
            mount=self.mount,
            position={"x": 3000.0, "y": 0.0, "z": 500.0, "rotation": 15.0, "tilt": 52.0},
            settings={"working_distance": {"value": 4.0, "unit": "mm"}},
        )
        # The volume's z runs down into the piece, the stage's z towards the source: turned by 180 degrees about x
        self.down = np.diag([1.0, -1.0, -1.0])
        self.first = join(self.volume.frame, self.sem.frame, moved((-100, 300, 0), self.down), 1.5)
        self.second = join(self.sem.frame, self.mount.frame, moved((2800, 0, 500), TURN), 2.0)
        self.pit = self.roi([400.0, 200.0, 30.0])

    def roi(self, point, **values):
        return RoiFactory(
            frame=self.volume.frame, name="pit", geometry={"type": "point", "coordinates": point}, **values
        )

    def surface(self, frame, corners, **values):
        geometry = {"type": "polygon", "coordinates": corners}
        return RoiFactory(frame=frame, name="top", purpose="surface", geometry=geometry, **values)


@pytest.fixture
def study(db):
    return Study()


@pytest.fixture
def ask(as_user):
    def get(study, roi=None, **query):
        query = {"mount": str(study.mount.pk)} | query
        client = as_user(study.actor)
        return client.get(f"/api/v1/rois/{(roi or study.pit).pk}/targeting/", query)

    return get


# In the SEM image the pit is at (400 - 100, 300 - 200, -30); on the stage, turned by 90 degrees, at (-100, 300, -30).
POINT = [2700.0, 300.0, 470.0]


def test_position_error_and_pose(study, ask):
    told = ask(study).json()
    assert told["point"] == pytest.approx(POINT)
    position = told["position"]
    assert [position[axis] for axis in "xyz"] == pytest.approx([2700, -300, 470]), "the reading along y falls"
    assert (position["rotation"], position["tilt"], position["working_distance"]) == (15.0, 52.0, 4000.0)
    assert told["pose_reason"] == ""
    sigma = np.hypot(1.5, 2.0)
    assert told["factor"] == pytest.approx(2.7955, rel=1e-4)
    assert told["u95_um"] == pytest.approx(2.7955 * sigma, rel=1e-4)
    assert np.allclose(told["covariance"], np.eye(3) * sigma**2)
    assert [step["transform"] for step in told["path"]] == [str(study.first.pk), str(study.second.pk)]
    assert told["depth"]["depth_um"] is None
    assert "no surface is drawn" in told["depth"]["reason"]
    assert told["warnings"] == []


def test_depth_below_a_surface_drawn_in_the_volume(study, ask):
    """Place and surface lie in one frame: what moves both does not blur the depth."""
    study.surface(study.volume.frame, [[0, 0, 0], [900, 0, 0], [900, 900, 0], [0, 900, 0]])
    depth = ask(study).json()["depth"]
    assert depth["depth_um"] == pytest.approx(30)
    assert depth["entry"] == pytest.approx([2700, 300, 500])
    assert [depth["entry_position"][axis] for axis in "xyz"] == pytest.approx([2700, -300, 500])
    assert depth["u95_um"] == pytest.approx(0, abs=1e-6)


def test_depth_below_a_tilted_surface_drawn_in_the_image(study, ask):
    """z = 20 + 0.1 x in the image; the place is at x = 300.  The image's own place counts its error once."""
    corners = [[x, y, 20 + 0.1 * x] for x, y in ((0, 0), (499, 0), (499, 499), (0, 499))]
    study.surface(study.sem.frame, corners)
    depth = ask(study).json()["depth"]
    assert depth["depth_um"] == pytest.approx(20 + 30 + 30)
    # only volume -> image separates the two; along the surface's normal over its z: sqrt(1 + 0.1^2) x 1.5 um
    assert depth["u95_um"] == pytest.approx(1.95996 * 1.5 * np.sqrt(1.01), rel=1e-4)


def test_depth_below_a_mesh_is_from_its_top(study, ask):
    geometry = {"type": "box", "coordinates": [[0, 0, -40], [499, 499, 12]]}
    from apps.spatial.roi_geometry import rebuilt, vertices_of

    skew = Rotation.from_euler("z", 1, degrees=True).as_matrix()
    RoiFactory(frame=study.sem.frame, purpose="surface", geometry=rebuilt(geometry, vertices_of(geometry) @ skew.T))
    assert ask(study).json()["depth"]["depth_um"] == pytest.approx(42)


def test_a_surface_that_ends_before_the_place_is_continued_with_a_warning(study, ask):
    study.surface(study.volume.frame, [[0, 0, 0], [300, 0, 0], [300, 300, 0], [0, 300, 0]])
    told = ask(study).json()
    assert told["depth"]["depth_um"] == pytest.approx(30)
    assert "100 um outside of the outline" in told["warnings"][0]
    beside = study.surface(study.volume.frame, [[0, 0, 5], [900, 0, 5], [900, 900, 5], [0, 900, 5]])
    assert ask(study).json()["depth"]["surface"] == str(beside.pk), "one over the place is better"
    chosen = ask(study, surface=str(beside.pk)).json()
    assert chosen["depth"]["depth_um"] == pytest.approx(25)


def test_the_nearest_landmarks_are_in_the_stage_frame_with_their_height(study, ask):
    corners = [(0, 0, 0), (400, 0, 0), (0, 400, 0), (400, 400, 0), (200, 200, 100)]
    pairs = [{"source": list(p), "target": (study.down @ p + [-100, 300, 0]).tolist(), "u_um": 1.0} for p in corners]
    fitted = {"method": "landmarks", "landmarks": pairs, "replaces": study.first}
    join(study.volume.frame, study.sem.frame, moved((-100, 300, 0), study.down), 1.0, **fitted)
    study.surface(study.volume.frame, [[0, 0, 0], [900, 0, 0], [900, 900, 0], [0, 900, 0]])
    near = sorted(ask(study).json()["landmarks"], key=lambda row: row["number"])
    assert [row["number"] for row in near] == [1, 3, 4]
    assert [row["distance_um"] for row in near] == pytest.approx([200, 200, np.hypot(200, 100)])
    # (400, 0, 0) -> image (300, 300, 0) -> stage (2800 - 300, 300, 500)
    assert near[0]["point"] == pytest.approx([2500, 300, 500])
    assert near[0]["position"]["y"] == pytest.approx(-300)
    assert near[0]["height_um"] == pytest.approx(0, abs=1e-9)
    assert near[2]["height_um"] == pytest.approx(-100)


def test_field_of_view_and_reach(study, ask):
    told = ask(study).json()
    assert told["field"]["fits"] is True
    assert told["field"]["needed_um"] == pytest.approx(2 * 2.7955 * 2.5, rel=1e-4)
    assert told["reach"] == {"within": True, "reason": ""}
    wide = RoiFactory(frame=study.volume.frame, geometry={"type": "box", "coordinates": [[0, 0, 0], [390, 9, 9]]})
    assert ask(study, wide).json()["field"]["fits"] is False
    Instrument.objects.filter(pk=study.fib.pk).update(stage_axes=SENSES | {"x_max_um": 2000, "tilt_max_deg": 50})
    told = ask(study).json()
    assert told["field"]["fits"] is None
    assert "not recorded" in told["field"]["reason"]
    assert told["reach"]["within"] is False
    assert "x 2700 um" in told["reach"]["reason"]
    assert "tilt 52 deg" in told["reach"]["reason"]


def test_without_an_image_of_the_mount_on_the_path_the_pose_is_not_known(study, ask):
    mount = MountFactory(specimen=study.specimen, instrument=study.fib)
    join(study.sem.frame, mount.frame, moved(), None)
    told = ask(study, mount=str(mount.pk)).json()
    assert told["position"]["tilt"] is None
    assert "no image on the path" in told["pose_reason"]
    assert told["u95_um"] is told["factor"] is told["covariance"] is None
    assert told["field"]["fits"] is None
    assert any("states no covariance" in line for line in told["warnings"])


FILES = [("csv", read_csv), ("fibsemos", read_fibsemos), ("nav", read_nav)]


@pytest.mark.parametrize(("form", "read"), FILES)
def test_each_file_reads_back_to_the_same_place(study, ask, form, read):
    study.surface(study.volume.frame, [[0, 0, 0], [900, 0, 0], [900, 900, 0], [0, 900, 0]])
    answer = ask(study, format=form)
    assert answer.status_code == 200, answer.content
    assert "attachment" in answer["Content-Disposition"]
    target, entry = read(answer.content.decode())
    assert [target.x, target.y, target.z] == pytest.approx([2700, -300, 470], rel=1e-12)
    assert [entry.x, entry.y, entry.z] == pytest.approx([2700, -300, 500], rel=1e-12)
    assert target.name.startswith("pit")
    if form != "nav":
        assert (target.rotation, target.tilt) == pytest.approx((15, 52))


def test_csv_is_in_the_units_of_the_stage_or_of_its_maker(study, ask):
    assert ask(study, format="csv").content.startswith(b"name,x_mm,y_mm,z_mm,rotation_deg,")
    Instrument.objects.filter(pk=study.fib.pk).update(stage_axes=SENSES)
    assert ask(study, format="csv").content.startswith(b"name,x_m,y_m,z_m,rotation_rad,")
    Instrument.objects.filter(pk=study.fib.pk).update(manufacturer="Home made")
    answer = ask(study, format="csv")
    assert (answer.status_code, answer.json()["code"]) == (409, "stage_units_unknown")
    assert "stage_axes.length_unit" in answer.json()["detail"]


def test_an_unknown_sense_is_refused_and_says_what_to_record(study, ask):
    Instrument.objects.filter(pk=study.fib.pk).update(stage_axes={"x": 1, "z": 0.5})
    answer = ask(study)
    assert (answer.status_code, answer.json()["code"]) == (409, "stage_sense_unknown")
    assert answer.json()["details"]["missing"] == ["stage_axes.y", "stage_axes.z"]
    Instrument.objects.filter(pk=study.fib.pk).update(stage_axes=None)
    assert "stage_axes.x" in ask(study).json()["detail"]


def test_a_transform_from_before_a_milling_step_is_refused_unless_overridden(study, ask):
    assert ask(study).status_code == 200
    SpecimenEventFactory(specimen=study.specimen, kind="mill")
    answer = ask(study)
    assert (answer.status_code, answer.json()["code"]) == (409, "state_changed")
    assert "mill" in answer.json()["detail"]
    named = answer.json()["details"]["transforms"]
    assert {row["transform"] for row in named} == {str(study.first.pk), str(study.second.pk)}
    study.specimen.refresh_from_db()
    for transform in (study.first, study.second):
        override_transform(
            actor=study.actor, transform=transform, state=study.specimen.current_state, reason="far from the trench"
        )
    told = ask(study).json()
    assert told["point"] == pytest.approx(POINT)
    assert any("far from the trench" in line for line in told["warnings"])


def test_an_ended_mount_and_no_path_are_refused(study, ask):
    other = MountFactory(specimen=study.specimen, instrument=study.fib)
    answer = ask(study, mount=str(other.pk))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_path")
    end_mount(actor=study.actor, mount=study.mount, unmounted_at=NOON)
    answer = ask(study)
    assert (answer.status_code, answer.json()["code"]) == (409, "mount_ended")


def test_bad_questions_are_refused_by_name(study, ask):
    def fields(**query):
        answer = ask(study, **query)
        assert answer.status_code == 400, answer.content
        return list(answer.json()["errors"])

    assert fields(mount="x") == ["mount"]
    assert fields(mount="3f0f3f0f-0000-4000-8000-000000000000") == ["mount"]
    assert fields(format="pdf") == ["format"]
    assert fields(surface=str(study.pit.pk)) == ["surface"]
    assert fields(depth="3") == ["depth"]
    own = SpecimenFactory(project=ProjectFactory(actor=study.actor))
    assert fields(mount=str(MountFactory(specimen=own, instrument=study.fib).pk)) == ["mount"]


def test_who_sees(study, as_user):
    url = f"/api/v1/rois/{study.pit.pk}/targeting/?mount={study.mount.pk}"
    assert as_user(UserFactory()).get(url).status_code == 404
    hidden = MountFactory()
    answer = as_user(study.actor).get(f"/api/v1/rois/{study.pit.pk}/targeting/?mount={hidden.pk}")
    assert list(answer.json()["errors"]) == ["mount"]
    assert FrameFactory().pk


def test_the_field_of_view_is_about_the_place_that_is_driven_to(study, ask):
    """A triangle's centroid is a third of its height from its base: the far corner is two thirds away."""
    corners = [[0.0, 0.0, 0.0], [300.0, 0.0, 0.0], [0.0, 300.0, 0.0]]
    roi = RoiFactory(frame=study.volume.frame, geometry={"type": "polygon", "coordinates": corners})
    told = ask(study, roi).json()["field"]
    assert told["needed_um"] == pytest.approx(400 + 2 * 2.7955 * 2.5, rel=1e-4)
    assert told["fits"] is False


def test_depth_is_told_to_be_along_the_stage_where_the_beam_may_not_be(study, ask):
    study.surface(study.volume.frame, [[0, 0, 0], [900, 0, 0], [900, 900, 0], [0, 900, 0]])
    assert "the tilt is 52 degrees" in " ".join(ask(study).json()["warnings"])
    study.sem.acquisition.position["tilt"] = 0.0
    study.sem.acquisition.save(update_fields=["position"])
    assert ask(study).json()["warnings"] == []
    mount = MountFactory(specimen=study.specimen, instrument=study.fib)
    join(study.sem.frame, mount.frame, moved())
    assert "the tilt is not known" in " ".join(ask(study, mount=str(mount.pk)).json()["warnings"])


def test_a_surface_reached_through_what_does_not_hold_any_more_is_left_out(study, ask):
    SpecimenEventFactory(specimen=study.specimen, kind="mill")
    study.specimen.refresh_from_db()
    state, why = study.specimen.current_state, "far from the trench"
    override_transform(actor=study.actor, transform=study.second, state=state, reason=why)
    pit = RoiFactory(frame=study.sem.frame, geometry={"type": "point", "coordinates": [300.0, 100.0, -30.0]})
    study.surface(study.volume.frame, [[0, 0, 0], [900, 0, 0], [900, 900, 0], [0, 900, 0]])
    told = ask(study, pit).json()
    assert told["depth"]["depth_um"] is None
    assert "surface top is left out" in told["depth"]["reason"]
    assert "mill" in told["depth"]["reason"]
    own = study.surface(study.sem.frame, [[0, 0, 0], [499, 0, 0], [499, 499, 0], [0, 499, 0]])
    told = ask(study, pit).json()
    assert told["depth"]["surface"] == str(own.pk)
    assert "surface top is left out" in " ".join(told["warnings"])
    override_transform(actor=study.actor, transform=study.first, state=state, reason=why)
    assert "left out" not in " ".join(ask(study, pit).json()["warnings"])


def test_files_carry_the_warnings(study, ask):
    RoiFactory(
        frame=study.volume.frame,
        name="top µ",
        purpose="surface",
        geometry={"type": "polygon", "coordinates": [[0, 0, 0], [300, 0, 0], [300, 300, 0], [0, 300, 0]]},
    )
    for form in ("csv", "fibsemos", "nav"):
        said = ask(study, format=form)["Corr-Warnings"]
        assert said.isascii()
        assert "surface top ?: its plane was continued; depth and entry are along z of the stage" in said
    notes = [line for line in ask(study, format="nav").content.decode().splitlines() if line.startswith("Note")]
    assert len(notes) == 2
    assert all("surface top µ: its plane was continued" in note for note in notes)
