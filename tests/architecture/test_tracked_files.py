"""Nothing in the tree knows the machine it was written on."""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import REPO_ROOT, tracked_files

# Written in pieces, so that this file does not find itself.
_PARTS = [
    r"(?<![\w.])/" + r"(work|root|home/\w+|Users/\w+)/[\w.]",
    r"/opt/" + r"(wheels|pypi)",
    r"file:" + r"///\w",
    r"(files\.)?pythonhosted" + r"\.org",
    r"pypi" + r"\.org",
    r"registry\." + r"npmjs",
    r"deb\.debian" + r"\.org",
    r"\b(artifac" + r"tory|jf" + r"rog)\b",
    r"\b(192\.168|172\.(1[6-9]|2\d|3[01]))" + r"\.\d+\.\d+\b",
]
MACHINE = re.compile("|".join(_PARTS))
BINARY = {".tif", ".tiff", ".png", ".npy", ".npz", ".zip", ".gz", ".woff2", ".ico", ".jpg", ".parquet"}


def machine_words(text: str) -> list[str]:
    """Return the lines of a text that name a path or a host of one machine."""
    return [
        f"{number}: {line.strip()[:120]}" for number, line in enumerate(text.splitlines(), 1) if MACHINE.search(line)
    ]


def test_no_file_names_a_path_or_host_of_one_machine() -> None:
    found = [
        f"{path.relative_to(REPO_ROOT)}:{line}"
        for path in tracked_files()
        if path.suffix not in BINARY
        for line in machine_words(path.read_text(errors="replace"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "DATA = '" + "/work" + "/main/data'",
        "see /" + "home/ada/notes",
        "--find-links /" + "opt/wheels",
        "index = 'https://pypi" + ".org/simple'",
        "host: 192" + ".168.1.7",
    ],
)
def test_planted_word_is_caught(line: str) -> None:
    assert machine_words(line)


@pytest.mark.parametrize(
    "line", ["framework/main", "https://example.org/home", "version 172.2.0", "/var/lib/corrspace", "~/data"]
)
def test_what_is_everywhere_the_same_is_let_through(line: str) -> None:
    assert machine_words(line) == []
