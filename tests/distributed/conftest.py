"""One local Ray of two workers for all of these tests, and files of vectors in many forms."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distnorm

DIMENSION = 24


@pytest.fixture(scope="session")
def session():
    pytest.importorskip("ray.data", reason="needs the extra 'ray'")
    from distnorm.distributed import connected

    with pytest.MonkeyPatch.context() as patch:
        # A GPU by name alone, for what asks for one.
        patch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')
        with connected(workers=2) as found:
            yield found


@pytest.fixture(scope="session")
def rows():
    """Unit rows around a mean, float32."""
    rng = np.random.default_rng(7)
    return distnorm.normalize(rng.normal(0.3, 1, (700, DIMENSION)).astype(np.float32))


@dataclass(frozen=True)
class Mortal:
    """A session one of whose workers is killed, once, before it is done with the second item."""

    session: Any
    marker: Path

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def each(self, items: Any, function: Any, **settings: Any) -> Any:
        marker, fatal = str(self.marker), items[min(1, len(items) - 1)]

        def deadly(item: Any) -> Any:
            result = function(item)
            if repr(item) == repr(fatal) and not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return self.session.each(items, deadly, **settings)


@pytest.fixture
def mortal(session, tmp_path):
    return Mortal(session, tmp_path / "killed")
