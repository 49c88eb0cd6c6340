"""Content security policy of the pages that need more than ours: the admin's, and the client inside the viewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import reverse

from apps.web.viewer.client import FOLDER

Policy = Mapping[str, Sequence[str]]

# unfold's menus are Alpine.js expressions in attributes; Alpine turns them into functions by evaluating text.
ADMIN: Final[Policy] = {"script-src": ["'self'", "'unsafe-eval'"]}
# The codecs of the samples are WebAssembly, run in workers.  The pages of this site alone may put it in a frame.
CLIENT: Final[Policy] = {
    "script-src": ["'self'", "'wasm-unsafe-eval'"],
    "worker-src": ["'self'", "blob:"],
    "img-src": ["'self'", "data:", "blob:"],
    "frame-ancestors": ["'self'"],
}
# A worker obeys the policy of its own file, which lies among the static ones.  The blosc codec there (numcodecs.js) was
# made by emscripten, which makes functions by evaluating text.
WORKERS: Final[Policy] = {"script-src": ["'self'", "'unsafe-eval'", "'wasm-unsafe-eval'"]}


class PagePolicyMiddleware:
    """Loosens the policy on the addresses that need it, and nowhere else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Mark the answer for the policy's own middleware, which stands outside this one."""
        response = self.get_response(request)
        for prefix, policy in _loosened():
            if request.path.startswith(prefix):
                response._csp_replace = policy  # type: ignore[attr-defined]
        return response


def _loosened() -> tuple[tuple[str, Policy], ...]:
    return (
        (reverse("admin:index"), ADMIN),
        (reverse("viewer-client"), CLIENT),
        (static(f"{FOLDER}/"), WORKERS),
    )
