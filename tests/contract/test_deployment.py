"""The settings hold where it counts: behind TLS, and before a request is Django's."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest

from corr_project.wsgi import application


def test_deployment_check_is_clean(repo_root, tmp_path):
    """Everything that Django, DRF and the schema generator warn of, with TLS on."""
    environment = {**os.environ, "CORR_HTTPS": "1", "CORR_DATA_ROOT": str(tmp_path), "CORR_NO_BOOTSTRAP": "1"}
    environment |= {"CORR_SECRET_KEY": "k" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=repo_root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def answer_of(content_type: str, path: str = "/api/v1/auth/token/") -> int:
    """Ask the WSGI application itself: what happens before Django's own handling happens here too."""
    said: list[str] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "a=%ff",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": "2",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"{}"),
        "wsgi.errors": io.StringIO(),
    }
    body = application(environ, lambda status, headers, exc_info=None: said.append(status))  # type: ignore[arg-type,misc,return-value]
    b"".join(body)
    return int(said[0].split()[0])


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["zlib", "idna", "undefined", "rot13", "utf-7", "no-such", "", '"zlib"', "utf-8"])
def test_a_charset_that_is_none_breaks_nothing(charset):
    assert answer_of(f"application/json; charset={charset}") == 400
