"""A printable label of a specimen: its name, a short id, and a QR code that leads to it."""

from __future__ import annotations

import io
import textwrap
import uuid

import segno
from django.utils.html import escape

# The margin is the four modules that a code of this size needs to be found.
_MARGIN, _CODE, _TEXT_X = 9, 60, 76
_LINE_LETTERS, _LINES = 24, 3


def short_id(key: uuid.UUID) -> str:
    """The last eight digits: the first ones are a time, and alike in things made together."""
    return key.hex[-8:]


def qr_svg(uri: str) -> str:
    """Draw a QR code, error correction M, which survives a scratch.

    Returns
    -------
    str
        An SVG element that fills what it is put into, for a page or another drawing; no scripts, styles or links.
    """
    drawn = io.BytesIO()
    code = segno.make(uri, error="m", micro=False)
    code.save(drawn, kind="svg", xmldecl=False, svgns=False, border=0, svgclass=None, lineclass=None, omitsize=True)
    return drawn.getvalue().decode().strip()


def label_svg(*, name: str, key: uuid.UUID, uri: str) -> str:
    """Draw a label of 90 by 39 mm.

    Parameters
    ----------
    name : str
        Cut after three lines.
    key : UUID
        Of the specimen.
    uri : str
        What the code holds.

    Returns
    -------
    str
        An SVG document without scripts, styles or links.
    """
    readable = "".join(letter for letter in name if letter.isprintable())
    lines = textwrap.wrap(readable, _LINE_LETTERS, max_lines=_LINES, placeholder="\N{HORIZONTAL ELLIPSIS}")
    texts = [
        f'<text x="{_TEXT_X}" y="{_MARGIN + 10 + 11 * number}" font-family="sans-serif" font-size="8">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    ]
    placed = f'<svg x="{_MARGIN}" y="{_MARGIN}" width="{_CODE}" height="{_CODE}" '
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 180 78" width="90mm" height="39mm">'
        '<rect width="180" height="78" fill="#fff"/>'
        f"{qr_svg(uri).replace('<svg ', placed, 1)}"
        f"{''.join(texts)}"
        f'<text x="{_TEXT_X}" y="{_MARGIN + 58}" font-family="monospace" font-size="8">{short_id(key)}</text>'
        "</svg>\n"
    )
