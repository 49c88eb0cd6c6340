"""The surface of imaging and jobs alone."""

from django.urls import include, path
from rest_framework.routers import DefaultRouter

from apps.imaging.api import ROUTES, URLS

router = DefaultRouter(use_regex_path=True)
router.include_format_suffixes = False
for prefix, viewset, basename in ROUTES:
    router.register(prefix, viewset, basename=basename)

urlpatterns = [path("api/v1/", include([*URLS, *router.urls]))]
