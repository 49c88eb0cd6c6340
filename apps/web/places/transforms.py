"""What the page of a transform shows: what it does, how well it fits, who decided what, and what rests on it."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from django.db.models import Q

from analyses.sdk.propagation import expanded_error, propagate
from analyses.sdk.spatial import Decomposition, apply, decompose
from apps.catalog.models import State
from apps.catalog.selectors import would_go_stale
from apps.core.errors import ConflictError
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.results.models import Property
from apps.spatial import validity
from apps.spatial.geometry import residual_um
from apps.spatial.loops import Alternative, contradicting
from apps.spatial.models import Landmark, Roi, Transform, TransformDecision
from apps.spatial.propagation import uncertain_map
from apps.spatial.roi_geometry import Floats, box_corners
from apps.spatial.selectors import list_transforms
from apps.web.places.names import transform_name, transforms_by_id
from apps.web.present.lengths import format_length, significant
from apps.web.present.residuals import Pair, Plot, plot_of

RESTING: Final = 2_000
_SHOWN: Final = 50
_SAME: Final = 1e-9  # relative: what rounding may do to a residual that is computed again
_LEVEL: Final = 1e-3  # degrees and parts: less is said to be none
NAMES: Final = {
    "corr:Roi": "regions",
    "corr:Transform": "transforms",
    "corr:Image": "images",
    "corr:Property": "numbers",
    "corr:Found": "found positions",
    "corr:Frame": "frames",
    "corr:Table": "tables",
}


@dataclass(frozen=True)
class Resting:
    """What would go stale: rows that have a page, and how many there are of each kind."""

    regions: list[Roi]
    transforms: list[Transform]
    images: list[Image]
    numbers: list[Property]
    counts: list[tuple[str, int]]
    total: int
    truncated: bool


@dataclass(frozen=True)
class PairRow:
    """A landmark as a row of the table."""

    landmark: Landmark
    number: int
    source: str
    target: str
    u: str
    residual: str
    left_out: str
    suspect: bool


@dataclass(frozen=True)
class Check:
    """The stored residual beside the one computed now."""

    stored: float | None
    again: float | None

    @property
    def agrees(self) -> bool:
        """True if they are one number, but for rounding."""
        if self.stored is None or self.again is None:
            return self.stored is None and self.again is None
        return math.isclose(self.stored, self.again, rel_tol=_SAME, abs_tol=1e-9)


@dataclass(frozen=True)
class ErrorAt:
    """95 % error of what the transform maps, at one place of its source."""

    place: str
    error: str


@dataclass(frozen=True)
class StateRow:
    """Whether the transform holds for a state; ``override`` is the reason of who uses it all the same."""

    state: State
    holds: bool
    named: bool
    changes: str
    override: str


@dataclass(frozen=True)
class LoopRow:
    """Another way between the same frames."""

    other: Alternative
    names: list[tuple[uuid.UUID, str]]
    closure: str
    verdict: str


def transform(user: User, pk: uuid.UUID) -> Transform:
    """One transform with what its page needs."""
    related = ("project", "source__specimen", "target__specimen", "source__extent", "target__extent")
    rows = list_transforms(user).select_related(
        *related, "superseded_by", "supersedes", "job", "calibration__instrument", "created_by"
    )
    return access.get_visible(rows, user, pk)


# ------------------------------------------------------------------------------------------------------------- in words


def decomposition_words(row: Transform) -> list[tuple[str, str]]:
    """Return what the matrix does: turn, scale, shear, mirror and shift, each in a phrase."""
    if row.matrix is None:
        return [("Map", "a displacement field: every point moves by itself, there is no matrix")]
    parts = decompose(np.array(row.matrix, np.float64).reshape(4, 4))
    return [
        ("Rotation", _turn(parts)),
        ("Scale", _scale(parts)),
        ("Shear", f"{significant(parts.shear, 2)} of the largest scale" if parts.shear > _LEVEL * 0.1 else "none"),
        ("Mirror", "space is turned inside out: the mirror z → −z acts first" if parts.mirrored else "none"),
        ("Shift", _shift(parts)),
    ]


def _turn(parts: Decomposition) -> str:
    if parts.angle_deg < _LEVEL:
        return "none"
    x, y, z = (significant(float(value), 3) for value in parts.axis)
    about = ", ".join(f"{axis} {angle:.3f}°" for axis, angle in zip("xyz", parts.euler_deg, strict=True))
    return f"{parts.angle_deg:.3f}° about the axis ({x}, {y}, {z}); as turns about fixed x, y, z: {about}"


def _scale(parts: Decomposition) -> str:
    scales = parts.scales
    if float(np.abs(scales - 1.0).max()) < 1e-9:
        return "none: lengths stay as they are"
    if float(np.ptp(scales)) < 1e-9 * float(scales.max()):
        return f"{significant(float(scales[0]), 6)} in every direction"
    return f"{' × '.join(significant(float(value), 6) for value in scales)} along its principal directions"


def _shift(parts: Decomposition) -> str:
    length = float(np.linalg.norm(parts.translation_um))
    if length == 0.0:
        return "none"
    x, y, z = (significant(float(value), 6) for value in parts.translation_um)
    return f"({x}, {y}, {z}) µm, {format_length(length)} in all"


def errors_of(row: Transform) -> tuple[list[ErrorAt], str]:
    """Return the 95 % error at the middle and the corners of the source's image, and what there is to say of it."""
    points, named = _places(row)
    try:
        step = uncertain_map(row)
    except ConflictError as error:
        return [], f"{error.message[:1].upper()}{error.message[1:]}."
    freedom = np.inf if row.degrees_of_freedom is None else float(row.degrees_of_freedom)
    mapped = propagate(points, [step])
    lengths = expanded_error(mapped.covariances, np.full(len(points), freedom))
    found = [ErrorAt(name, format_length(float(length))) for name, length in zip(named, lengths, strict=True)]
    said = (
        "The errors were given; 95 % is 2.80 standard errors in space, 2.45 in the plane."
        if math.isinf(freedom)
        else f"The variance was estimated from {row.degrees_of_freedom} degrees of freedom; the factor is Hotelling's."
    )
    return found, said


