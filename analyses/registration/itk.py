"""SimpleITK without types: its Python is generated and annotates nothing, so it is one ``Any`` for the type checker."""

from __future__ import annotations

from typing import Any

import SimpleITK

sitk: Any = SimpleITK
ItkImage = Any
ItkTransform = Any

# The metrics' own threads do not follow the number set on a method, and sums in another order are other sums.
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
