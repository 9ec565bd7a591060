"""Choosing method and strength from unlabelled samples, for queries of each side by itself.

`distnorm.selection.rule` states the rule and its reasons; ``distnorm.make("auto")`` applies it.
"""

from distnorm.selection.results import Candidate, Selection, SideChoice
from distnorm.selection.rule import select

__all__ = ["Candidate", "Selection", "SideChoice", "select"]
