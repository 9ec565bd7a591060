"""Work that may end its process, tried in a child first: libraries of C++ trust their files."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable

__all__ = ["trial"]

_NO_MEMORY = 3


def trial(work: Callable[[], object], seconds: float) -> str:
    """What is wrong with doing this work here: "" where it ends, be it by an exception of Python.

    A forked child does it, on Linux; elsewhere nothing is tried. The child may take as much memory
    as the machine has, beyond what this process has taken.
    """
    if not sys.platform.startswith("linux"):
        return ""
    with warnings.catch_warnings():
        # Of other threads, which the child has not: it only works and ends.
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        _work_and_end(work)
    end, pause = time.monotonic() + seconds, 0.001
    while True:
        try:
            done, status = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            return ""  # somebody else has taken note of its end
        if done:
            break
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return f"takes longer than {seconds:.0f} s to read"
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    if os.WIFSIGNALED(status):
        return f"ends the process that reads it (signal {os.WTERMSIG(status)})"
    if os.WEXITSTATUS(status) == _NO_MEMORY:
        return "needs more memory than there is"
    return ""


def _work_and_end(work: Callable[[], object]) -> None:
    code = 0
    try:
        faulthandler.disable()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(nothing, stream)
        _limit()
        work()
    except MemoryError:
        code = _NO_MEMORY
    except BaseException as error:
        code = _NO_MEMORY if "bad_alloc" in str(error) else 0
    finally:
        os._exit(code)


def _limit() -> None:
    import resource

    page = resource.getpagesize()
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * page
    most = taken + os.sysconf("SC_PHYS_PAGES") * page
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