def _places(row: Transform) -> tuple[Floats, list[str]]:
    """The middle and the outermost corners of what the source's image fills; the landmarks' mean without an image."""
    extent = getattr(row.source, "extent", None)
    if extent is None:
        pairs = [[mark.source_x, mark.source_y, mark.source_z] for mark in row.landmarks.all()]
        if pairs:
            return np.array(pairs, np.float64).mean(axis=0)[None], ["Mean of the landmarks"]
        return np.zeros((1, 3)), ["Origin of the source frame"]
    low = np.array([extent.x_min, extent.y_min, extent.z_min])
    high = np.array([extent.x_max, extent.y_max, extent.z_max])
    corners = np.unique(box_corners(low, high), axis=0)
    points = np.vstack([(low + high)[None] / 2.0, corners])
    return points, ["Middle of the image", *(_corner(corner, low, high) for corner in corners)]


def _corner(corner: Floats, low: Floats, high: Floats) -> str:
    ends = [
        f"{axis} {'least' if value == least else 'most'}"
        for axis, value, least, most in zip("xyz", corner, low, high, strict=True)
        if least != most
    ]
    return f"Corner, {', '.join(ends)}"


# ------------------------------------------------------------------------------------------------------------ landmarks


def pair_rows(row: Transform) -> list[PairRow]:
    """Return the landmarks with their residuals, leave-one-out errors and whether they are suspected."""
    fit = row.facts.get("fit", {})
    left_out, suspects = fit.get("leave_one_out_um", []), set(fit.get("suspects", []))
    found = []
    for mark in row.landmarks.all():
        missed = left_out[mark.number] if mark.number < len(left_out) else None
        found.append(
            PairRow(
                landmark=mark,
                number=mark.number + 1,
                source=_coordinates(mark, "source"),
                target=_coordinates(mark, "target"),
                u="" if mark.u_um is None else format_length(mark.u_um),
                residual="" if mark.residual_um is None else format_length(mark.residual_um),
                left_out="" if missed is None else format_length(missed),
                suspect=mark.number in suspects,
            )
        )
    return found


def _coordinates(mark: Landmark, end: str) -> str:
    return ", ".join(significant(getattr(mark, f"{end}_{axis}"), 6) for axis in "xyz")


def residual_plot(row: Transform, rows: Sequence[PairRow]) -> Plot | None:
    """Return the residuals as a picture; None without landmarks or without a matrix."""
    if row.matrix is None or not rows:
        return None
    matrix = np.array(row.matrix, np.float64).reshape(4, 4)
    marks = [item.landmark for item in rows]
    sources = np.array([[mark.source_x, mark.source_y, mark.source_z] for mark in marks])
    targets = np.array([[mark.target_x, mark.target_y, mark.target_z] for mark in marks])
    misses = apply(matrix, sources) - targets
    return plot_of(
        [
            Pair(str(item.number), target, miss, item.landmark.state, item.suspect)
            for item, target, miss in zip(rows, targets, misses, strict=True)
        ]
    )


def residual_check(row: Transform) -> Check:
    """Compute the residual again from the landmarks that are stored."""
    if row.matrix is None:
        return Check(None, None)
    active = [mark for mark in row.landmarks.all() if mark.state == Landmark.State.ACTIVE]
    pairs = [
        ([mark.source_x, mark.source_y, mark.source_z], [mark.target_x, mark.target_y, mark.target_z])
        for mark in active
    ]
    return Check(row.residual_um, residual_um(row.matrix, pairs))


