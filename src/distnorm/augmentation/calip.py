"""CALIP: attention without parameters between places and classes (Guo et al., AAAI 2023).

    v       unit row of the picture, (d,)        T  unit rows of the classes, (C, d)
    F       unit rows of its places, (P, d)      A = F T'                              (P, C)
    V       = softmax over classes (A / alpha_t) T                places in words of classes (P, d)
    v_a     = mean over places of V + maximum over places of V      element by element   (d,)
    T_a     = softmax over places (A' / alpha_s) F                  classes seen in it   (C, d)
    S(c)    = v . T_c  +  beta_2 v . T_a,c  +  beta_3 v_a . T_c

The places are those of `clip_parts`. alpha_t = alpha_s = 1/2, as the authors' code has it (it
multiplies A by 2). The betas weigh the terms. The authors' code searches them, for each data set
and backbone, on the labelled images that it then reports: `BETAS` are the values of their paper
(ResNet-50), as a later re-implementation lists them, ImageNet's the default; they are not
label-free knowledge. Scores are cosines, the authors' logits are 100 times them.

Normalization on top
--------------------
Class texts meet the picture in two terms, which are one product with one query vector:

    w = v + beta_3 v_a          S(c) = w . T_c  +  beta_2 v . T_a,c

w is what DN shifts: it takes the place of the image row. The other term compares the picture with
a mixture of its own places; no text row is in it, so it has no share in how well a class text
matches just any picture, and it is added as it is. Statistics are of unit(w) over unlabelled
pictures with the same classes; scores of unit(w) are multiplied by |w| again:

    S_norm(c) = |w| norm(unit(w), T_c)  +  beta_2 v . T_a,c

For DN that is (w - s |w| mu) . T_c + ..., mu the mean of unit(w). Using the statistics of v alone
would leave in what beta_3 v_a adds: V is nearly the mean text for every picture, so v_a . T_c
favours the class texts that lie near the others, whatever the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distnorm.arrays import Float64, NDArray
from distnorm.augmentation.clip_parts import ClipParts, frozen
from distnorm.errors import DistnormError
from distnorm.system.progress import Progress

__all__ = ["BETAS", "Attended", "attend", "attended"]

BETAS = {
    "caltech101": (5.0, 0.18),
    "dtd": (1.4, 0.01),
    "eurosat": (6.08, 0.06),
    "fgvc_aircraft": (1.3, 0.01),
    "flowers102": (0.5, 0.01),
    "food101": (0.6, 0.02),
    "imagenet1k": (1.12, 0.02),
    "oxford_pets": (0.61, 0.01),
    "stanford_cars": (2.8, 0.01),
    "sun397": (0.43, 0.01),
    "ucf101": (1.28, 0.01),
}
"""beta_2 and beta_3 of the paper, for ResNet-50, found with labels."""

Tensor = Any


@dataclass(frozen=True)
class Attended:
    """What CALIP says of n pictures: w, (n, d), not of unit length; beta_2 v . T_a,c, (n, C)."""

    queries: Float64
    patches: Float64

    def __repr__(self) -> str:
        """Sizes."""
        return f"Attended({self.patches.shape[0]} images, {self.patches.shape[1]} classes)"


def attend(
    torch: Any,
    whole: Tensor,
    places: Tensor,
    classes: Tensor,
    *,
    beta_2: float,
    beta_3: float,
    alpha_t: float = 0.5,
    alpha_s: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """W, (n, d), and beta_2 v . T_a,c, (n, C), of unit rows v (n, d), F (n, P, d) and T (C, d)."""
    agreement = places @ classes.T
    mixtures = torch.softmax(agreement / alpha_t, dim=2) @ classes
    pooled = mixtures.mean(dim=1) + mixtures.amax(dim=1)
    # v . T_a,c is a mean of v . F over the places: no T_a of (n, C, d) is needed.
    patches = (torch.softmax(agreement / alpha_s, dim=1) * (places @ whole[:, :, None])).sum(dim=1)
    return whole + beta_3 * pooled, beta_2 * patches


def attended(
    parts: ClipParts,
    images: Sequence[Any],
    classes: NDArray,
    *,
    beta_2: float | None = None,
    beta_3: float | None = None,
    alpha_t: float = 0.5,
    alpha_s: float = 0.5,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Attended:
    """CALIP of PIL images for unit class rows (C, d); betas are ImageNet's if left out."""
    if not (alpha_t > 0 and alpha_s > 0):
        raise DistnormError(f"alphas {alpha_t!r}, {alpha_s!r}", "above 0", "the authors' are 0.5")
    if not len(images):
        raise DistnormError("no picture", "at least one", "give some")
    default = BETAS["imagenet1k"]
    settings = {
        "beta_2": default[0] if beta_2 is None else beta_2,
        "beta_3": default[1] if beta_3 is None else beta_3,
        "alpha_t": alpha_t,
        "alpha_s": alpha_s,
    }
    torch = parts.torch
    texts = torch.from_numpy(np.ascontiguousarray(classes)).to(parts.device, parts.working)
    queries, patches = [], []
    with frozen(parts.model), torch.no_grad():
        for start in range(0, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            raw = parts.image_rows(parts.pixels([images[at] for at in range(start, stop)]))
            whole, places = (
                torch.nn.functional.normalize(rows.to(parts.working), dim=-1) for rows in raw
            )
            query, patch = attend(torch, whole, places, texts, **settings)
            queries.append(query.cpu().double().numpy())
            patches.append(patch.cpu().double().numpy())
            if progress is not None:
                progress(stop, len(images))
    return Attended(np.concatenate(queries), np.concatenate(patches))
