"""One small file of each format, cut and flipped: a refusal with its reason or images, never a crash or a hang.

CI reads a seeded sample; ``python -m benchmarks.damage.run`` reads all, and its report lies in benchmarks/results.
"""

from __future__ import annotations

import shutil

import pytest

from tests.readers import samples
from tests.readers.damage import Reader, cuts, damaged, flips

SEED = 20261122
SAMPLE = 60
SLOW_SAMPLE = 10


@pytest.fixture(scope="module")
def reader():
    with Reader() as running:
        yield running


@pytest.mark.parametrize("sample", samples.SAMPLES, ids=lambda sample: sample.format)
def test_damaged_files_end_as_images_or_as_a_refusal(sample, reader, request, tmp_path):
    source = samples.locate(sample, request)
    shutil.copytree(source.parent, tmp_path / "files", copy_function=shutil.copyfile) if sample.beside else None
    path = tmp_path / "files" / source.name if sample.beside else tmp_path / source.name
    if not sample.beside:
        shutil.copyfile(source, path)
    beside = {name: path.parent / name for name in sample.beside}
    found = []
    for target in [path, *beside.values()][:2]:
        size = target.stat().st_size
        few = flips(size, sample=SLOW_SAMPLE if sample.needs else SAMPLE, seed=SEED)
        for damage in [*cuts(size)[:: 4 if sample.needs else 1], *few]:
            with damaged(target, damage):
                found.append(reader.read(path, beside, damage))
    assert [f"{ended.damage}: {ended.outcome} {ended.detail}" for ended in found if ended.wrong] == []
    assert any(ended.outcome == "refused" for ended in found)
