"""The programs that are compared; each run is a process of its own: ``programs.py NAME INPUT OUTPUT THREADS``.

Prints one JSON line: seconds of wall and processor time from after the imports to the end, and what was written.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

CHUNK_3D, CHUNK_2D = (64, 64, 64), (1, 512, 512)


def limit(source: Path, target: Path, threads: int):
    """Read, cut into chunks, compress every level, append to one file; coarser levels by leaving samples out."""
    import tifffile
    from numcodecs import Blosc

    codec = Blosc(cname="zstd", clevel=2, shuffle=Blosc.BITSHUFFLE)

    def cut(block: np.ndarray) -> list[np.ndarray]:
        size = CHUNK_2D if block.shape[0] == 1 else CHUNK_3D
        corners = product(*(range(0, n, s) for n, s in zip(block.shape, size, strict=True)))
        return [block[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))] for at in corners]

    def work():
        with tifffile.TiffFile(source) as tiff, source.open("rb") as raw, target.open("wb") as out:
            page, tiled = tiff.pages[0], tiff.pages[0].is_tiled
            shape = (1, *page.shape) if tiled else tiff.series[0].shape
            offsets = page.dataoffsets if tiled else [tiff.series[0].dataoffset]
            step = np.array([1 if n == 1 else 2 for n in shape])
            coarse = np.empty(-(-np.array(shape) // step), "u2")
            with ThreadPoolExecutor(threads) as pool:

                def write(blocks):
                    for encoded in pool.map(lambda b: codec.encode(np.ascontiguousarray(b)), blocks):
                        out.write(encoded)

                if tiled:
                    across = shape[2] // page.tilewidth
                    for row in range(0, len(offsets), across):
                        tiles = []
                        for at in range(row, row + across):
                            raw.seek(offsets[at])
                            data = np.frombuffer(raw.read(page.databytecounts[at]), "<u2")
                            tiles.append(data.reshape(1, page.tilelength, page.tilewidth))
                            y, x = at // across * page.tilelength // 2, at % across * page.tilewidth // 2
                            half = tiles[-1][:, ::2, ::2]
                            coarse[:, y : y + half.shape[1], x : x + half.shape[2]] = half
                        write(tiles)
                else:
                    raw.seek(offsets[0])
                    for z in range(0, shape[0], CHUNK_3D[0]):
                        planes = min(CHUNK_3D[0], shape[0] - z)
                        slab = np.fromfile(raw, "<u2", planes * shape[1] * shape[2]).reshape(planes, *shape[1:])
                        coarse[z // 2 : z // 2 + -(-planes // 2)] = slab[::2, ::2, ::2]
                        write(cut(slab))
                write(cut(coarse))
                while max(coarse.shape) > 256:
                    coarse = coarse[tuple(slice(None, None, 1 if n == 1 else 2) for n in coarse.shape)]
                    write(cut(coarse))

    return work


def ours(source: Path, target: Path, threads: int, *, durable: bool = False):
    """Reader to finished store with manifest; ``durable`` adds flushing to disk and reading every byte back."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from analyses.sdk.omezarr import fsync_tree, verify_store, write_image
    from apps.imaging.readers import read

    def work():
        image = read(source)[0]
        info = write_image(target, image.array, axes=image.axes, spacing_um=image.spacing_um, threads=threads)
        if durable:
            fsync_tree(target)
            if findings := verify_store(target, info.manifest):
                raise SystemExit(f"the store is not what was written: {findings[:3]}")

    return work


def ours_durable(source: Path, target: Path, threads: int):
    return ours(source, target, threads, durable=True)


def ome_zarr_py(source: Path, target: Path, threads: int):
    """ome-zarr-py from a lazily read TIFF, chunks as ours."""
    import dask
    import dask.array as da
    import tifffile
    import zarr
    from ome_zarr.writer import write_image

    def work():
        store = tifffile.imread(source, aszarr=True)
        data = da.from_zarr(zarr.open_array(store, mode="r"))
        data = data if data.ndim == 3 else data[None]
        chunks = CHUNK_2D if data.shape[0] == 1 else CHUNK_3D
        with dask.config.set(num_workers=threads):
            group = zarr.open_group(str(target), mode="w", zarr_format=3)
            write_image(data.rechunk(chunks), group, axes="zyx", storage_options={"chunks": chunks})

    return work


def ngff_zarr(source: Path, target: Path, threads: int):
    """ngff-zarr from a lazily read TIFF, chunks as ours."""
    import dask
    import dask.array as da
    import ngff_zarr as nz
    import tifffile
    import zarr

    def work():
        store = tifffile.imread(source, aszarr=True)
        data = da.from_zarr(zarr.open_array(store, mode="r"))
        flat = data.ndim == 2
        chunks = CHUNK_2D[1:] if flat else CHUNK_3D
        dims = ["y", "x"] if flat else ["z", "y", "x"]
        with dask.config.set(num_workers=threads):
            image = nz.to_ngff_image(data.rechunk(chunks), dims=dims)
            scales = nz.to_multiscales(image, chunks=dict(zip(dims, chunks, strict=True)))
            nz.to_ngff_zarr(str(target), scales, version="0.5")

    return work


PROGRAMS = {
    "limit": limit,
    "ours": ours,
    "ours, synced and read back": ours_durable,
    "ome-zarr-py": ome_zarr_py,
    "ngff-zarr": ngff_zarr,
}


def main() -> None:
    name, source, target, threads = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    try:
        work = PROGRAMS[name](source, target, threads)
    except ImportError as error:
        print(json.dumps({"missing": error.name}))
        return
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    files = [f for f in target.rglob("*") if f.is_file()] if target.is_dir() else [target]
    result |= {"files": len(files), "bytes": sum(f.stat().st_size for f in files)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
