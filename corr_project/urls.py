"""All addresses: the REST surface, the admin, the pages."""

from django.contrib import admin
from django.urls import include, path

from apps.jobs.health import healthz

admin.site.site_header = admin.site.site_title = "Corrspace"
admin.site.index_title = "Administration"

urlpatterns = [
    path("api/v1/", include("corr_project.api")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("", include("apps.web.urls")),
]
