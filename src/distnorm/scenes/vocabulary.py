"""What scenes are made of, and the words for it.

Every table is of integers and strings, so that a seed draws the same scene everywhere.
"""

from __future__ import annotations

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "PLACES",
    "RGB",
    "SHAPES",
    "SIZES",
    "SYNONYMS",
    "TEXTURES",
    "TOGETHER",
]

RGB: dict[str, tuple[int, int, int]] = {
    "red": (205, 40, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 220, 60),
    "green": (50, 160, 60),
    "cyan": (60, 200, 210),
    "blue": (50, 80, 200),
    "purple": (130, 60, 170),
    "pink": (240, 140, 180),
    "brown": (125, 80, 45),
    "white": (240, 240, 240),
    "gray": (135, 135, 140),
    "black": (25, 25, 30),
}
COLOURS = tuple(RGB)

SHAPES = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "cross",
    "ring",
    "diamond",
    "crescent",
    "arrow",
    "hexagon",
)

# Name: radius in pixels.
SIZES = {"small": 6, "medium": 9, "large": 13}

TEXTURES = ("plain", "striped", "dotted", "checked")

# Name: colours at the top, at the horizon, below it and at the bottom edge.
BACKGROUNDS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "day": ((110, 170, 235), (190, 220, 245), (110, 180, 90), (80, 140, 60)),
    "night": ((8, 10, 35), (30, 32, 75), (20, 28, 30), (10, 14, 18)),
    "desert": ((150, 190, 230), (235, 215, 180), (225, 190, 120), (190, 150, 85)),
    "snow": ((170, 185, 205), (215, 225, 235), (235, 240, 246), (205, 215, 228)),
    "sea": ((140, 190, 230), (200, 225, 240), (40, 110, 160), (15, 60, 110)),
    "forest": ((35, 80, 45), (60, 110, 60), (50, 70, 35), (35, 45, 25)),
    "sunset": ((75, 50, 110), (245, 150, 80), (90, 55, 65), (45, 30, 45)),
    "studio": ((225, 225, 225), (235, 235, 235), (205, 205, 205), (190, 190, 190)),
}

# Row and column of the 3 x 3 grid that objects stand on.
PLACES = (
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)

# Each meaning's words; the first is its name.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "purple": ("purple", "violet"),
    "gray": ("gray", "grey"),
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "ring": ("ring", "hoop"),
    "crescent": ("crescent", "moon"),
    "cross": ("cross", "plus"),
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "mid-sized"),
    "large": ("large", "big", "huge"),
    "plain": ("plain", "solid"),
    "striped": ("striped", "banded"),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "chequered"),
    "day": ("by day", "on a green meadow", "under a blue sky"),
    "night": ("at night", "in the dark", "under a night sky"),
    "desert": ("in the desert", "on sand", "among dunes"),
    "snow": ("in the snow", "on a white winter day", "on ice"),
    "sea": ("at sea", "on the ocean", "over water"),
    "forest": ("in the forest", "in the woods", "among trees"),
    "sunset": ("at sunset", "at dusk", "in the evening light"),
    "studio": ("in a studio", "before a blank wall", "on a gray backdrop"),
    "top left": ("in the top left corner", "at the upper left"),
    "top": ("at the top", "above the centre"),
    "top right": ("in the top right corner", "at the upper right"),
    "left": ("on the left", "at the left edge"),
    "middle": ("in the middle", "in the centre"),
    "right": ("on the right", "at the right edge"),
    "bottom left": ("in the bottom left corner", "at the lower left"),
    "bottom": ("at the bottom", "below the centre"),
    "bottom right": ("in the bottom right corner", "at the lower right"),
}

# Words that captions hold besides those above.
TOGETHER = (
    "a", "an", "and", "of", "to", "the", "there", "is", "are", "with", "you", "can", "see",
    "picture", "photo", "image", "drawing", "shape", "shapes", "object", "objects", "thing",
    "things", "left", "right", "above", "below",
)  # fmt: skip
