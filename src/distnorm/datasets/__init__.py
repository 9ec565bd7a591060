"""Official files of public data sets, read as they are published; nothing is ever downloaded.

Each loader says which files it wants where, and checks what it reads against the published counts.
"""

from distnorm.datasets.base import CaptionJudgements, RetrievalSet
from distnorm.datasets.coco import coco_captions, coco_ground_truth
from distnorm.datasets.flickr8k import flickr8k, flickr8k_crowdflower, flickr8k_expert
from distnorm.datasets.thumb import thumb

__all__ = [
    "CaptionJudgements",
    "RetrievalSet",
    "coco_captions",
    "coco_ground_truth",
    "flickr8k",
    "flickr8k_crowdflower",
    "flickr8k_expert",
    "thumb",
]
