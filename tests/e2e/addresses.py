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
}
