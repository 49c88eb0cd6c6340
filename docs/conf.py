"""Sphinx configuration: MyST pages in furo's clothes; every warning is an error in CI."""

project = "Corrspace"
author = "Corrspace contributors"
copyright = "Corrspace contributors, BSD-3-Clause"  # noqa: A001 - Sphinx's name for it

extensions = ["myst_parser"]
exclude_patterns = ["_build", "changes/*"]
source_suffix = {".md": "markdown"}
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "Corrspace"
html_static_path = ["_static"]
