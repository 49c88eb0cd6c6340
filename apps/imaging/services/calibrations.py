"""Apply a calibration to images: each gets a new version whose lengths are in the calibrated frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from apps.catalog.models import Calibration
from apps.core.clean import TEXT_LENGTH, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging import choice
from apps.imaging.models import Image
from apps.imaging.selectors import require_calibrated
from apps.imaging.services.publish import image_attributes
from apps.imaging.services.rescale import carry_scale, next_version, say_origin
from apps.projects import access
from apps.projects.models import Project, User
from apps.provenance import record
from apps.spatial.services import open_calibrated_frame

MAX_IMAGES: Final = 200


@dataclass(frozen=True)
class Left:
    """An image of the calibration's instrument that was left as it is, and why."""

    image: Image
    why: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """What became of the images of an instrument; ``more`` says that the call ended at its limit."""

    made: list[Image]
    left: list[Left]
    more: bool


def apply_calibration(*, actor: User, image: Image, calibration: Calibration | None, reason: str) -> Image:
    """Put an image under a calibration, or take it off the one it is under: a new version over the same samples.

    Whoever names a calibration may apply it where it does not hold by its dates or range, or where that cannot be
    judged; the image is flagged then, and with it every length computed from it.

    Parameters
    ----------
    actor : User
        A contributor of the image's project.
    image : Image
        The current version, with a spacing along every axis longer than one sample.
    calibration : Calibration or None
        Of the image's instrument; None goes back to the nominal spacing.
    reason : str
        Why; kept erasable beside the record.

    Returns
    -------
    Image
        The new version, in the same nominal frame; its calibrated frame is reached by an accepted transform.

    Raises
    ------
    InvalidValueError
        No reason, a calibration of another instrument, or one for none of the image's axes.
    ConflictError
        A newer version supersedes the image, a job made it, it has no scale, it stands so already, or the calibration
        is withdrawn.
    """
    access.require(actor, access.Action.CONTRIBUTE, image)
    why = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    with record.act("apply_calibration", actor=actor, project=image.project_id, reason=why) as act:
        old = _locked(image)
        require_calibrated(old)
        if calibration is None:
            return _taken_off(act, old, actor, why)
        row = Calibration.objects.select_for_update().get(pk=calibration.pk)  # not withdrawn meanwhile
        _check(old, row)
        return _put_under(act, old, choice.candidate(old, row), actor, why)


def _locked(image: Image) -> Image:
    rows = Image.objects.select_for_update(of=("self",)).select_related("store", "acquisition", "frame__extent")
    old = rows.defer("store__manifest").get(pk=image.pk)
    newer = Image.objects.filter(supersedes=old).values_list("pk", flat=True).first()
    if newer is not None:
        raise ConflictError(f"image {newer} supersedes this one; name that", details={"superseded_by": str(newer)})
    if old.acquisition is None:
        raise ConflictError(
            "the image was made by a job, not by an instrument; apply the calibration to the acquired image that it "
            "was made from: images on the same grid follow it"
        )
    return old


def _check(image: Image, calibration: Calibration) -> None:
    if calibration.status != Calibration.Status.ACTIVE:
        raise ConflictError(f"calibration {calibration.pk} is withdrawn; it is not applied any more")
    stated = image.acquisition.instrument_id if image.acquisition else None
    if stated is not None and stated != calibration.instrument_id:
        raise InvalidValueError(
            f"it belongs to instrument {calibration.instrument_id}; the image was acquired with {stated}",
            field="calibration",
        )
    if not choice.calibrated_axes(image, calibration):
        raise InvalidValueError(
            f"it holds for {', '.join(calibration.axes)}; the image has one sample along each of these",
            field="calibration",
        )
    if image.calibration_id == calibration.pk:
        raise ConflictError("the image is under this calibration already")


def _put_under(act: record.Act, old: Image, chosen: choice.Candidate, actor: User, why: str) -> Image:
    if old.frame is None:  # what a constraint of the database rules out
        raise RuntimeError(f"image {old.pk} has a scale and no frame")
    calibration = chosen.calibration
    edge = open_calibrated_frame(act=act, nominal=old.frame, calibration=calibration, actor=actor)
    new = next_version(
        old,
        actor,
        spacing=old.spacing,
        frame=old.frame,
        calibrated_frame=edge.target,
        calibration=calibration,
        calibration_flags=chosen.stored_flags,
    )
    _publish(act, old, new)
    act.derived(new, calibration)
    act.derived(new, edge)
    if chosen.flags:
        act.asserted(new, "use of a calibration", {"although": [flag.words for flag in chosen.flags]})
    carry_scale(act=act, old=old, new=new, actor=actor, reason=why, what="a calibration was applied")
    return new


