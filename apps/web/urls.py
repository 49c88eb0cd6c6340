"""Addresses of the pages."""

from django.contrib.auth import views as auth_views
from django.urls import path

from apps.web.views import (
    account,
    analyses,
    calibrations,
    home,
    images,
    imports,
    jobs,
    projects,
    results,
    specimens,
    viewer,
)
from apps.web.views.login import LogIn

urlpatterns = [
    path("", home.home, name="home"),
    path("running/", home.running, name="home-jobs"),
    path("login/", LogIn.as_view(), name="login"),
    path("login/", LogIn.as_view(), name="account_login"),  # the name that allauth asks for
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("account/", account.account_page, name="account"),
    path("account/profile/", account.profile, name="profile"),
    path("account/password/", account.password, name="password"),
    path("account/tokens/", account.make_token, name="token-add"),
    path("account/tokens/<uuid:pk>/revoke/", account.revoke_token, name="token-revoke"),
    path("new-project/", projects.add, name="project-add"),
    path("projects/<uuid:pk>/", projects.project, name="project"),
    path("projects/<uuid:pk>/jobs/", projects.jobs, name="project-jobs"),
    path("projects/<uuid:pk>/members/", projects.members, name="members"),
    path("projects/<uuid:pk>/members/<uuid:member>/role/", projects.change_role, name="member-role"),
    path("projects/<uuid:pk>/members/<uuid:member>/remove/", projects.remove_member, name="member-remove"),
    path("new-specimen/<uuid:pk>/", projects.add_specimen, name="specimen-add"),
    path("specimens/<uuid:pk>/", specimens.specimen, name="specimen"),
    path("specimens/<uuid:pk>/events/add/", specimens.add_event, name="event-add"),
    path("specimens/<uuid:pk>/import/", imports.start, name="specimen-import"),
    path("acquisitions/<uuid:pk>/", imports.acquisition, name="acquisition"),
    path("acquisitions/<uuid:pk>/live/", imports.live, name="acquisition-live"),
    path("acquisitions/<uuid:pk>/files/", imports.upload, name="acquisition-files"),
    path("acquisitions/<uuid:pk>/look/", imports.look, name="acquisition-look"),
    path("acquisitions/<uuid:pk>/ingest/", imports.ingest, name="acquisition-ingest"),
    path("images/<uuid:pk>/", images.image, name="image"),
    path("images/<uuid:pk>/slice.png", images.slice_png, name="image-slice"),
    path("images/<uuid:pk>/calibrate/", images.calibrate, name="image-calibrate"),
    path("images/<uuid:pk>/analyses/", analyses.choose, name="image-analyses"),
    path("images/<uuid:pk>/analyses/<str:name>/", analyses.run, name="image-run"),
    path("view/", viewer.viewer, name="viewer"),
    path("view/v/client/", viewer.client_page, name="viewer-client"),  # the client takes /v/<name>/ for its address
    path("jobs/<uuid:pk>/", jobs.job, name="job"),
    path("jobs/<uuid:pk>/live/", jobs.live, name="job-live"),
    path("jobs/<uuid:pk>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<uuid:pk>/retry/", jobs.retry, name="job-retry"),
    path("numbers/<uuid:pk>/", results.number, name="property"),
    path("numbers/<uuid:pk>/review/", results.review, name="number-review"),
    path("numbers/<uuid:pk>/release/", results.release, name="number-release"),
    path("numbers/<uuid:pk>/withdraw/", results.withdraw_release, name="number-withdraw"),
    path("tables/<uuid:pk>/", results.table, name="table"),
    path("tables/<uuid:pk>/rows.csv", results.table_csv, name="table-csv"),
    path("calibrations/", calibrations.listed, name="calibrations"),
    path("calibrations/<uuid:pk>/", calibrations.calibration, name="calibration"),
    path("calibrations/<uuid:pk>/withdraw/", calibrations.withdraw, name="calibration-withdraw"),
]
