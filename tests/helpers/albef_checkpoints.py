"""State dicts as ALBEF's and TCL's authors save them, at a small size.

The keys are those of their ``models/model_pretrain.py`` and ``models/model_retrieval.py``.
"""

from __future__ import annotations

from encoder_laws import WORDS

WIDTH, INNER, D, PATCH, GRID, LAYERS, FUSION = 64, 96, 16, 8, 4, 4, 2
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s"]


def state(torch, kind):
    """A ``pretrain`` or a ``retrieval`` checkpoint's tensors."""
    torch.manual_seed(4)
    found = {}

    def linear(name, n_in, n_out):
        found[f"{name}.weight"] = torch.randn(n_out, n_in) / n_in**0.5
        found[f"{name}.bias"] = torch.randn(n_out) * 0.1

    def norm(name, width):
        found[f"{name}.weight"] = 1 + torch.randn(width) * 0.1
        found[f"{name}.bias"] = torch.randn(width) * 0.1

    for m in ("", "_m"):
        eye = f"visual_encoder{m}"
        found[f"{eye}.cls_token"] = torch.randn(1, 1, WIDTH)
        found[f"{eye}.pos_embed"] = torch.randn(1, 1 + GRID**2, WIDTH)
        found[f"{eye}.patch_embed.proj.weight"] = torch.randn(WIDTH, 3, PATCH, PATCH) / 14
        found[f"{eye}.patch_embed.proj.bias"] = torch.randn(WIDTH) * 0.1
        for n in range(3):
            block = f"{eye}.blocks.{n}"
            norm(f"{block}.norm1", WIDTH)
            linear(f"{block}.attn.qkv", WIDTH, 3 * WIDTH)
            linear(f"{block}.attn.proj", WIDTH, WIDTH)
            norm(f"{block}.norm2", WIDTH)
            linear(f"{block}.mlp.fc1", WIDTH, 4 * WIDTH)
            linear(f"{block}.mlp.fc2", 4 * WIDTH, WIDTH)
        norm(f"{eye}.norm", WIDTH)
        bert = f"text_encoder{m}.bert" if kind == "pretrain" else f"text_encoder{m}"
        found[f"{bert}.embeddings.position_ids"] = torch.arange(40)[None]
        for name, rows in (("word", len(VOCABULARY)), ("position", 40), ("token_type", 2)):
            found[f"{bert}.embeddings.{name}_embeddings.weight"] = torch.randn(rows, WIDTH)
        norm(f"{bert}.embeddings.LayerNorm", WIDTH)
        for n in range(LAYERS):
            layer = f"{bert}.encoder.layer.{n}"
            for part in ("attention", *(["crossattention"] if n >= FUSION else [])):
                for what in ("query", "key", "value"):
                    linear(f"{layer}.{part}.self.{what}", WIDTH, WIDTH)
                linear(f"{layer}.{part}.output.dense", WIDTH, WIDTH)
                norm(f"{layer}.{part}.output.LayerNorm", WIDTH)
            linear(f"{layer}.intermediate.dense", WIDTH, INNER)
            linear(f"{layer}.output.dense", INNER, WIDTH)
            norm(f"{layer}.output.LayerNorm", WIDTH)
        if kind == "pretrain":
            head = f"text_encoder{m}.cls.predictions"
            found[f"{head}.bias"] = torch.zeros(len(VOCABULARY))
            linear(f"{head}.transform.dense", WIDTH, WIDTH)
            norm(f"{head}.transform.LayerNorm", WIDTH)
            linear(f"{head}.decoder", WIDTH, len(VOCABULARY))
        linear(f"vision_proj{m}", WIDTH, D)
        linear(f"text_proj{m}", WIDTH, D)
    linear("itm_head", WIDTH, 2)
    found["temp"] = torch.tensor(0.05)
    found["image_queue"], found["text_queue"] = torch.randn(D, 8), torch.randn(D, 8)
    found["queue_ptr"] = torch.zeros(1, dtype=torch.long)
    if kind == "retrieval":
        found["idx_queue"] = torch.full((1, 8), -100)
    return found


def own_image_rows(torch, weights, pixels):
    """The authors' image side, written out: pixels (n, 3, side, side) to raw rows."""
    from torch.nn import functional as f

    w = {k.removeprefix("visual_encoder."): v for k, v in weights.items()}
    x = f.conv2d(pixels, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1) + w["pos_embed"]
    for n in range(3):
        b = {k.removeprefix(f"blocks.{n}."): v for k, v in w.items()}
        y = f.layer_norm(x, (WIDTH,), b["norm1.weight"], b["norm1.bias"], 1e-6)
        q, k, v = f.linear(y, b["attn.qkv.weight"], b["attn.qkv.bias"]).chunk(3, dim=-1)
        y = (q @ k.transpose(1, 2) / WIDTH**0.5).softmax(-1) @ v  # one head of 64
        x = x + f.linear(y, b["attn.proj.weight"], b["attn.proj.bias"])
        y = f.layer_norm(x, (WIDTH,), b["norm2.weight"], b["norm2.bias"], 1e-6)
        y = f.gelu(f.linear(y, b["mlp.fc1.weight"], b["mlp.fc1.bias"]))
        x = x + f.linear(y, b["mlp.fc2.weight"], b["mlp.fc2.bias"])
    x = f.layer_norm(x, (WIDTH,), w["norm.weight"], w["norm.bias"], 1e-6)
    return f.linear(x[:, 0], weights["vision_proj.weight"], weights["vision_proj.bias"])


def own_text_row(torch, weights, ids):
    """The authors' text side, written out: one text's numbers to its raw row."""
    from torch.nn import functional as f

    w = {
        k.replace("text_encoder.bert.", "").replace("text_encoder.", ""): weights[k]
        for k in weights
        if k.startswith("text_encoder.")
    }

    def norm(x, name):
        return f.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    def linear(x, name):
        return f.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    e = "embeddings"
    x = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.token_type_embeddings.weight"][0]
    x = norm(x + w[f"{e}.position_embeddings.weight"][: len(ids)], f"{e}.LayerNorm")
    for n in range(FUSION):
        layer = f"encoder.layer.{n}"
        q, k, v = (linear(x, f"{layer}.attention.self.{s}") for s in ("query", "key", "value"))
        y = (q @ k.T / WIDTH**0.5).softmax(-1) @ v
        x = norm(
            x + linear(y, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm"
        )
        y = f.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(y, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return f.linear(x[0], weights["text_proj.weight"], weights["text_proj.bias"])
