"""The installation's settings with the probe kind of job."""

from corr_project.settings import *  # noqa: F403
from corr_project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.jobs.probe_app.ProbeConfig"]
