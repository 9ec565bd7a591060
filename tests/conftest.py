"""Fixtures that every test file shares: real features, array libraries, Hypothesis profile."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Deterministic: the same examples on every machine and every run, so that a red test stays red.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=50,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Triton decides when it is first imported, by whomever, whether its kernels are interpreted.
if importlib.util.find_spec("triton") and importlib.util.find_spec("torch"):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        importlib.import_module("distnorm.device.kernels")

PROJECT = Path(__file__).resolve().parent.parent

# No test fetches a model: huggingface_hub reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

sys.path.append(str(PROJECT / "tests" / "helpers"))  # what several test files share

# Only this folder: the others are named like packages that tests look for (datasets, encoders).
contract = types.ModuleType("contract")
contract.__path__ = [str(PROJECT / "tests" / "contract")]
sys.modules["contract"] = contract

import torchvision_shim

torchvision_shim.install()


# What takes longest and hardly depends on the version of Python: `-m "not slow"` leaves it out.
SLOW = (
    "tests/augmentation/",
    "tests/demo/",
    "tests/distributed/",
    "tests/embedding/",
    "tests/encoders/",
    "tests/fuzz/",
    "tests/paper/",
    "tests/scenes/",
    "tests/search/indexes/",
    "tests/selection/",
    "tests/calibration/test_calibration.py",
    "tests/comparison/test_retrieval.py",
    "tests/contract/test_json.py::test_json_is_as_recorded[demo]",
    "tests/package/test_docs.py",
    "tests/package/test_examples.py",
    "tests/package/test_readme.py::test_table_is_what_compare_retrieval_gives",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow ones."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Library:
    """One array library: how to make its arrays from NumPy's and back."""

    name: str
    module: Any
    asarray: Callable[[Any], Any]
    to_numpy: Callable[[Any], np.ndarray]

    def __str__(self) -> str:
        return self.name


def real_data_folder() -> Path | None:
    """Folder with the real features, or None where the checkout comes without it."""
    named = os.environ.get("DISTNORM_REAL_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real features; skips where there is none."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip("no real features: set DISTNORM_REAL_DATA or put them in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser; skips where there is none."""
    from browser import launched

    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def project() -> Path:
    """Root of the checkout."""
    return PROJECT


@pytest.fixture(params=["numpy", "torch", "array_api_strict"])
def library(request: pytest.FixtureRequest) -> Library:
    """Each supported array library in turn; skips, with the reason, one that is not installed."""
    name = request.param
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        pytest.skip(f"{name} is not installed")
    if name == "torch":
        # from_numpy, not asarray: keeps the dtype and copies, so tests may write to either side.
        def asarray(x: Any) -> Any:
            return module.from_numpy(np.array(x))

        def to_numpy(x: Any) -> np.ndarray:
            x = x.detach().cpu()
            return (x.float() if x.dtype == module.bfloat16 else x).numpy()
    else:
        asarray = module.asarray

        def to_numpy(x: Any) -> np.ndarray:
            return np.asarray(x if isinstance(x, np.ndarray) else np.from_dlpack(x))

    return Library(name, module, asarray, to_numpy)


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture
def gap_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """200 synthetic image-text pairs, 32 dimensions, unit rows, with a modality gap."""
    shared = rng.standard_normal((200, 32))
    sides = []
    for _ in range(2):
        offset = rng.standard_normal(32) * 0.7
        rows = shared + 0.6 * rng.standard_normal((200, 32)) + offset
        sides.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return sides[0], sides[1]


def _index_builders() -> Any:
    """``benchmarks/index_builders.py``, which makes an index in each system."""
    path = PROJECT / "benchmarks" / "index_builders.py"
    spec = importlib.util.spec_from_file_location("index_builders", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["index_builders"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILDERS = _index_builders()


@dataclass(frozen=True)
class IndexWorld:
    """Synthetic unit rows: items of the image side, text queries, and samples to fit on."""

    items: np.ndarray
    queries: np.ndarray
    images: np.ndarray
    texts: np.ndarray

    def norm(self, method: str, **options: Any) -> Any:
        """A method fitted on the samples."""
        import distnorm

        return distnorm.make(method, **options).fit(images=self.images, texts=self.texts)


@pytest.fixture(scope="session")
def index_world() -> IndexWorld:
    """300 items and 8 queries of 24 dimensions, with a modality gap."""
    rng = np.random.default_rng(7)
    offsets = rng.standard_normal((2, 24)) * 0.7

    def rows(n: int, offset: np.ndarray) -> np.ndarray:
        x = rng.standard_normal((n, 24)) + offset
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    return IndexWorld(
        rows(300, offsets[0]), rows(8, offsets[1]), rows(200, offsets[0]), rows(200, offsets[1])
    )


@pytest.fixture(scope="session")
def index_builders() -> Iterator[Any]:
    """The builders; stops the database server at the end."""
    yield BUILDERS
    BUILDERS.Postgres.stop()


@pytest.fixture(scope="session", params=BUILDERS.CASES, ids=str)
def index_case(request: pytest.FixtureRequest) -> Any:
    """Each system and metric in turn; skips, with the reason, what is not installed."""
    missing = request.param.missing
    if missing:
        pytest.skip(f"{missing} is not installed")
    return request.param


@pytest.fixture(scope="session")
def index_built(
    index_case: Any,
    index_world: IndexWorld,
    index_builders: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """The items in a system, as its users would put them there."""
    folder = tmp_path_factory.mktemp(index_case.name)
    built = index_case.build(folder, range(len(index_world.items)), index_world.items)
    yield built
    built.stop()
