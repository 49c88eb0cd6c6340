"""Times of measurement as instruments state them: local, as a rule without a zone."""

from __future__ import annotations

import datetime as dt


def stated(text: str | None, zone: str | None) -> str:
    """Return a time of measurement as people write it, with its zone; empty where nobody stated one.

    Parameters
    ----------
    text : str or None
        ISO 8601, with or without an offset of its own, or whatever else the file holds.
    zone : str or None
        Name of the zone if it stands apart; None where it is not known.
    """
    if not text:
        return ""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return f"{text} ({zone or 'zone not stated'})"
    if "T" not in text and ":" not in text:
        return f"{moment.day} {moment:%b %Y}"
    shown = f"{moment.day} {moment:%b %Y %H:%M:%S}"
    if moment.tzinfo is not None:
        offset = moment.utcoffset() or dt.timedelta()
        return f"{shown} UTC" + ("" if not offset else f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:5])
    return f"{shown} {zone}" if zone else f"{shown} (zone not stated)"
