"""Official files of public data sets, read as they are published; nothing is ever downloaded.

The module of each loader says which files it wants where, below ``root``. With ``check`` it
compares what it reads with the published counts. A DistnormError is raised for missing or damaged
files, or other counts; a MissingExtraError without SciPy, for sets with MATLAB files.
"""

from distnorm.datasets.base import (
    CaptionJudgements,
    LabelledImages,
    PreferredCaptions,
    RetrievalSet,
)
from distnorm.datasets.cifar100 import cifar100
from distnorm.datasets.class_folders import caltech101, class_folders
from distnorm.datasets.coco import coco_captions, coco_ground_truth
from distnorm.datasets.flickr8k import (
    flickr8k,
    flickr8k_crowdflower,
    flickr8k_expert,
    flickr8k_json,
)
from distnorm.datasets.flickr30k import flickr30k
from distnorm.datasets.flowers102 import flowers102
from distnorm.datasets.imagenet import imagenet
from distnorm.datasets.karpathy import karpathy
from distnorm.datasets.pascal50s import pascal50s
from distnorm.datasets.stanford_cars import stanford_cars
from distnorm.datasets.sun397 import sun397
from distnorm.datasets.thumb import thumb

__all__ = [
    "CaptionJudgements",
    "LabelledImages",
    "PreferredCaptions",
    "RetrievalSet",
    "caltech101",
    "cifar100",
    "class_folders",
    "coco_captions",
    "coco_ground_truth",
    "flickr8k",
    "flickr8k_crowdflower",
    "flickr8k_expert",
    "flickr8k_json",
    "flickr30k",
    "flowers102",
    "imagenet",
    "karpathy",
    "pascal50s",
    "stanford_cars",
    "sun397",
    "thumb",
]
