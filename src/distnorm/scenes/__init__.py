"""A small world to draw: scenes with captions, the same bytes for the same seed everywhere.

The built-in model is trained on them; `generate` draws test scenes that training cannot hit.
"""

from distnorm.scenes.captions import LEVELS, Caption, Claim, vocabulary
from distnorm.scenes.drawing import SIDE
from distnorm.scenes.sampling import Scene, generate, save_scenes
from distnorm.scenes.scene import WORLDS, Thing, World
from distnorm.scenes.vocabulary import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, TEXTURES

__all__ = [
    "BACKGROUNDS",
    "CLASS_NAMES",
    "COLOURS",
    "LEVELS",
    "PLACES",
    "SHAPES",
    "SIDE",
    "SIZES",
    "TEMPLATES",
    "TEXTURES",
    "WORLDS",
    "Caption",
    "Claim",
    "Scene",
    "Thing",
    "World",
    "generate",
    "save_scenes",
    "vocabulary",
]

CLASS_NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""Classes of zero-shot classification: colour and shape of the largest object."""

TEMPLATES = ("a {c}", "a picture of a {c}", "there is a {c}", "you can see a {c}")
"""Prompts for class names."""
