"""Addresses of the pages."""

from django.contrib.auth import views as auth_views
from django.urls import path

from apps.web.views import home, images, jobs, results, specimens

urlpatterns = [
    path("", home.home, name="home"),
    path("login/", auth_views.LoginView.as_view(redirect_authenticated_user=False), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("projects/<uuid:pk>/", home.project, name="project"),
    path("specimens/<uuid:pk>/", specimens.specimen, name="specimen"),
    path("images/<uuid:pk>/", images.image, name="image"),
    path("images/<uuid:pk>/slice.png", images.slice_png, name="image-slice"),
    path("images/<uuid:pk>/calibrate/", images.calibrate, name="image-calibrate"),
    path("jobs/<uuid:pk>/", jobs.job, name="job"),
    path("jobs/<uuid:pk>/live/", jobs.live, name="job-live"),
    path("jobs/<uuid:pk>/cancel/", jobs.cancel, name="job-cancel"),
    path("jobs/<uuid:pk>/retry/", jobs.retry, name="job-retry"),
    path("numbers/<uuid:pk>/", results.number, name="property"),
    path("tables/<uuid:pk>/", results.table, name="table"),
    path("tables/<uuid:pk>/rows.csv", results.table_csv, name="table-csv"),
]
