"""REST of plugins, submissions and work done outside."""

from apps.analysis.api.outside import OutsideActivityViewSet
from apps.analysis.api.plugins import JobViewSet, PluginViewSet

ROUTES = [
    ("plugins", PluginViewSet, "plugin"),
    ("jobs", JobViewSet, "job"),
    ("external-activities", OutsideActivityViewSet, "external-activity"),
]
