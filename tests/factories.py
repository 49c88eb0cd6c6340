"""Valid objects for tests; what arises by a service is made by it, so that its record exists too.

project = ProjectFactory()                        # its maker, project.created_by, manages it
viewer = member(project, "viewer")
specimen = SpecimenFactory(project=project)
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from django.db.models import Model

from apps.catalog import services as catalog
from apps.catalog.models import Calibration, Instrument, Material, Specimen, SpecimenEvent
from apps.projects import services as projects
from apps.projects.models import Project, User
from apps.spatial import services as spatial
from apps.spatial.geometry import IDENTITY
from apps.spatial.models import Frame, Mount, Roi, Transform

PASSWORD = "correct-horse-battery-staple"
NOON = dt.datetime(2024, 5, 1, 12, 0, tzinfo=dt.UTC)


class ServiceFactory(factory.Factory):
    """Makes its object by a service; ``actor`` is who does it."""

    class Meta:
        abstract = True

    @classmethod
    def service(cls, **kwargs: Any) -> Model:
        """Call the service."""
        raise NotImplementedError

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        return cls.service(**kwargs)


class UserFactory(ServiceFactory):
    """An account with the password ``PASSWORD``; ``is_staff`` and ``is_superuser`` as wanted."""

    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"user{n}")
    password = PASSWORD

    @classmethod
    def service(cls, **kwargs: Any) -> User:
        return projects.create_user(**kwargs)


class StaffFactory(UserFactory):
    """An account that may write what is site-wide."""

    is_staff = True


class ProjectFactory(ServiceFactory):
    """A project; its maker manages it."""

    class Meta:
        model = Project

    actor = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"Project {n}")

    @classmethod
    def service(cls, **kwargs: Any) -> Project:
        return projects.create_project(**kwargs)


def member(project: Project, role: str, **account: Any) -> User:
    """Return a new account with a role in a project."""
    user = UserFactory(**account)
    projects.set_member(actor=project.created_by, project=project, username=user.username, role=role)
    return user


class MaterialFactory(ServiceFactory):
    """A material without values; ``properties`` gives some."""

    class Meta:
        model = Material

    actor = factory.SubFactory(StaffFactory)
    name = factory.Sequence(lambda n: f"Material {n}")

    @classmethod
    def service(cls, **kwargs: Any) -> Material:
        return catalog.create_material(**kwargs)


class InstrumentFactory(ServiceFactory):
    """An instrument of unknown stage axes."""

    class Meta:
        model = Instrument

    actor = factory.SubFactory(StaffFactory)
    name = factory.Sequence(lambda n: f"Instrument {n}")
    modality = "sem"

    @classmethod
    def service(cls, **kwargs: Any) -> Instrument:
        return catalog.create_instrument(**kwargs)


class CalibrationFactory(ServiceFactory):
    """An active calibration, first version."""

    class Meta:
        model = Calibration

    actor = factory.SubFactory(StaffFactory)
    instrument = factory.SubFactory(InstrumentFactory)
    factor = 1.01
    u_factor = 0.002
    standard = "grating 1 um"
    measured_at = dt.date(2024, 5, 1)

    @classmethod
    def service(cls, **kwargs: Any) -> Calibration:
        return catalog.create_calibration(**kwargs)


class _OfProject(ServiceFactory):
    """What belongs to a project is made by the project's manager unless ``actor`` is given."""

    class Meta:
        abstract = True

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("actor", cls.project_of(kwargs).created_by)
        return super()._create(model_class, *args, **kwargs)

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        """Return the project that the object will belong to."""
        raise NotImplementedError


class SpecimenFactory(_OfProject):
    """A specimen as received."""

    class Meta:
        model = Specimen

    project = factory.SubFactory(ProjectFactory)
    name = factory.Sequence(lambda n: f"Specimen {n}")

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        return kwargs["project"]

    @classmethod
    def service(cls, **kwargs: Any) -> Specimen:
        return catalog.create_specimen(**kwargs)


class SpecimenEventFactory(_OfProject):
    """A polishing step."""

    class Meta:
        model = SpecimenEvent

    specimen = factory.SubFactory(SpecimenFactory)
    kind = "polish"
    occurred_at = NOON

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        return kwargs["specimen"].project

    @classmethod
    def service(cls, **kwargs: Any) -> SpecimenEvent:
        return spatial.record_specimen_event(**kwargs)


class MountFactory(_OfProject):
    """A specimen that is on a stage, with its stage frame."""

    class Meta:
        model = Mount

    specimen = factory.SubFactory(SpecimenFactory)
    instrument = factory.SubFactory(InstrumentFactory)
    mounted_at = NOON

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        return kwargs["specimen"].project

    @classmethod
    def service(cls, **kwargs: Any) -> Mount:
        return spatial.create_mount(**kwargs)


class FrameFactory(factory.Factory):
    """A stage frame, the one kind that arises without an image; ``specimen`` says whose."""

    class Meta:
        model = Frame

    specimen = factory.SubFactory(SpecimenFactory)

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Frame:
        return MountFactory(**kwargs).frame


class TransformFactory(_OfProject):
    """A candidate: the identity between two stage frames of one specimen."""

    class Meta:
        model = Transform

    source = factory.SubFactory(FrameFactory)
    target = factory.LazyAttribute(lambda self: FrameFactory(specimen=self.source.specimen))
    kind = "rigid"
    method = "manual"
    matrix = IDENTITY

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        return kwargs["source"].project

    @classmethod
    def service(cls, **kwargs: Any) -> Transform:
        return spatial.create_transform(**kwargs)


class RoiFactory(_OfProject):
    """A point."""

    class Meta:
        model = Roi

    frame = factory.SubFactory(FrameFactory)
    name = factory.Sequence(lambda n: f"Place {n}")
    geometry = factory.LazyFunction(lambda: {"type": "point", "coordinates": [1.0, 2.0, 3.0]})

    @classmethod
    def project_of(cls, kwargs: dict[str, Any]) -> Project:
        return kwargs["frame"].project

    @classmethod
    def service(cls, **kwargs: Any) -> Roi:
        return spatial.create_roi(**kwargs)
