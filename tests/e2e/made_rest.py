"""A caller of the REST surface over the wire, as :mod:`tests.made_study` asks for one."""

from __future__ import annotations

from typing import Any

import requests

from tests.e2e.served import wait_for

_JOB_SECONDS = 300.0


class WireRest:
    """One account with a token."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self.address, self.session = address, requests.Session()
        token = self.post("auth/token/", username=username, password=password, name="made study", scope="write")
        self.session.headers["Authorization"] = f"Token {token['token']}"

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.address}/api/v1/{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.session.post(f"{self.address}/api/v1/{path}", json=body, timeout=60)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def upload(self, acquisition: str, name: str, data: bytes) -> None:
        url = f"{self.address}/api/v1/acquisitions/{acquisition}/files/"
        answer = self.session.post(url, files={"file": (name, data, "image/tiff")}, timeout=60)
        assert answer.status_code == 201, answer.text

    def finish(self, job: str) -> Any:
        done = ("succeeded", "failed", "errored", "cancelled")
        wait_for(lambda: self.get(f"jobs/{job}/")["status"] in done, _JOB_SECONDS, f"job {job}")
        ended = self.get(f"jobs/{job}/")
        assert ended["status"] == "succeeded", ended
        return ended
