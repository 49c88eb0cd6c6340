"""All addresses: the REST surface, the admin, the pages."""

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from apps.jobs.health import healthz
from apps.web.views.account import account_page

admin.site.site_header = admin.site.site_title = "Corrspace"
admin.site.index_title = "Administration"
# One door, with one lock; and one place for a new password, which revokes tokens.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.password_change = account_page  # type: ignore[method-assign,assignment]

# Addresses of the provider's log-in, and the pages on which allauth says what went wrong there.
PROVIDER = (
    [
        path("", include("allauth.socialaccount.providers.openid_connect.urls")),
        path("oidc/", include("allauth.socialaccount.urls")),
    ]
    if settings.CORR_OIDC
    else []
)

urlpatterns = [
    path("api/v1/", include("corr_project.api")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    *PROVIDER,
    path("", include("apps.web.urls")),
]
