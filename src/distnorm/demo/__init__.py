"""The whole idea offline: drawn pictures, the built-in model, the paper's three tasks, a page."""

from distnorm.demo.experiment import METHODS, SAMPLES, Demo, run_demo
from distnorm.demo.page import demo_page

__all__ = ["METHODS", "SAMPLES", "Demo", "demo_page", "run_demo"]
