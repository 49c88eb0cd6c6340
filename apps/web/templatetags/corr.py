"""Filters that make rows readable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import template

from apps.catalog import label
from apps.imaging.selectors import acquired_of
from apps.web.places import names
from apps.web.present import lengths, numbers, sentences, times, works

register = template.Library()
# Abbreviations that are not written like words.
_SHORTS = {"eds": "EDS", "ebsd": "EBSD", "sem": "SEM", "stem": "STEM", "cpu": "CPU", "id": "ID", "rve": "RVE"}


@register.filter
def unit(ucum: str) -> str:
    """A UCUM unit as it is written by hand."""
    return numbers.readable_unit(ucum)


@register.filter
def line(row: Any) -> str:
    """A property in one line."""
    return numbers.one_line(row.value, row.interval, row.unit, row.error)


@register.filter
def line_parts(row: Any) -> list[str]:
    """A property in one line, as the pieces between which the line may break."""
    pieces = line(row).split(", ")
    return [f"{piece}," for piece in pieces[:-1]] + pieces[-1:]


@register.filter
def title_of(row: Any) -> str:
    """What a number is, in a few words."""
    return sentences.meaning(row).title


@register.filter
def table_title(row: Any) -> str:
    """What a table is, in a few words."""
    return sentences.table_title(row.job.plugin, row.name)


@register.filter
def is_number(value: Any) -> bool:
    """True for what is set to the right in a table."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@register.filter
def words(name: str) -> str:
    """A snake_case or dotted name as words."""
    parts = [_SHORTS.get(part, part) for part in name.replace("_", " ").split(" ")]
    text = " ".join(parts)
    return text[:1].upper() + text[1:]


@register.filter
def number(value: Any) -> str:
    """A number with sensible digits, yes or no; anything else as it is."""
    return plain(value) if isinstance(value, bool) else numbers.format_value(value)


@register.filter
def short(value: Any) -> str:
    """A number with three significant digits; anything else as it is."""
    return lengths.significant(float(value), 3) if is_number(value) else plain(value)


@register.filter
def length_um(value: float | None) -> str:
    """A length in um, in the unit that reads best."""
    return "not known" if value is None else lengths.format_length(value)


@register.filter
def short_id(key: Any) -> str:
    """The last eight digits of an id, as they stand on labels."""
    return label.short_id(key)


@register.filter
def add_float(value: float, more: float) -> str:
    """A sum, as a coordinate of a drawing."""
    return f"{float(value) + float(more):.1f}"


@register.filter
def micro(text: str) -> str:
    """A message with micrometres by their sign."""
    return names.micro(text)


@register.filter
def at(rows: Any, index: int) -> Any:
    """The entry of a list."""
    return rows[index]


@register.filter
def quantity(entry: Any) -> str:
    """``{value, unit}`` as text; a plain value as it is."""
    if isinstance(entry, Mapping) and "value" in entry:
        value = entry["value"]
        text = lengths.significant(value, 6) if isinstance(value, float) else plain(value)
        return f"{text} {numbers.readable_unit(entry.get('unit') or '1')}".strip()
    return plain(entry)


@register.filter
def plain(value: Any) -> str:
    """A value of JSON as text: a list by commas, a mapping by name and value."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value) or "none"
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return lengths.significant(value, 6) if isinstance(value, float) else str(value)


@register.filter
def pretty_json(value: Any) -> str:
    """JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


@register.filter
def filesize_si(size: int | None) -> str:
    """A number of bytes with a decimal prefix."""
    if size is None:
        return "not known"
    amount, names = float(size), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(names) > 1:
        amount, names = amount / 1000, names[1:]
    return f"{lengths.significant(amount, 3)} {names[0]}"


@register.filter
def extent(image: Any) -> str:
    """The size of an image in samples and lengths."""
    return lengths.extent_sentence(image)


@register.filter
def get(mapping: Mapping[Any, Any], key: Any) -> Any:
    """The entry of a mapping."""
    return mapping.get(key)


@register.filter
def any_tag(facts: Any) -> bool:
    """True where a fact says how it stands in its file."""
    return any(row.tag or row.raw for row in facts)


@register.filter
def acquired(acquisition: Any) -> str:
    """When an acquisition was made, as typed or as its files say."""
    found = acquired_of(acquisition)
    return times.stated(found["value"], found["zone"]) or "time not stated"


@register.filter
def stated_time(found: Mapping[str, Any]) -> str:
    """A time of measurement, and who said it."""
    text = times.stated(found["value"], found["zone"])
    return f"{text}, {'from the file' if found['source'] == 'file' else 'typed'}" if text else "not stated"


@register.filter
def job_title(job: Any) -> str:
    """What a job does, in a few words."""
    return works.job_title(job)


@register.filter
def why_it_failed(job: Any) -> str:
    """Why a job failed, as a sentence."""
    return works.why_it_failed(job)


@register.filter
def axes_words(axes: str) -> str:
    """Names of axes as words: ``xy`` is x and y."""
    return " and ".join([", ".join(axes[:-1]), axes[-1]]) if len(axes) > 1 else axes
