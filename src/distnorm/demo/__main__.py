"""``python -m distnorm.demo``: compute what the demo keeps, and write it beside its modules."""

import json
from pathlib import Path

from distnorm.demo import run_demo
from distnorm.demo.kept import FILE, contents

if __name__ == "__main__":
    text = json.dumps(contents(run_demo(fresh=True).to_dict()), allow_nan=False)
    Path(__file__).with_name(FILE).write_text(text + "\n", encoding="utf-8")
