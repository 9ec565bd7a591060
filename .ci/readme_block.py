"""Print the code of the README block that the given comment marks: ``<!-- MARK -->``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

text = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
mark = re.escape(f"<!-- {sys.argv[1]} -->")
found = re.search(rf"{mark}\n```bash\n(.*?)```", text, re.DOTALL)
if found is None:
    sys.exit(f"README.md has no bash block marked {sys.argv[1]!r}")
sys.stdout.write(found[1])
