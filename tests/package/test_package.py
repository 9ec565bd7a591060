"""The package as a whole: what an import brings in, which names are public, what is shipped."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import distnorm

HEAVY = (
    "torch",
    "sklearn",
    "faiss",
    "matplotlib",
    "scipy",
    "pandas",
    "pyarrow",
    "rich",
    "click",
)


def modules_after(code: str, project) -> set[str]:
    """Names in ``sys.modules`` of a fresh interpreter after ``code``."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    path = os.pathsep.join([str(project / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
    )
    return set(json.loads(done.stdout))


def test_import_brings_in_nothing_heavy(project):
    assert not modules_after("import distnorm", project) & set(HEAVY)


def test_fitting_and_scoring_numpy_brings_in_nothing_heavy(project):
    code = (
        "import numpy as np, distnorm\n"
        "x = distnorm.normalize(np.random.default_rng(0).normal(1, 1, (20, 4)))\n"
        "for name in distnorm.METHODS:\n"
        "    norm = distnorm.make(name, input='any').fit(images=x, texts=x[::-1])\n"
        "    norm.ranking(x, x[::-1]).scores()\n"
    )
    assert not modules_after(code, project) & set(HEAVY)


def test_all_is_sorted_like_ruff_sorts_it():
    def key(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert distnorm.__all__ == sorted(distnorm.__all__, key=key)
    assert len(set(distnorm.__all__)) == len(distnorm.__all__)


@pytest.mark.parametrize("name", distnorm.__all__)
def test_every_public_name_resolves(name):
    assert getattr(distnorm, name) is not None
    assert name in dir(distnorm)


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = distnorm.no_such_name


def test_ships_the_marker_for_type_checkers():
    assert importlib.resources.files("distnorm").joinpath("py.typed").is_file()


def test_version_is_that_of_the_installed_package():
    try:
        installed = importlib.metadata.distribution("distnorm")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("distnorm runs from the source tree and is not installed")
    if not Path(distnorm.__file__).samefile(installed.locate_file("distnorm/__init__.py")):
        pytest.skip("distnorm runs from the source tree, another one is installed")
    assert distnorm.__version__ == installed.version


def test_the_version_is_the_same_wherever_it_is_stated(project):
    cited = re.search(r"^version: (\S+)$", (project / "CITATION.cff").read_text("utf-8"), re.M)
    latest = re.search(r"^## \[(\d\S*)\]", (project / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert cited
    assert latest
    assert cited[1] == latest[1] == distnorm.__version__


def test_core_depends_on_seven_light_packages_only():
    try:
        required = importlib.metadata.requires("distnorm") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("distnorm runs from the source tree and is not installed")
    core = {line.split(">")[0].strip() for line in required if "extra ==" not in line}
    light = {"array-api-compat", "click", "filelock", "rich", "threadpoolctl"}
    assert core == {"numpy", "safetensors", *light}


def test_extras_are_spelled_as_every_pip_finds_them(project):
    text = (project / "pyproject.toml").read_text("utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    names = re.findall(r"^(\S+) = \[", section, re.MULTILINE)
    assert "open-clip" in names
    # Older releases of pip drop a name with an underscore, with no more than a warning.
    assert [name for name in names if not re.fullmatch(r"[a-z0-9-]+", name)] == []


def test_the_command_line_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "distnorm", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"distnorm, version {distnorm.__version__}"


def test_what_can_be_made_is_listed():
    assert distnorm.list_methods() == tuple(distnorm.METHODS)
    assert {family.name for family in distnorm.list_encoders()} >= {"builtin", "hf"}
