"""Where the files of the classification sets lie, and how they become `ClassData`."""

from __future__ import annotations

from pathlib import Path

from distnorm import datasets
from distnorm.datasets.cifar100 import save_pictures
from distnorm.errors import DistnormError
from distnorm.paper.prepared import ClassData, Context, Rows, class_data

__all__ = [
    "load_caltech101",
    "load_cars",
    "load_cifar100",
    "load_class_folders",
    "load_flowers102",
    "load_imagenet",
    "load_sun397",
]


def load_imagenet(root: Path, context: Context) -> ClassData:
    """Validation images; training images for statistics."""
    names = context.names.get("imagenet")
    test = datasets.imagenet(root, "val", names=names, check=context.check)
    pool = lambda: datasets.imagenet(root, "train", names=names, check=False)  # noqa: E731
    return class_data(test, root, pool)


def load_cifar100(root: Path, context: Context) -> ClassData:
    """Test images, written out as PNG; training images for statistics."""
    test = datasets.cifar100(root, "test", check=context.check)
    folder = context.work / "cifar100"
    paths = tuple(save_pictures(root, folder, "test"))
    try:
        size = len(datasets.cifar100(root, "train", check=False).images)
    except DistnormError:
        return ClassData(paths, test.labels, test.classes)

    def chosen(rows: Rows) -> list[Path]:
        return save_pictures(root, folder, "train", rows)

    return ClassData(paths, test.labels, test.classes, size, chosen)


def load_sun397(root: Path, context: Context) -> ClassData:
    """Test side of the first official partition; its training side for statistics."""
    test = datasets.sun397(root, "test", check=context.check)
    return class_data(test, root, lambda: datasets.sun397(root, "train", check=False))


def load_cars(root: Path, context: Context) -> ClassData:
    """Test images; training images for statistics."""
    test = datasets.stanford_cars(root, "test", check=context.check)
    return class_data(test, root, lambda: datasets.stanford_cars(root, "train", check=False))


def load_caltech101(root: Path, context: Context) -> ClassData:
    """All images: no other split is official."""
    return class_data(datasets.caltech101(root, check=context.check), root, None)


def load_flowers102(root: Path, context: Context) -> ClassData:
    """Test images; validation images for statistics."""
    names = context.names.get("flowers102")
    test = datasets.flowers102(root, "test", names=names, check=context.check)
    return class_data(
        test, root, lambda: datasets.flowers102(root, "val", names=names, check=False)
    )


def load_class_folders(root: Path, context: Context) -> ClassData:
    """Any class folders; ``train`` beside ``test`` for statistics."""
    del context
    if (root / "test").is_dir():
        test = datasets.class_folders(root, "test")
        return class_data(test, root, lambda: datasets.class_folders(root, "train"))
    return class_data(datasets.class_folders(root), root, None)
