"""The installation's settings with the empty kind of job."""

from corr_project.settings import *  # noqa: F403
from corr_project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.jobs.app.BenchmarkConfig"]
