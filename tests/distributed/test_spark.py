"""The documentation's recipe for Spark, run: statistics of partitions and of groups."""

import os
import re
import sys

import numpy as np
import pytest

import distnorm
from distnorm.moments import Moments

pyspark = pytest.importorskip("pyspark", reason="needs pyspark, which is no extra")


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    # Workers of the same Python, whatever `python3` is.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    found = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    yield found
    found.stop()


@pytest.mark.filterwarnings("ignore")
def test_the_recipe(spark, project, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (project / "docs" / "spark.md").read_text("utf-8")
    languages = np.array(["de", "en", "fr"])[np.arange(len(rows)) % 3]
    listed = [(name, row.tolist()) for name, row in zip(languages.tolist(), rows, strict=True)]
    frame = spark.createDataFrame(listed, "language string, vector array<float>").repartition(5)
    known = {"frame": frame, "__name__": "__main__"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, known)
    expected = Moments().update(rows)
    np.testing.assert_allclose(known["total"].mean, expected.mean, rtol=1e-12)
    assert distnorm.load("dn.safetensors").counts == {"image": 0, "text": len(rows)}
    for language in "de", "en", "fr":
        own = Moments().update(rows[languages == language])
        np.testing.assert_allclose(known["of_language"][language].sum, own.sum, rtol=1e-12)
