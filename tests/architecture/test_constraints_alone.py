"""The validator of PROV runs on the standard library alone: copied out of this program it still judges."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import REPO_ROOT

PROGRAM = """
import sys
from apps.provenance.constraints import read_provn, validate
report = validate(read_provn("document prefix ex <http://e/> entity(ex:e) activity(ex:e) endDocument"))
assert [problem.rule for problem in report.problems] == [55]
foreign = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"apps", "__main__"}
assert not foreign, foreign
"""


def test_the_package_copied_elsewhere_judges_without_anything_else(tmp_path: Path) -> None:
    target = tmp_path / "apps" / "provenance" / "constraints"
    shutil.copytree(REPO_ROOT / "apps" / "provenance" / "constraints", target)
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}){PROGRAM}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
