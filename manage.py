#!/usr/bin/env python3
"""Command-line entry: makes the environment where there is none, then runs Django's commands or the tests.

This file parses under every Python since 2.7, so that a wrong one is told which it should be.
"""

from __future__ import print_function

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
NEEDED = ((3, 11, 1), (3, 12))
WRONG_PYTHON = """Corrspace needs Python 3.11 (3.11.1 or newer, below 3.12); this is Python %d.%d.%d (%s).
On Debian 12: apt install python3 python3-venv. Elsewhere, name the right one: python3.11 manage.py ..."""


def bootstrap():
    """Run the set-up module by its path: importing its package would need what it is about to install."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("_corr_bootstrap", os.path.join(ROOT, "corr_project", "bootstrap.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.ensure(root=ROOT, argv=sys.argv)


def run_tests(arguments):
    """Become pytest: one runner, the same here and in CI."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest"] + arguments)


def main():
    """Check the Python, prepare the environment, run the command."""
    if not NEEDED[0] <= tuple(sys.version_info[:3]) < NEEDED[1]:
        sys.exit(WRONG_PYTHON % (tuple(sys.version_info[:3]) + (sys.executable,)))
    if os.environ.get("CORR_NO_BOOTSTRAP", "") in ("", "0"):
        bootstrap()
    if len(sys.argv) > 1 and sys.argv[1] == "test":
        run_tests(sys.argv[2:])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corr_project.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        sys.exit(
            "Django is not installed here (%s). Without CORR_NO_BOOTSTRAP manage.py makes .venv by itself; "
            "otherwise: pip install --require-hashes -r requirements.lock" % error
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
