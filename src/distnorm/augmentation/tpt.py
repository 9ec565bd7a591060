"""TPT: test-time prompt tuning, one picture at a time (Shu et al., NeurIPS 2022).

    t_c(p)  = unit(text([start, p_1 .. p_m, class c, rest, end]))    m context vectors, shape (m, w)
    q_v(c)  = softmax over c of x_v . t_c(p) / tau                   x_v: unit row of view v
    K       = the share rho of views of lowest entropy H(q_v)        rho = 0.1, 64 views: 6
    L(p)    = H( mean over v in K of q_v )
    p      <- AdamW(p, dL/dp), fresh state, step 5e-3                once
    score   = x_0 . t_c(p)                                           x_0: the picture itself

p begins as the token embeddings of the template's words before the class ("a photo of a": m = 4)
and is reset for every picture. Views are the picture and 63 random crops (`views.random_crops`);
on all data sets but ImageNet and its variants the authors mix these with changes of themselves
(`augmix`). They compute in mixed half precision, this in the model's own, losses in float32.
The views K are chosen once, with the untuned prompt; AdamW decays weights by 0.01, torch's
default, which the authors keep (a factor of 1 - 5e-5). With a fresh state AdamW's first step is
5e-3 times g / (|g| + 1e-8): the sign of the gradient, element by element.

The gradient is taken in two parts, dL/dt (all classes, cheap) and then, some classes at a time,
dt/dp: memory is that of ``chunk`` classes, the result that of all at once. Rows of the untuned
prompt are computed once for all pictures.

DN and its like work on the tuned rows: each picture's row x_0 against its own t_c(p), with
statistics of plain picture rows, since prompt tuning leaves pictures as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distnorm.arrays import NDArray
from distnorm.augmentation.clip_parts import ClipParts
from distnorm.encoders.prompts import fill, place
from distnorm.errors import DistnormError

__all__ = ["PromptTuner", "confident_views", "mean_entropy"]

Tensor = Any


def confident_views(logits: Tensor, share: float) -> Tensor:
    """The floor(share * v), one at least, first views of logits (v, C) of lowest entropy."""
    logs = logits.log_softmax(dim=1)
    entropy = -(logs.exp() * logs).sum(dim=1)
    # A share such as 0.1 is no binary fraction: 0.1 * 30 must be 3.
    count = max(1, int(share * len(logits) + 1e-9))
    return entropy.argsort(stable=True)[:count]


def mean_entropy(logits: Tensor) -> Tensor:
    """Entropy, in nats, of the mean over rows of softmax(logits), logits of shape (k, C)."""
    logs = logits.log_softmax(dim=1).logsumexp(dim=0) - float(np.log(len(logits)))
    # A class of probability 0 adds nothing, and must not add 0 times infinity.
    return -(logs.exp() * logs.clamp(min=-1e4)).sum()


class PromptTuner:
    """Tunes one template's context vectors, the words before its place, for a list of classes.

    ``context`` (m, w) is where every picture begins, ``class_rows`` (C, d) its untuned unit rows.
    """

    def __init__(
        self,
        parts: ClipParts,
        classes: Sequence[str],
        template: str = "a photo of a {c}.",
        *,
        confident: float = 0.1,
        steps: int = 1,
        learning_rate: float = 5e-3,
        weight_decay: float = 0.01,
        chunk: int = 64,
    ) -> None:
        if not 0 < confident <= 1:
            raise DistnormError(f"confident = {confident!r}", "a share in (0, 1]", "the paper: 0.1")
        if steps < 0 or chunk < 1:
            raise DistnormError(
                f"steps = {steps!r}, chunk = {chunk!r}",
                "0 or more, and 1 or more",
                "leave them out",
            )
        self._parts, self._torch = parts, parts.torch
        self._confident, self._steps = confident, steps
        self._rate, self._decay = learning_rate, weight_decay
        self._tokens = parts.tokens([fill(template, name) for name in classes])
        length = self._context_length(template)
        # Texts of like length go together, so that few are padded to the length of the longest.
        self._ends = parts.ends(self._tokens)
        self._chunks = self._ends.argsort(stable=True).split(chunk)
        with self._torch.no_grad():
            embedded = parts.embed(self._tokens)
            self._start, self._rest = embedded[:, :1], embedded[:, 1 + length :]
            # The same words have the same embeddings in every class's prompt.
            self.context = embedded[0, 1 : 1 + length].to(parts.working)
        self.class_rows = self.rows(self.context)

    def rows(self, context: Tensor) -> Tensor:
        """Unit class rows, shape (C, d), of context vectors, without gradient."""
        with self._torch.no_grad():
            parts = [self._rows(context, chunk) for chunk in self._chunks]
            rows = self._torch.cat(parts)
            return rows[self._torch.cat(self._chunks).argsort()]

    def tune(self, views: NDArray) -> Tensor:
        """Unit class rows (C, d) tuned to one picture, of its views' unit rows (v, d)."""
        torch = self._torch
        x = torch.from_numpy(np.ascontiguousarray(views)).to(self._parts.device)
        x = x.to(self._parts.working)
        x = x[confident_views(self._parts.scale * x @ self.class_rows.T, self._confident)]
        context = self.context.clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([context], lr=self._rate, weight_decay=self._decay)
        rows = self.class_rows
        for _ in range(self._steps):
            _, context.grad = self.loss_and_gradient(context, x, rows)
            optimizer.step()
            rows = self.rows(context)
        return rows

    def loss_and_gradient(
        self, context: Tensor, confident: Tensor, rows: Tensor | None = None
    ) -> tuple[float, Tensor]:
        """L and dL/dp, (m, w), at context vectors p, of the unit rows (k, d) of the views K.

        ``rows`` are ``self.rows(context)``, where they have been computed.
        """
        torch = self._torch
        rows = (self.rows(context) if rows is None else rows).detach().requires_grad_(True)
        loss = mean_entropy(self._parts.scale * confident @ rows.T)
        (by_rows,) = torch.autograd.grad(loss, rows)
        leaf = context.detach().requires_grad_(True)
        gradient = torch.zeros_like(leaf)
        for chunk in self._chunks:
            (part,) = torch.autograd.grad(self._rows(leaf, chunk), leaf, by_rows[chunk])
            gradient += part
        return float(loss.detach()), gradient

    def _rows(self, context: Tensor, chunk: Tensor) -> Tensor:
        """Unit rows of the classes numbered in ``chunk``."""
        length = int(self._ends[chunk].max()) + 1
        start = self._start[chunk]
        shared = context.to(start.dtype).expand(len(start), -1, -1)
        rest = self._rest[chunk, : length - 1 - len(context)]
        embedded = self._torch.cat([start, shared, rest], dim=1)
        rows = self._parts.text_rows(embedded, self._tokens[chunk, :length])
        return self._torch.nn.functional.normalize(rows.to(self._parts.working), dim=-1)

    def _context_length(self, template: str) -> int:
        """How many tokens the words before the class are, in every prompt alike."""
        words = template.partition(place(template) or "{c}")[0].strip()
        if not words:
            raise DistnormError(
                f"template {template!r}",
                "words before '{c}': prompt tuning tunes them",
                "write 'a photo of a {c}.'",
            )
        alone = self._parts.tokens([words])
        length = int(self._parts.ends(alone)[0]) - 1
        same = self._tokens[:, 1 : 1 + length] == alone[:, 1 : 1 + length]
        if self._tokens.shape[1] < length + 2 or not bool(same.all()):
            raise DistnormError(
                f"template {template!r} whose words run into the class's",
                "a blank between them",
                "write 'a photo of a {c}.'",
            )
        return length
