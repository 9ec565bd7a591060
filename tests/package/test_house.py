"""The house keeps its shape: few rooms at the root, short files, nothing typed away.

`lint-imports` checks the floors themselves; see CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import distnorm

PACKAGE = Path(distnorm.__file__).parent
SOURCES = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
# An attribute with an underscore of anything but the object itself; modules' own are named here.
FOREIGN = re.compile(r"\b(?!self\b|cls\b|np\b|torch\b)[a-z]\w*\._[a-z]\w*")
ALLOWED = {"os._exit", "numpy._core"}


def lines_where(pattern: re.Pattern[str]) -> list[str]:
    """Places of the package at which ``pattern`` stands, as ``file: text``."""
    return [
        f"{path}: {match[0]}"
        for path, text in sorted(SOURCES.items())
        for match in pattern.finditer(text)
        if match[0] not in ALLOWED
    ]


def test_the_root_holds_at_most_eight_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_file_is_longer_than_400_lines():
    lengths = {str(path): text.count("\n") for path, text in SOURCES.items()}
    assert {path: n for path, n in lengths.items() if n > 400} == {}


def test_no_normalization_is_passed_around_untyped():
    assert lines_where(re.compile(r"\bnorm: Any\b")) == []


def test_nobody_reads_the_underscore_of_another_object():
    assert lines_where(FOREIGN) == []


def test_only_methods_know_methods_by_name_or_family():
    outside = re.compile(r"(?:spec|method)\.family\b|== \"qbnorm\"|\"k\" in \S*params")
    assert [line for line in lines_where(outside) if not line.startswith("methods/")] == []


def test_every_room_has_its_folder_of_tests(project):
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    tested = {path.name for path in (project / "tests").iterdir() if path.is_dir()}
    # Threads, files and locks are tested where they are used; results where they are made.
    assert rooms - tested <= {"system"}
