"""Train the built-in model, export it and write its card.

    python -m training.train --out training/run

Symmetric InfoNCE with a learned temperature on drawn scenes: a pool of pictures is rendered once,
and each visit of a picture meets its next caption. Deterministic for a seed on one machine with
one number of threads. A run that was stopped continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from distnorm.encoders.builtin import Words
from distnorm.scenes import WORLDS, vocabulary
from distnorm.scenes.sampling import TRAINING, draw_scene
from training.model import MAX_TOKENS, ImageTower, TextTower

WARM_UP = 200
CHECKPOINT_EVERY = 250


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train distnorm's built-in model.")
    parser.add_argument("--out", type=Path, default=Path("training/run"))
    parser.add_argument("--pictures", type=int, default=120_000)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def pool(options: argparse.Namespace) -> np.ndarray:
    """Rendered training pictures, uint8, memory-mapped; drawn once."""
    path = options.out / f"pictures-{options.seed}-{options.pictures}.npy"
    if not path.exists():
        half = path.with_suffix(".half")
        shape = (options.pictures, 64, 64, 3)
        pictures = np.lib.format.open_memmap(half, "w+", np.uint8, shape)
        start = time.monotonic()
        for i in range(options.pictures):
            pictures[i] = scene(options.seed, i).render()
            if i % 5000 == 4999:
                print(f"drew {i + 1} pictures in {time.monotonic() - start:.0f} s", flush=True)
        pictures.flush()
        half.rename(path)
    return np.load(path, mmap_mode="r")


def scene(seed: int, i: int):  # noqa: ANN201
    """Training scene i: of the matched world, with keys that `generate` cannot reach."""
    return draw_scene(WORLDS["matched"], (TRAINING, seed, i))


class Run:
    """Model, optimizer and place in the run; all of it in a checkpoint."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.words = Words(vocabulary(), MAX_TOKENS)
        self.image = ImageTower().to(options.device, memory_format=torch.channels_last)
        self.text = TextTower(len(self.words.words) + 2).to(options.device)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07), device=options.device))
        decayed = [p for m in (self.image, self.text) for p in m.parameters() if p.ndim > 1]
        others = [p for m in (self.image, self.text) for p in m.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": options.decay},
                {"params": [*others, self.log_scale], "weight_decay": 0.0},
            ],
            lr=options.rate,
        )
        self.step = 0
        self.losses: list[float] = []
        self.seconds = 0.0

    def parts(self) -> dict[str, torch.nn.Module]:
        return {"image": self.image, "text": self.text}

    def save(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self.parts().items()}
        state |= {
            "log_scale": self.log_scale.data,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "seconds": self.seconds,
        }
        half = path.with_suffix(".half")
        torch.save(state, half)
        half.rename(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.options.device, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.log_scale.data = state["log_scale"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]
        self.seconds = state["seconds"]

    def rate(self) -> float:
        """Linear warm-up, then half a cosine to 0."""
        if self.step < WARM_UP:
            return self.options.rate * (self.step + 1) / WARM_UP
        share = (self.step - WARM_UP) / max(self.options.steps - WARM_UP, 1)
        return self.options.rate * 0.5 * (1 + math.cos(math.pi * share))

    def learn(self, pixels: torch.Tensor, tokens: torch.Tensor) -> float:
        """One step of symmetric InfoNCE; the loss in nats."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        device = self.options.device
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16):
            left, right = self.image(pixels.to(device)), self.text(tokens.to(device))
        scores = self.log_scale.exp() * normalize(left.float()) @ normalize(right.float()).T
        own = torch.arange(len(scores), device=device)
        loss = (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100.0))
        self.step += 1
        return loss.item()


def batch(run: Run, pictures: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The step's pictures and one caption of each: the next at each visit."""
    options = run.options
    first = run.step * options.batch
    rows, visits = [], []
    for place in range(first, first + options.batch):
        visit, at = divmod(place, options.pictures)
        if not rows or visits[-1] != visit:
            order = np.random.default_rng([options.seed, visit]).permutation(options.pictures)
        rows.append(int(order[at]))
        visits.append(visit)
    captions = [
        scene(options.seed, row).captions(visit + 1)[-1]
        for row, visit in zip(rows, visits, strict=True)
    ]
    return torch.from_numpy(pictures[np.array(rows)]), torch.from_numpy(run.words(captions))


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = pool(options)
    run = Run(options)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
        print(f"continues at step {run.step}", flush=True)
    start = time.monotonic() - run.seconds
    while run.step < options.steps:
        loss = run.learn(*batch(run, pictures))
        run.losses.append(round(loss, 4))
        run.seconds = time.monotonic() - start
        if run.step % 50 == 0:
            recent = sum(run.losses[-50:]) / 50
            temperature = math.exp(-float(run.log_scale))
            print(
                f"step {run.step}/{options.steps}, loss {recent:.3f}, "
                f"tau {temperature:.4f}, {run.seconds:.0f} s",
                flush=True,
            )
        if run.step % CHECKPOINT_EVERY == 0 or run.step == options.steps:
            run.save(checkpoint)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
    about = {
        "settings": settings,
        "seconds": round(run.seconds, 1),
        "temperature": math.exp(-float(run.log_scale)),
        "losses": run.losses,
    }
    (options.out / "training.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
