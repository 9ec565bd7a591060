"""The tables of the paper on the data and with the model at hand, ours beside theirs."""

from distnorm.paper.cells import Benchmark, Cell, Missing
from distnorm.paper.protocols import PROTOCOLS, Protocol
from distnorm.paper.run import run_benchmark
from distnorm.paper.sources import SOURCES

__all__ = ["PROTOCOLS", "SOURCES", "Benchmark", "Cell", "Missing", "Protocol", "run_benchmark"]
