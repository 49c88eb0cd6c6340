"""Values become the same bytes wherever they come from, or are refused."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import uuid

import numpy as np
import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from apps.provenance.canonical import RecordError, canonical, commitment, event_hash, instant, new_salt, plain
from apps.provenance.models import Node

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=15,
)


@given(values)
def test_plain_values_survive_json(value):
    once = plain(value)
    assert canonical(json.loads(canonical(once))) == canonical(once)
    assert canonical(json.loads(json.dumps(once))) == canonical(once)


@pytest.mark.django_db
@given(values)
def test_the_database_gives_back_what_canonicalises_equal(value):
    said = {"value": plain(value)}
    id_ = uuid.uuid4()
    Node.objects.create(id=id_, kind="entity", type="t:t", attributes=said, seq=1)
    assert canonical(Node.objects.get(id=id_).attributes) == canonical(said)


class Colour(models.TextChoices):
    RED = "red", "Red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (uuid.UUID(int=1), "urn:uuid:00000000-0000-0000-0000-000000000001"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2026-01-02T01:04:05.000006Z"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("0.10"), "0.10"),
        (2**53, "9007199254740992"),
        (2**53 - 1, 2**53 - 1),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
        (np.bool_(True), True),
        ((1, 2), [1, 2]),
        (Colour.RED, "red"),
    ],
)
def test_known_types(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        np.float64("nan"),
        "a\x00",
        "\ud800",
        {1: 2},
        {"a\x00": 1},
        {1, 2},
        b"x",
        dt.datetime(2026, 1, 1),  # noqa: DTZ001
        object(),
        np.zeros(3),
    ],
)
def test_what_cannot_be_recorded_is_named_with_its_path(value):
    with pytest.raises(RecordError, match=r"attributes\.a\[1\]"):
        plain({"a": [0, value]})


def test_hashes_are_of_the_stated_bytes():
    salt = new_salt()
    assert len(bytes.fromhex(salt)) == 32
    assert commitment(salt, "Smith") == hashlib.sha256(bytes.fromhex(salt) + b"Smith").hexdigest()
    assert event_hash(1, "ab" * 32, "{}") == hashlib.sha256(b"\x01" + b"\xab" * 32 + b"{}").hexdigest()
    assert instant(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) == "2026-01-01T00:00:00.000000Z"
