"""OME-Zarr stores: the one place that writes, finishes, opens, validates and verifies them.

``write_image`` streams a source into a new 0.5 store; ``StagedArray`` and ``finish_pyramid`` do the same for what a
plugin writes piece by piece; ``open_store`` reads 0.4 and 0.5; ``validate_attributes`` judges metadata; the manifest
functions hash and check what is stored.
"""

from __future__ import annotations

from analyses.sdk.manifest import Entry, Manifest, build_manifest, fsync_tree, verify_store
from analyses.sdk.omezarr_files import StoreError, UnsafeKeyError
from analyses.sdk.omezarr_layout import Description, Level, plan_levels
from analyses.sdk.omezarr_read import StoreArray, StoredLevel, StoreReader, open_store
from analyses.sdk.omezarr_scale import rescaled_group
from analyses.sdk.omezarr_spectrum import read_sum_spectrum, sum_image_path
from analyses.sdk.omezarr_stage import StagedArray, finish_pyramid
from analyses.sdk.omezarr_validate import Verdict, validate_attributes, validate_group
from analyses.sdk.omezarr_write import StoreInfo, write_image

__all__ = [
    "Description",
    "Entry",
    "Level",
    "Manifest",
    "StagedArray",
    "StoreArray",
    "StoreError",
    "StoreInfo",
    "StoreReader",
    "StoredLevel",
    "UnsafeKeyError",
    "Verdict",
    "build_manifest",
    "finish_pyramid",
    "fsync_tree",
    "open_store",
    "plan_levels",
    "read_sum_spectrum",
    "rescaled_group",
    "sum_image_path",
    "validate_attributes",
    "validate_group",
    "verify_store",
    "write_image",
]
