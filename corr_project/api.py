"""The one router of the REST surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from django.urls import path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView

from apps.analysis.api import ROUTES as ANALYSIS
from apps.audit.api import URLS as AUDIT_URLS
from apps.catalog.api import ROUTES as CATALOG
from apps.catalog.api import URLS as CATALOG_URLS
from apps.core.errors import NotFoundError
from apps.imaging.api import ROUTES as IMAGING
from apps.imaging.api import URLS as IMAGING_URLS
from apps.projects.api import ROUTES as PROJECTS
from apps.projects.api import MeView, TokenView
from apps.results.api import ROUTES as RESULTS
from apps.spatial.api import ROUTES as SPATIAL


@extend_schema(exclude=True)
class NothingHereView(APIView):
    """Every address below the surface that is none of the others: a problem document, where Django has a page."""

    def answer(self, request: Request, path: str) -> NoReturn:
        """Refuse."""
        hint = "" if path.endswith("/") or not path else "; addresses end with a slash"
        raise NotFoundError(f"there is nothing at {request.path[:200]}{hint}")

    get = post = put = patch = delete = answer


router = DefaultRouter(use_regex_path=True)
router.include_format_suffixes = False
ALL_ROUTES: tuple[Sequence[tuple[str, Any, str]], ...] = (PROJECTS, CATALOG, SPATIAL, IMAGING, RESULTS, ANALYSIS)
for routes in ALL_ROUTES:
    for prefix, viewset, basename in routes:
        router.register(prefix, viewset, basename=basename)

urlpatterns = [
    path("auth/token/", TokenView.as_view(), name="auth-token"),
    path("me/", MeView.as_view(), name="me"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="web/rest.html"),
        name="api-docs",
    ),
    *AUDIT_URLS,
    *CATALOG_URLS,
    *IMAGING_URLS,
    *router.urls,
    re_path(r"^(?P<path>[\s\S]*)\Z", NothingHereView.as_view(), name="nothing-here"),
]
