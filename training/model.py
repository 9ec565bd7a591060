"""The two towers of the built-in model; both end in ``DIMENSION`` un-normalised numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DIMENSION", "MAX_TOKENS", "ImageTower", "TextTower"]

DIMENSION = 128
MAX_TOKENS = 48


def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Stage(nn.Module):
    """Halve the size, then one residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = _conv(inputs, outputs, 2)
        self.more = _conv(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return x + self.more(x)


class ImageTower(nn.Module):
    """Pixels, uint8 of shape (n, 64, 64, 3), to (n, DIMENSION)."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            _conv(3, 32, 2), _Stage(32, 64), _Stage(64, 128), _Stage(128, 192)
        )
        self.squeeze = nn.Conv2d(192, 64, 1)
        self.head = nn.Linear(64 * 16, DIMENSION)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        x = torch.relu(self.squeeze(self.stages(x)))
        return self.head(x.flatten(1))


class _Layer(nn.Module):
    """Pre-norm self-attention and a two-layer perceptron."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.in_projection = nn.Linear(width, 3 * width)
        self.out_projection = nn.Linear(width, width)
        self.before_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.in_projection(self.before_attention(x))
        parts = parts.reshape(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
        weights = torch.softmax(scores + hidden[:, None, None, :], dim=-1)
        x = x + self.out_projection((weights @ value).transpose(1, 2).reshape(n, length, width))
        return x + self.perceptron(self.before_perceptron(x))


class TextTower(nn.Module):
    """Word numbers, int64 of shape (n, length <= MAX_TOKENS), 0 as padding, to (n, DIMENSION)."""

    def __init__(self, words: int, width: int = 128, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(0.02 * torch.randn(MAX_TOKENS, width))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, DIMENSION)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        there = (tokens > 0).to(torch.float32)
        hidden = (there - 1) * 1e4
        x = self.words(tokens) + self.places[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, hidden)
        x = self.norm(x) * there[:, :, None]
        return self.head(x.sum(dim=1) / there.sum(dim=1, keepdim=True))
