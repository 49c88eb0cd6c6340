"""Names of addresses that the visits to every page leave out."""

from __future__ import annotations

# Addresses that answer with no page of their own: buttons, parts of a page, pictures, files.
NOT_PAGES = {
    "home-jobs",
    "account_login",
    "logout",
    "profile",
    "password",
    "token-add",
    "token-revoke",
    "member-role",
    "member-remove",
    "acquisition-live",
    "acquisition-files",
    "acquisition-look",
    "acquisition-ingest",
    "image-cut",
    "image-slice",
    "image-calibrate",
    "job-live",
    "job-cancel",
    "job-retry",
    "number-review",
    "number-release",
    "number-withdraw",
    "table-csv",
    "calibration-withdraw",
    "region-send",
    "region-found",
    "region-override",
    "transform-accept-page",
    "transform-withdraw-page",
    "transform-override-page",
}
# Pages that tests of their own look at: the registration page, and those of tests/e2e/test_regions.py.
ELSEWHERE = {"register", "region", "region-sheet", "transform", "specimen-frames", "mount-add", "mount-ended"}
