"""The peer: a Celery task that does nothing, on a broker and result backend of the same kind."""

import os

from celery import Celery

URL = os.environ["BARE_BROKER"]
app = Celery("bare", broker=URL, backend=URL, set_as_current=False)  # the server's own stays the current one


@app.task(name="bare.nothing")
def nothing() -> int:
    """Return at once."""
    return 1
