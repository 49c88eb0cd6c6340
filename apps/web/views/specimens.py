"""The specimen page."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.web import selectors
from apps.web.present.ladder import ladder
from apps.web.present.trees import tree
from apps.web.views.base import account, page


@page
def specimen(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One specimen: its tree, its states, its images on the scale ladder, its numbers."""
    row = selectors.specimen(account(request), pk)
    images = selectors.images_of(row)
    context = {
        "specimen": row,
        "tree": tree(selectors.tree_rows(row), row.pk),
        "states": selectors.states_of(row),
        "ladder": ladder(images),
        "image_limit": selectors.IMAGE_LIMIT if len(images) == selectors.IMAGE_LIMIT else None,
        "numbers": selectors.numbers_of(row),
    }
    return render(request, "web/specimen.html", context)
