"""How gunicorn is run by ``serve``; address and port come from the command line."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

wsgi_app = "corr_project.wsgi:application"
worker_class = "gthread"
workers = 1
threads = 8
timeout = 120
graceful_timeout = 5
keepalive = 15
accesslog = None
errorlog = "-"
loglevel = "warning"
control_socket_disable = True
limit_request_line = 8190
forwarded_allow_ips = "127.0.0.1,::1"


def post_fork(server: Any, worker: Any) -> None:
    """A worker dies with its master at once: the next master needs the port."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server.pid:
        os._exit(1)
