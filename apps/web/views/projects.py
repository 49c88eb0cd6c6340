"""Pages of a project: specimens, jobs, members; and the forms that make projects and specimens."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.catalog import services as catalog
from apps.catalog.models import Material, Specimen
from apps.core.errors import CorrError, NotFoundError, PermissionRefusedError
from apps.projects import access, services
from apps.projects.models import Membership, Project, Role, User
from apps.web import selectors
from apps.web.present.fields import Field, errors_of, filled
from apps.web.views.base import account, button, form, page

_PER_PAGE = 60
PROJECT = (
    Field("name", "Name", required=True),
    Field("licence", "Licence of the data", help="SPDX identifier, e.g. CC-BY-4.0. It may be stated later."),
    Field("description", "What it is about", "area", wide=True),
)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


@page
def project(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One project: what it is, its specimens, its newest jobs and numbers."""
    user = account(request)
    row = selectors.project(user, pk)
    specimens = Paginator(selectors.project_specimens(row), _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": row,
        "specimens": specimens,
        "members": selectors.members(row),
        "jobs": selectors.recent_jobs(user, project=row),
        "numbers": selectors.recent_numbers(user, project=row, limit=12),
        "may_contribute": access.allowed(user, access.Action.CONTRIBUTE, row),
        "may_manage": access.allowed(user, access.Action.MANAGE, row),
    }
    return render(request, "web/project.html", context)


@page
def jobs(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """All jobs of a project, newest first."""
    row = selectors.project(account(request), pk)
    listed = Paginator(selectors.project_jobs(row), _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "web/project_jobs.html", {"project": row, "jobs": listed})


@form
def add(request: HttpRequest) -> HttpResponse:
    """Make a project; who makes it manages it."""
    user = account(request)
    context: dict[str, Any] = {"title": "New project", "verb": "Make the project", "back": reverse("home")}
    context["words"] = "You become its manager: you decide who sees it."
    if request.method == "GET":
        return render(request, "web/form.html", context | {"fields": PROJECT})
    given = {field.name: request.POST.get(field.name, "") for field in PROJECT}
    try:
        made = services.create_project(
            actor=user, name=given["name"], licence=given["licence"], description=given["description"]
        )
    except CorrError as error:
        errors, problem = errors_of(error, given)
        context |= {"fields": filled(PROJECT, given, errors), "problem": "" if errors else problem}
        return render(request, "web/form.html", context, status=400)
    messages.success(request, "The project was made. Add a specimen next.")
    return redirect("project", made.pk)


# ------------------------------------------------------------------------------------------------------------- members


def _members_page(request: HttpRequest, row: Project, status: int = 200, **more: Any) -> HttpResponse:
    context: dict[str, Any] = {
        "project": row,
        "members": selectors.members(row),
        "may_manage": access.allowed(account(request), access.Action.MANAGE, row),
        "roles": Role.choices,
        "fields": _member_fields(),
    }
    return render(request, "web/members.html", context | more, status=status)


def _member_fields() -> tuple[Field, ...]:
    return (
        Field("username", "Account", required=True, help="The name with which the person logs in."),
        Field("role", "Role", "choice", value=Role.VIEWER.value, options=tuple(Role.choices), required=True),
    )


@form
def members(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Who belongs to a project; a manager adds members here."""
    user = account(request)
    row = selectors.project(user, pk)
    if request.method == "GET":
        return _members_page(request, row)
    given = {"username": request.POST.get("username", "").strip(), "role": request.POST.get("role", "")}
    try:
        made = services.set_member(actor=user, project=row, **given)
    except (NotFoundError, PermissionRefusedError):
        raise
    except CorrError as error:
        errors, problem = errors_of(error, given)
        fields = filled(_member_fields(), given, errors)
        return _members_page(request, row, 400, fields=fields, problem="" if errors else problem)
    messages.success(request, f"{made.user.get_username()} is {made.get_role_display()} of the project now.")
    return redirect("members", row.pk)


def _membership(user: User, pk: uuid.UUID, member: uuid.UUID) -> Membership:
    row = selectors.project(user, pk)
    found = Membership.objects.select_related("user", "project").filter(project=row, pk=member).first()
    if found is None:
        raise NotFoundError(f"there is no member {member} in this project")
    return found


@button("members")
def change_role(request: HttpRequest, pk: uuid.UUID, member: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Give a member another role."""
    user = account(request)
    found = _membership(user, pk, member)
    name, role = found.user.get_username(), request.POST.get("role", "")
    services.set_member(actor=user, project=found.project, username=name, role=role)
    return f"{name} is {role} now.", pk


@button("members")
def remove_member(request: HttpRequest, pk: uuid.UUID, member: uuid.UUID) -> tuple[str, uuid.UUID]:
    """End a membership."""
    user = account(request)
    found = _membership(user, pk, member)
    services.remove_member(actor=user, membership=found, reason=request.POST.get("reason", ""))
    return f"{found.user.get_username()} is no member any more.", pk


# ----------------------------------------------------------------------------------------------------------- specimens


def _specimen_fields(row: Project) -> tuple[Field, ...]:
    materials = [(str(pk), name) for pk, name in Material.objects.order_by("name").values_list("pk", "name")]
    parents = [(str(pk), name) for pk, name in row.specimens.order_by("name").values_list("pk", "name")]
    return (
        Field("name", "Name", required=True, help="As it stands on the box; once in a project."),
        Field("material", "Material", "choice", options=(("", "not stated"), *materials)),
        Field("parent", "Cut from", "choice", options=(("", "nothing here"), *parents)),
        Field("tags", "Tags", help="Separated by commas."),
        Field("description", "Description", "area", wide=True),
    )


def _named(queryset: Any, text: str) -> Any:
    return queryset.filter(pk=_uuid(text)).first() if text and _uuid(text) else None


@form
def add_specimen(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Add a specimen to a project."""
    user = account(request)
    row = selectors.project(user, pk)
    fields = _specimen_fields(row)
    context: dict[str, Any] = {"project": row, "title": "New specimen", "verb": "Add the specimen"}
    context["back"] = reverse("project", args=[row.pk])
    if request.method == "GET":
        return render(request, "web/form.html", context | {"fields": filled(fields, request.GET)})
    access.require(user, access.Action.CONTRIBUTE, row)
    given = {field.name: request.POST.get(field.name, "") for field in fields}
    try:
        made = catalog.create_specimen(
            actor=user,
            project=row,
            name=given["name"],
            description=given["description"],
            material=_named(Material.objects.all(), given["material"]),
            parent=_named(Specimen.objects.filter(project=row), given["parent"]),
            tags=[tag.strip() for tag in given["tags"].split(",") if tag.strip()],
        )
    except CorrError as error:
        errors, problem = errors_of(error, given)
        context |= {"fields": filled(fields, given, errors), "problem": "" if errors else problem}
        return render(request, "web/form.html", context, status=400)
    messages.success(request, "The specimen was added. Import what was measured of it next.")
    return redirect("specimen", made.pk)
