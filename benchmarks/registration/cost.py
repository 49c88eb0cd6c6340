"""CPU seconds and memory of a rigid registration, beside raw SimpleITK and itk-elastix on the same input.

    python -m benchmarks.registration.cost speed [--seed 0] [--count 3] [--edge 128] [--elastix PYTHON]
    python -m benchmarks.registration.cost memory [--edge 512]

``speed`` starts all of them at the identity with Mattes mutual information of 32 bins, 20 % of the samples and three
resolutions, in one thread; ``PYTHON`` is an interpreter that has itk-elastix.  ``memory`` registers two images whose
samples arise as they are read, so that what a run holds is what the plugin holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analyses.registration import rigid
from analyses.registration.itk import sitk
from analyses.sdk.testing import image_value, run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.phantoms import Pair, about, errors, fibres, pair
from benchmarks.registration.run import RESULTS, keep, values

_ELASTIX = Path(__file__).with_name("elastix.py")
START = TransformValue("rigid", np.eye(4), "moving", "fixed", residual_um=0.0)


def raw(made: Pair) -> np.ndarray:
    """Moving -> fixed by SimpleITK alone, with the plugin's settings."""
    edge = made.fixed.shape[0]
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 100, 0.5, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    turn = sitk.Euler3DTransform()
    turn.SetCenter([(edge - 1) / 2] * 3)
    method.SetInitialTransform(turn, inPlace=True)
    method.Execute(sitk.GetImageFromArray(made.fixed), sitk.GetImageFromArray(made.moving))
    linear = np.array(turn.GetMatrix()).reshape(3, 3)
    return np.linalg.inv(about(linear, np.array(turn.GetCenter()), np.array(turn.GetTranslation())))


def ours(made: Pair) -> np.ndarray:
    """Moving -> fixed by the plugin, from the identity alone."""
    found = run_plugin(rigid.SPEC, {"starts": 1}, values(made) | {"initial": START})["transform"]
    return np.asarray(found.matrix)


def elastix(made: Pair, python: Path) -> tuple[np.ndarray, float]:
    """Moving -> fixed by itk-elastix in its own environment, and the CPU seconds of the registration alone."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "pair.npz", fixed=made.fixed, moving=made.moving)
        done = subprocess.run([python, _ELASTIX, folder], check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return np.linalg.inv(np.array(told["matrix"])), float(told["cpu_s"])


def speed(seed: int, count: int, edge: int, python: Path | None) -> dict[str, Any]:
    volume, runs = fibres(), []
    for number in range(count):
        made = pair(seed + number, edge=edge, degrees=5, shift=5, volume=volume)
        run: dict[str, Any] = {}
        for name, way in (("simpleitk", raw), ("plugin", ours)):
            begun = time.process_time()
            found = way(made)
            run[name] = {"cpu_s": time.process_time() - begun, "error": float(errors(found, made).mean())}
        if python is not None:
            found, spent = elastix(made, python)
            run["elastix"] = {"cpu_s": spent, "error": float(errors(found, made).mean())}
        runs.append(run)
        print(json.dumps(run), flush=True)
    told: dict[str, Any] = {
        name: {key: float(np.median([run[name][key] for run in runs])) for key in ("cpu_s", "error")}
        for name in runs[0]
    }
    ratio = np.median([run["plugin"]["cpu_s"] / run["simpleitk"]["cpu_s"] for run in runs])
    return told | {"plugin_to_simpleitk": float(ratio)}


@dataclass(frozen=True)
class Tiled:
    """Fibres magnified by ``zoom`` and moved by ``shift`` samples (z, y, x), made when they are read."""

    volume: np.ndarray
    shape: tuple[int, ...]
    zoom: int
    shift: tuple[int, int, int] = (0, 0, 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples."""
        return self.volume.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        ranges = [range(n)[k] for n, k in zip(self.shape, keys, strict=True)]
        index = [
            (np.arange(r.start, r.stop) + s) // self.zoom % n
            for r, s, n in zip(ranges, self.shift, self.volume.shape, strict=True)
        ]
        return np.asarray(self.volume[np.ix_(*index)])


def memory(edge: int) -> dict[str, Any]:
    volume, zoom, shift = fibres(), max(1, edge // 128), (6, -5, 7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    images = {}
    for name, moved in (("fixed", (0, 0, 0)), ("moving", shift)):
        made = image_value(Tiled(volume, (edge,) * 3, zoom, moved), axes=("z", "y", "x"), identifier=name)  # type: ignore[arg-type]
        images[name] = replace(made, frame=name, handedness="right")
    begun = time.process_time()
    found = run_plugin(rigid.SPEC, {"starts": 1}, images | {"initial": START})["transform"]
    missed = np.linalg.norm(found.matrix[:3, :3] @ np.full(3, edge / 2) + found.matrix[:3, 3] - edge / 2 - shift[::-1])
    return {
        "edge": edge,
        "both_images_mb": 2 * 4 * edge**3 / 2**20,
        "rss_before_mb": before,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu_s": time.process_time() - begun,
        "error_samples": float(missed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=["speed", "memory"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--edge", type=int)
    parser.add_argument("--elastix", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.study == "memory":
        edge = asked.edge or 512
        keep(asked.out, asked.study, {"edge": edge}, memory(edge))
        return
    edge = asked.edge or 128
    found = speed(asked.seed, asked.count, edge, asked.elastix)
    keep(asked.out, asked.study, {"seed": asked.seed, "count": asked.count, "edge": edge}, found)


if __name__ == "__main__":
    main()
