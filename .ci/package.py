"""Build the wheel and the sdist; see that they hold what they must and nothing else.

    python .ci/package.py FOLDER     needs the package `build`; writes FOLDER/*.whl and *.tar.gz

The sdist has to build the very same wheel. Metadata are read as an index would read them.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "distnorm"
# Of the files that are no modules, those without which a command would not work.
DATA = """
py.typed demo/kept.json paper/published.json report/html/style.css report/html/page.html.j2
service/static/page.js service/static/page.css service/templates/search.html.j2
encoders/weights/image.onnx encoders/weights/text.onnx encoders/weights/MODEL_CARD.md
"""
BESIDE = """
LICENSE README.md CHANGELOG.md CITATION.cff SECURITY.md CONTRIBUTING.md constraints.txt mkdocs.yml
pyproject.toml .ci/run tests/conftest.py examples/make_vectors.py docs/index.md benchmarks/run
"""


def run(*command: str) -> None:
    """Quietly; what it printed is shown if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def wheel_files(path: Path) -> dict[str, bytes]:
    """Name and content of each file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sdist_files(path: Path) -> dict[str, bytes]:
    """Name below the sdist's own folder, and content."""
    with tarfile.open(path) as archive:
        members = [m for m in archive.getmembers() if m.isfile()]
        read = {m.name.split("/", 1)[1]: archive.extractfile(m) for m in members}
        return {name: stream.read() for name, stream in read.items() if stream is not None}


def same(what: str, got: set[str], expected: set[str]) -> None:
    """End with the names that one of both has alone."""
    if got != expected:
        sys.exit(
            f"{what}: foreign {sorted(got - expected)[:9]}, lacking {sorted(expected - got)[:9]}"
        )


def check_wheel(path: Path) -> str:
    """The package as it lies in the checkout, its licence, and metadata without a fault."""
    files = wheel_files(path)
    about = next(name.split("/")[0] for name in files if ".dist-info/" in name)
    own = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    sources = {
        f"distnorm/{p.relative_to(PACKAGE).as_posix()}": p.read_bytes()
        for p in PACKAGE.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    same("wheel", set(files), set(sources) | {f"{about}/{name}" for name in own})
    same("data", {name for name in DATA.split() if f"distnorm/{name}" in files}, set(DATA.split()))
    changed = [name for name, content in sources.items() if files[name] != content]
    if changed:
        sys.exit(f"wheel: other content than in the checkout: {changed[:9]}")
    metadata = Metadata.from_email(files[f"{about}/METADATA"], validate=True)
    if not metadata.description or metadata.license_expression != "MIT":
        sys.exit("metadata: no description, or no licence")
    return f"{metadata.version}, {len(files)} files, {path.stat().st_size / 1e6:.1f} MB"


def check_sdist(path: Path) -> str:
    """Files of the checkout alone, those that stand beside the package among them."""
    files = sdist_files(path)
    files.pop("PKG-INFO")
    foreign = [
        name
        for name, content in files.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_bytes() != content
    ]
    if foreign:
        sys.exit(f"sdist: not as in the checkout: {foreign[:9]}")
    same("sdist", {name for name in BESIDE.split() if name in files}, set(BESIDE.split()))
    return f"{len(files)} files, {path.stat().st_size / 1e6:.1f} MB"


def main(folder: Path) -> None:
    """Build both, and the wheel once more from the sdist."""
    run(sys.executable, "-m", "build", "--sdist", "--wheel", "--outdir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    print(f"wheel {check_wheel(wheel)}")
    print(f"sdist {check_sdist(sdist)}")
    with tempfile.TemporaryDirectory() as again:
        pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", again)
        run(*pip, str(sdist))
        (second,) = Path(again).glob("*.whl")
        if wheel_files(second) != wheel_files(wheel):
            sys.exit("the sdist builds another wheel")
    print("the sdist builds the same wheel")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
