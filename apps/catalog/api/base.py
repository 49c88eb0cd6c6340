"""What the views of rows have in common: a checked body in, a service between, the row as its detail out."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.serializers import StrictSerializer
from apps.core.api.views import ReadViewSet
from apps.projects import access
from apps.projects.models import User

M = TypeVar("M", bound=Model)


class ZonedDateTimeField(serializers.DateTimeField):
    """RFC 3339 with its zone; a time without one is refused, for it would be guessed."""

    def to_internal_value(self, value: Any) -> dt.datetime:
        """Check that the zone is there, then the rest."""
        try:
            parsed = parse_datetime(value) if isinstance(value, str) else None
        except ValueError:
            parsed = None  # a day that no month has: the base class says so
        if parsed is not None and parsed.tzinfo is None:
            raise serializers.ValidationError(f"{value} has no zone; write e.g. 2024-05-01T12:00:00Z")
        if isinstance(value, dt.date):
            raise serializers.ValidationError("a time is written as text, e.g. 2024-05-01T12:00:00Z")
        return super().to_internal_value(value)


class ReasonSerializer(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=20_000)


class ThingSerializer(serializers.Serializer[Any]):
    """A recorded thing."""

    type = serializers.CharField()
    id = serializers.UUIDField()


class RowViewSet(ReadViewSet):
    """List, detail and creation; ``input_class`` checks the body of a POST, ``make`` calls the service.

    ``references`` names the fields of the body that hold an id, with what they are looked up in.
    """

    input_class: ClassVar[type[serializers.Serializer[Any]]]
    references: ClassVar[dict[str, type[Model]]] = {}

    @property
    def actor(self) -> User:
        """Who calls; the permission classes have let nobody in who is not logged in."""
        return cast("User", self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Model:
        """Call the service that makes a row."""
        raise NotImplementedError

    def checked(self, request: Request, input_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return the body with ids replaced by the rows the caller may see; 400 names the field at fault."""
        serializer = input_class(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        for field, model in self.references.items():
            if isinstance(values.get(field), uuid.UUID):
                values[field] = self.referred(model, values[field], field)
        return values

    def referred(self, model: type[M], key: uuid.UUID, field: str) -> M:
        """Return the row that a field of the body names."""
        return access.get_visible(_all(model), self.request.user, key, field=field)

    def create(self, request: Request) -> Response:
        """Make a row by its service."""
        row = self.make(self.actor, self.checked(request, self.input_class))
        return Response(self.represented(row), status=status.HTTP_201_CREATED)

    def represented(self, row: Model) -> Any:
        """Return a row as its detail shows it."""
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data


def _all(model: type[M]) -> QuerySet[M]:
    return model._default_manager.all()
