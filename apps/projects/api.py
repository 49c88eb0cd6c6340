"""REST of accounts, tokens, projects and members."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.api.filters import check_query
from apps.core.api.serializers import StrictModelSerializer, StrictSerializer
from apps.core.api.views import UUID_PATTERN, ReadViewSet
from apps.core.errors import NotFoundError
from apps.projects import access, selectors, services
from apps.projects.models import ApiToken, Membership, Project, Role


class CredentialsSerializer(StrictSerializer):
    """Log-in; ``name`` and ``scope`` describe the token."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=100, required=False, default="token")
    scope = serializers.ChoiceField(choices=ApiToken.Scope.choices, required=False, default=ApiToken.Scope.WRITE)


class IssuedTokenSerializer(serializers.Serializer[Any]):
    """The key, shown once."""

    token = serializers.CharField()


class TokenSerializer(StrictModelSerializer):
    """A token without its key."""

    class Meta:
        model = ApiToken
        fields = ["id", "name", "scope", "created_at", "last_used_at", "revoked_at"]
        read_only_fields = fields


class MeSerializer(serializers.Serializer[Any]):
    """The caller."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    is_staff = serializers.BooleanField()
    is_auditor = serializers.BooleanField()
    roles = serializers.DictField(child=serializers.CharField(), help_text="project id -> role")


class ProjectSerializer(StrictModelSerializer):
    """A project."""

    class Meta:
        model = Project
        fields = ["id", "name", "description", "licence", "embargo", "retention", "created_by", "created_at"]
        read_only_fields = ["id", "created_by", "created_at"]
        extra_kwargs = {"description": {"max_length": 20_000}}


class ProjectDetailSerializer(ProjectSerializer):
    """A project, and what it takes."""

    bytes_used = serializers.SerializerMethodField()

    class Meta(ProjectSerializer.Meta):
        fields = [*ProjectSerializer.Meta.fields, "bytes_used"]
        read_only_fields = [*ProjectSerializer.Meta.read_only_fields, "bytes_used"]

    def get_bytes_used(self, row: Project) -> int:
        """Bytes of its files, images, tables and attachments; what several rows link counts once."""
        return selectors.bytes_used(row)


class MemberSerializer(StrictModelSerializer):
    """A member by username and role."""

    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["id", "project", "user", "username", "role", "created_at"]
        read_only_fields = ["id", "project", "user", "created_at"]


class BreakGlassInput(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class TokenView(APIView):
    """Exchange name and password for a token."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    @extend_schema(request=CredentialsSerializer, responses={200: IssuedTokenSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Answer with the key; 401 where name and password do not fit."""
        check_query(request)
        serializer = CredentialsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        user = services.check_credentials(
            request=request._request, username=data["username"], password=data["password"]
        )
        if user is None:
            raise AuthenticationFailed("name and password do not fit")
        _, key = services.issue_token(user=user, name=data["name"], scope=data["scope"])
        return Response({"token": key})

    def get_authenticate_header(self, request: Request) -> str:
        """A failed log-in is a 401."""
        return "Token"


class TokenViewSet(ReadViewSet):
    """The caller's tokens; DELETE revokes one."""

    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Own tokens only."""
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        return selectors.list_tokens(access.account_of(self.request.user))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke a token."""
        services.revoke_token(actor=access.account_of(request.user), token=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(APIView):
    """Who the caller is."""

    @extend_schema(responses={200: MeSerializer})
    def get(self, request: Request) -> Response:
        """Answer with account and roles."""
        check_query(request)
        user = access.account_of(request.user)
        body = {
            "id": user.pk,
            "username": user.username,
            "is_staff": user.is_staff,
            "is_auditor": access.is_site_auditor(user),
            "roles": selectors.roles_of(user),
        }
        return Response(MeSerializer(body).data)


class ProjectViewSet(ReadViewSet):
    """Projects the caller sees; any account may make one."""

    serializer_class = ProjectDetailSerializer
    queryset = Project.objects.all()
    filterset_fields = ("name",)

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Bytes are counted for one project, not for a list of them."""
        return ProjectSerializer if self.action == "list" else super().get_serializer_class()

    def get_queryset(self) -> QuerySet[Project]:
        """Visible projects."""
        return selectors.list_projects(self.request.user)

    def create(self, request: Request) -> Response:
        """Make a project; the maker becomes manager."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        project = services.create_project(actor=access.account_of(request.user), **serializer.validated_data)
        return Response(self.get_serializer(project).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change settings of a project (manager)."""
        project = self.get_object()
        serializer = self.get_serializer(project, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = services.update_project(
            actor=access.account_of(request.user), project=project, **serializer.validated_data
        )
        return Response(self.get_serializer(changed).data)

    @extend_schema(methods=["GET"], responses={200: MemberSerializer(many=True)}, filters=False)
    @extend_schema(methods=["POST"], request=MemberSerializer, responses={201: MemberSerializer})
    @action(detail=True, methods=["get", "post"], serializer_class=MemberSerializer, filterset_fields=())
    def members(self, request: Request, pk: str) -> Response:
        """List members; POST gives an account a role (manager)."""
        project = self.get_object()
        if request.method == "GET":
            page = self.paginate_queryset(selectors.list_members(project))
            return self.get_paginated_response(MemberSerializer(page, many=True).data)
        serializer = MemberSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        membership = services.set_member(
            actor=access.account_of(request.user),
            project=project,
            username=serializer.validated_data["user"]["username"],
            role=serializer.validated_data["role"],
        )
        return Response(MemberSerializer(membership).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=BreakGlassInput, responses={201: MemberSerializer})
    @action(detail=True, methods=["post"], url_path="break-glass", serializer_class=BreakGlassInput)
    def break_glass(self, request: Request, pk: str) -> Response:
        """Become auditor of a project one is no member of (superuser); recorded, with the reason."""
        serializer = BreakGlassInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        membership = services.break_glass(
            actor=access.account_of(request.user),
            project_id=uuid.UUID(pk),
            reason=serializer.validated_data["reason"],
        )
        return Response(MemberSerializer(membership).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={204: None}, parameters=[], operation_id="projects_members_destroy")
    @action(detail=True, methods=["delete"], url_path=f"members/(?P<member>{UUID_PATTERN})", url_name="member")
    def member(self, request: Request, pk: str, member: str) -> Response:
        """End a membership (manager)."""
        project = self.get_object()
        membership = selectors.list_members(project).filter(pk=member).first()
        if membership is None:
            raise NotFoundError(f"there is no member {member} in this project")
        services.remove_member(actor=access.account_of(request.user), membership=membership)
        return Response(status=status.HTTP_204_NO_CONTENT)


ROUTES = [("projects", ProjectViewSet, "project"), ("auth/tokens", TokenViewSet, "token")]