def _taken_off(act: record.Act, old: Image, actor: User, why: str) -> Image:
    if old.calibration_id is None:
        raise ConflictError("the image is under no calibration")
    new = next_version(old, actor, spacing=old.spacing, frame=old.frame)
    _publish(act, old, new)
    carry_scale(act=act, old=old, new=new, actor=actor, reason=why, what="the calibration was taken off")
    return new


def _publish(act: record.Act, old: Image, new: Image) -> None:
    new.save(force_insert=True)
    say_origin(act, old)
    act.created(new, attributes=image_attributes(new), erasable={"name": new.name})
    act.derived(new, old, relation="revision")


def apply_to_instrument(
    *, actor: User, calibration: Calibration, reason: str, project: Project | None = None
) -> Applied:
    """Put every image under a calibration for which it is the one that holds.

    Images of its instrument are looked at in the projects that the actor contributes to, or in one of them; at most
    ``MAX_IMAGES`` get a new version in a call.  Nothing flagged is applied: an image that needs a person's choice is
    left, and the answer says why.

    Parameters
    ----------
    actor : User
        Any account; of a project that is named, a contributor.
    calibration : Calibration
        Active.
    reason : str
        Why.
    project : Project, optional
        Only images of this one.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the project, or may not contribute to it.
    InvalidValueError
        No reason.
    ConflictError
        The calibration is withdrawn.
    """
    if project is not None:
        access.require(actor, access.Action.CONTRIBUTE, project)
    why = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    if calibration.status != Calibration.Status.ACTIVE:
        raise ConflictError(f"calibration {calibration.pk} is withdrawn; it is not applied any more")
    made: list[Image] = []
    left: list[Left] = []
    for image in _images_of(actor, calibration, project):
        against = _against(image, calibration)
        if against:
            left.append(Left(image, against))
            continue
        if len(made) == MAX_IMAGES:
            return Applied(made, left, more=True)
        try:
            made.append(apply_calibration(actor=actor, image=image, calibration=calibration, reason=why))
        except ConflictError as error:  # somebody was faster: the image, or the calibration, is another by now
            left.append(Left(image, (error.message,)))
    return Applied(made, left, more=False)


def _images_of(actor: User, calibration: Calibration, project: Project | None) -> Iterator[Image]:
    rows = (
        Image.objects.select_related("acquisition", "calibration")
        .filter(
            acquisition__instrument_id=calibration.instrument_id,
            superseded_by__isnull=True,
            calibrated=True,
            project__in=access.project_ids(actor, access.Action.CONTRIBUTE),
        )
        .exclude(calibration_id=calibration.pk)
        .order_by("created_at", "id")
    )
    found: list[Any] = list(rows.filter(project=project) if project is not None else rows)
    return iter(found)


def _against(image: Image, calibration: Calibration) -> tuple[str, ...]:
    """Why an image is not put under a calibration without a person's choice; empty where nothing speaks against it."""
    current = image.calibration
    if current is not None and current.status == Calibration.Status.ACTIVE and not _follows(calibration, current):
        return (f"it is under another calibration, {current.pk}",)
    if not choice.calibrated_axes(image, calibration):
        return (f"it has one sample along {', '.join(calibration.axes)}",)
    found = choice.candidates(image)
    mine = next((one for one in found if one.calibration.pk == calibration.pk), None)
    if mine is None:
        return ("another version of the calibration holds for its date",)
    if mine.flags:
        return tuple(flag.words for flag in mine.flags)
    rivals = [str(one.calibration.pk) for one in found if one.holds and one is not mine]
    return (f"calibration {', '.join(rivals)} holds too",) if rivals else ()


def _follows(later: Calibration, former: Calibration) -> bool:
    """True if one calibration is a later version of another."""
    row: Calibration | None = later
    while row is not None and row.version > former.version:
        row = row.supersedes
    return row is not None and row.pk == former.pk