def held_out_words(row: Transform) -> tuple[str, bool | None]:
    """Return what held-out pairs say of the transform, and whether they agree (None: not judged)."""
    said = row.facts.get("held_out")
    if not said:
        return (
            "No pairs were held out: the stated error was never checked against any, and ranks below one that was.",
            None,
        )
    count = (
        f"{said['count']} pair{'s' if said['count'] != 1 else ''} held out, missed by {format_length(said['rms_um'])}"
    )
    if "agrees" not in said:
        return f"{count} (root mean square); without an error of the map or of the pairs there is no verdict.", None
    p = significant(float(said["p_value"]), 2)
    if said["agrees"]:
        return f"{count} (root mean square), as the stated error predicts (p = {p}).", True
    return f"{count} (root mean square): they contradict the stated error (p = {p}).", False


# ------------------------------------------------------------------------------------------------------------- validity


def state_rows(row: Transform) -> list[StateRow]:
    """Return the states of the specimens of both frames, and whether the transform holds for each."""
    specimens = [frame.specimen for frame in (row.source, row.target) if frame.specimen is not None]
    states = State.objects.filter(specimen__in=[specimen.pk for specimen in specimens]).select_related("specimen")
    lines = validity.state_lines([specimen.pk for specimen in specimens])
    named = frozenset(state.pk for state in row.valid_states.all())
    overrides = {item.state_id: item.reason for item in row.overrides.all()}
    found = []
    for state in states.order_by("specimen__name", "specimen_id", "number"):
        line = lines[state.pk]
        out = validity.concern(line, lines).excluded_by(named)
        changes = ", ".join(validity.changes_between(named, line, lines)) if out else ""
        found.append(StateRow(state, not out, state.pk in named, changes, overrides.get(state.pk, "")))
    return found


def loop_rows(row: Transform) -> list[LoopRow]:
    """Return the other ways between the frames, and whether they contradict this one."""
    others = contradicting(row)
    rows = transforms_by_id({pk for other in others for pk in other.path.transforms})
    return [
        LoopRow(
            other=other,
            names=[(pk, transform_name(rows[pk])) for pk in other.path.transforms],
            closure=format_length(float(np.linalg.norm(other.closure_um))),
            verdict=_loop_verdict(other),
        )
        for other in others
    ]


def _loop_verdict(other: Alternative) -> str:
    if other.p_value is None:
        return "not judged: an error on the way is not known"
    p = significant(other.p_value, 2)
    return f"contradicts it (p = {p})" if other.contradicts else f"agrees with it (p = {p})"


# -------------------------------------------------------------------------------------------------------------- resting


def resting_on(cause: uuid.UUID, user: User) -> Resting:
    """Return what would go stale if a thing were withdrawn, as far as the caller may see it."""
    things = would_go_stale(cause, user, limit=RESTING + 1)
    ids: dict[str, list[uuid.UUID]] = {}
    for thing in things:
        ids.setdefault(thing["type"], []).append(thing["id"])
    counts = Counter({NAMES.get(kind, "other things"): 0 for kind in ids})
    for kind, found in ids.items():
        counts[NAMES.get(kind, "other things")] += len(found)

    def seen(model: Any, kind: str) -> Any:
        return access.visible(model.objects.filter(pk__in=ids.get(kind, [])), user)

    return Resting(
        regions=list(seen(Roi, "corr:Roi").defer("geometry").order_by("name")[:_SHOWN]),
        transforms=list(seen(Transform, "corr:Transform").select_related("source", "target")[:_SHOWN]),
        images=list(seen(Image, "corr:Image").order_by("name")[:_SHOWN]),
        numbers=list(seen(Property, "corr:Property").select_related("job", "image")[:_SHOWN]),
        counts=sorted(counts.items(), key=lambda item: -item[1]),
        total=len(things),
        truncated=len(things) > RESTING,
    )


def images_of(row: Transform, user: User) -> list[Image]:
    """Return the images in the frames that a transform joins, source and target; empty where one has none."""
    ends = [row.source_id, row.target_id]
    rows = Image.objects.filter(Q(frame__in=ends) | Q(calibrated_frame__in=ends), superseded_by__isnull=True)
    known = {image.calibrated_frame_id or image.frame_id: image for image in access.visible(rows, user)}
    return [known[end] for end in ends] if all(end in known for end in ends) else []


def standing_of(row: Transform) -> Transform | None:
    """Return the accepted transform between the same frames that is not this one."""
    ends = [row.source_id, row.target_id]
    rows = Transform.objects.filter(source__in=ends, target__in=ends, status=Transform.Status.ACCEPTED)
    return rows.exclude(pk=row.pk).select_related("source", "target").first()


def decisions_of(row: Transform) -> list[TransformDecision]:
    """Return the history of acceptance, the newest first."""
    rows = TransformDecision.objects.filter(transform=row).select_related(
        "decided_by", "other__source", "other__target"
    )
    return list(rows.order_by("-created_at"))
