"""The admin without a way around the services: it shows rows, and writes only through the functions it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from django import forms
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from apps.core.errors import CorrError

_JSON_ROWS = 4


class AddService(Protocol):
    """A service that makes a row out of the cleaned fields of a form."""

    def __call__(self, *, actor: Any, **values: Any) -> Model: ...


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose validation ends in the call of a service; a refusal becomes an error of the form.

    The service runs inside the request's transaction, as the last step of validation: a form that is valid is saved,
    and one that the service refuses has changed nothing.  Fields are optional unless named in ``demanded``.
    """

    demanded: ClassVar[tuple[str, ...]] = ()
    actor: ClassVar[Any] = None
    add_service: ClassVar[AddService | None] = None
    change_service: ClassVar[Callable[..., Model] | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.required = name in self.demanded

    def values(self) -> Mapping[str, Any]:
        """Return what the service is called with: what was filled in, or of a row that exists what was changed."""
        if self.instance._state.adding:
            return {name: value for name, value in self.cleaned_data.items() if value not in (None, "", [], {})}
        return {name: value for name, value in self.cleaned_data.items() if name in self.changed_data}

    def _post_clean(self) -> None:
        """Call the service in the place of the model's own validation: the service knows more, and says it better."""
        if self.errors:
            return
        try:
            self.instance = self._call(dict(self.values()))
        except CorrError as error:
            known = error.field if error.field in self.fields else None
            prefix = f"{error.field}: " if error.field and known is None else ""
            self.add_error(known, prefix + error.message)

    def _call(self, values: dict[str, Any]) -> Model:
        cls = type(self)
        if self.instance._state.adding:
            if cls.add_service is None:
                raise ImproperlyConfigured(f"{cls.__name__} has no service that adds")
            return cls.add_service(actor=self.actor, **values)
        if cls.change_service is None:
            raise ImproperlyConfigured(f"{cls.__name__} has no service that changes")
        return cls.change_service(self.instance, actor=self.actor, **values) if values else self.instance

    def save(self, commit: bool = True) -> Any:
        """Return the row that the service made or changed."""
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return self.instance


class ServiceAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows as the caller may see them, read only; adding and changing where a service is named, deleting never.

    Subclasses set ``narrow``, a function of queryset and account that leaves the rows the account may see: who sees
    what is not decided here.  ``add_service`` is the service behind ``form`` and ``change_service`` the one behind
    ``change_form``, both of them a :class:`ServiceForm`.  All are set with ``staticmethod``.
    """

    # Any: mypy takes a callable class variable for a method and would bind it
    narrow: ClassVar[Any] = None
    add_service: ClassVar[Any] = None
    change_service: ClassVar[Any] = None
    change_form: ClassVar[type[ServiceForm] | None] = None
    actions = None
    date_hierarchy = None
    show_full_result_count = False
    list_per_page = 50
    view_on_site = False
    list_filter_submit = True
    list_fullwidth = True
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the caller may see; superusers are no exception."""
        return self._narrowed(super().get_queryset(request), request)

    def _narrowed(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        narrow = type(self).narrow
        if narrow is None:
            raise ImproperlyConfigured(f"{type(self).__name__} does not say by `narrow` who sees what")
        narrowed: QuerySet[Any] = narrow(queryset, request.user)
        return narrowed

    # ------------------------------------------------------------------------------------------------- who may do what

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Staff see the index; the rows are narrowed."""
        return _is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Staff see what the narrowed queryset leaves."""
        return _is_staff(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Where a service adds; whether this account may is for the service to say."""
        return _is_staff(request) and type(self).add_service is not None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Where a service changes; whether this account may is for the service to say."""
        return _is_staff(request) and type(self).change_service is not None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: what is recorded is invalidated with a reason, not deleted."""
        return False

    # --------------------------------------------------------------------------------------------------------- writing

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form with the account and the services bound to it."""
        if obj is not None and self.change_form is not None:
            kwargs["form"] = self.change_form
        form = super().get_form(request, obj, change, **kwargs)
        if not issubclass(form, ServiceForm):
            return form
        bound: dict[str, Any] = {"actor": request.user}
        for name in ("add_service", "change_service"):
            service = getattr(type(self), name)
            bound[name] = None if service is None else staticmethod(service)
        return type(form.__name__, (form,), bound)

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the tables beneath a row; none while a form is taken in.

        They are never written, and their absence from the request must not make it fail after the service has run.
        """
        return [] if request.method == "POST" else super().get_inline_instances(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what the form writes; of a row that exists every column is shown."""
        if obj is None:
            return list(_written(self.form))
        return [*self.get_readonly_fields(request, obj), *(_written(self.change_form) if self.change_form else ())]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return every column that no service writes; the key is shown for quoting."""
        if obj is None:
            return self.readonly_fields
        written = _written(self.change_form) if self.change_form else ()
        columns = [field.name for field in self.model._meta.concrete_fields if field.name not in written]
        return [*columns, *(name for name in self.readonly_fields if name not in columns)]

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only what the caller may see."""
        related = db_field.remote_field.model
        if hasattr(related, "PROJECT_PATH"):
            kwargs["queryset"] = self._narrowed(related._default_manager.all(), request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """Leave out the links beside a choice that would open other forms; JSON, a few words as a rule, stays low."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        widget = getattr(field, "widget", None)
        if widget is not None and isinstance(db_field, models.JSONField):
            widget.attrs["rows"] = _JSON_ROWS
        for link in ("can_add_related", "can_change_related", "can_delete_related", "can_view_related"):
            if hasattr(widget, link):
                setattr(widget, link, False)
        return field

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """Nothing is left to do: the service has written the row."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing is left to do: the service has written the row."""

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Refused."""
        raise ImproperlyConfigured("rows are not deleted here")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Refused."""
        raise ImproperlyConfigured("rows are not deleted here")


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """Rows that belong to another, shown beneath it and never written there."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = False
    model: type[models.Model]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who sees the row sees what belongs to it."""
        return _is_staff(request)


def _is_staff(request: HttpRequest) -> bool:
    user = request.user
    return bool(user.is_authenticated and user.is_active and user.is_staff)


def _written(form: Any) -> tuple[str, ...]:
    """Return the names of the fields that a service form writes."""
    if not issubclass(form, ServiceForm):
        return ()
    declared = [name for name in form.declared_fields if name not in form.Meta.fields]
    return (*form.Meta.fields, *declared)
