"""Every dual encoder of transformers at a small size, saved as its authors save it."""

from __future__ import annotations

from encoder_laws import WORDS

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {**TOWER, "num_attention_heads": 2}
EYE = {**HEADS, "image_size": 32, "patch_size": 8}
CLIP_IMAGES = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
SQUARE = {"size": {"height": 32, "width": 32}}


def bert_tokenizer(transformers, folder, length=48):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=length)


def clip_tokenizer(transformers, folder, length=20):
    """Each letter a token: the vocabulary needs no merges."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocab = {token: n for n, token in enumerate([*letters, *(c + "</w>" for c in letters)])}
    vocab.update({"<|startoftext|>": len(vocab), "<|endoftext|>": len(vocab) + 1})
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length)


def word_tokenizer(transformers, begin, end, length, **special):
    """Whole words, with the marks of a family around them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = {token: n for n, token in enumerate([*marks, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    template = f"{begin} $A {end}".strip()
    used = [(mark, vocab[mark]) for mark in (begin, end) if mark]
    inner.post_processor = processors.TemplateProcessing(template, special_tokens=used)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=length,
        **special,
    )


def roberta_tokenizer(transformers, folder):
    return word_tokenizer(transformers, "<s>", "</s>", 20)


def siglip_tokenizer(transformers, folder):
    return word_tokenizer(transformers, "", "</s>", 64, model_input_names=["input_ids"])


def siglip2_tokenizer(transformers, folder):
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    vocab = {token: n for n, token in enumerate([*marks, *"abcdefghijklmnopqrstuvwxyz"])}
    # As published: the model sees its padding, so no mask is returned.
    return transformers.Siglip2Tokenizer(
        vocab=vocab, merges=[], model_max_length=64, model_input_names=["input_ids"]
    )


def clip(t):
    text = {**HEADS, "vocab_size": 54, "max_position_embeddings": 20}
    text.update(bos_token_id=52, eos_token_id=53, pad_token_id=53)
    config = t.CLIPConfig(text_config=text, vision_config=EYE, projection_dim=16)
    return t.CLIPModel(config), t.CLIPImageProcessorPil(**CLIP_IMAGES), clip_tokenizer


def siglip(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 64, "projection_size": 32}
    config = t.SiglipConfig(text_config=text, vision_config=EYE)
    return t.SiglipModel(config), t.SiglipImageProcessorPil(**SQUARE), siglip_tokenizer


def siglip2(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 64, "projection_size": 32}
    eye = {**HEADS, "patch_size": 8, "num_patches": 16}
    config = t.Siglip2Config(text_config=text, vision_config=eye)
    images = t.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return t.Siglip2Model(config), images, siglip2_tokenizer


def align(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 48}
    eye = {"image_size": 32, "hidden_dim": 32, "width_coefficient": 0.1, "depth_coefficient": 0.1}
    eye.update(in_channels=[32, 16], out_channels=[16, 320], kernel_sizes=[3, 3], strides=[1, 2])
    eye.update(num_block_repeats=[1, 1], expand_ratios=[1, 2], depthwise_padding=[])
    config = t.AlignConfig(text_config=text, vision_config=eye, projection_dim=32)
    images = t.EfficientNetImageProcessorPil(
        size={"height": 40, "width": 40},
        crop_size={"height": 32, "width": 32},
        do_center_crop=True,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        include_top=False,
    )
    return t.AlignModel(config), images, bert_tokenizer


def altclip(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 24, "project_dim": 24}
    text.update(pad_token_id=1, bos_token_id=0, eos_token_id=2)
    config = t.AltCLIPConfig(text_config=text, vision_config=EYE, projection_dim=16)
    return t.AltCLIPModel(config), t.CLIPImageProcessorPil(**CLIP_IMAGES), roberta_tokenizer


def chinese_clip(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 48}
    config = t.ChineseCLIPConfig(text_config=text, vision_config=EYE, projection_dim=16)
    images = t.ChineseCLIPImageProcessorPil(**SQUARE, do_center_crop=False)
    return t.ChineseCLIPModel(config), images, bert_tokenizer


def metaclip_2(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 20}
    text.update(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    config = t.MetaClip2Config(text_config=text, vision_config=EYE, projection_dim=16)
    return t.MetaClip2Model(config), t.CLIPImageProcessorPil(**CLIP_IMAGES), roberta_tokenizer


def flava(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 48}
    config = t.FlavaConfig(
        text_config=text,
        image_config=EYE,
        multimodal_config=HEADS,
        projection_dim=16,
        hidden_size=32,
    )
    images = t.FlavaImageProcessorPil(**SQUARE, crop_size=SQUARE["size"])
    return t.FlavaModel(config), images, bert_tokenizer


def blip(t):
    text = {**HEADS, "vocab_size": 40, "max_position_embeddings": 48, "encoder_hidden_size": 32}
    text.update(bos_token_id=2, pad_token_id=0, sep_token_id=3)
    eye = {**EYE, "initializer_range": 0.1}
    config = t.BlipConfig(
        text_config=text, vision_config=eye, image_text_hidden_size=16, projection_dim=16
    )
    images = t.BlipImageProcessorPil(**SQUARE)
    return t.BlipForImageTextRetrieval(config), images, bert_tokenizer


def blip_2(t):
    former = {**HEADS, "vocab_size": 40, "max_position_embeddings": 48, "encoder_hidden_size": 32}
    config = t.Blip2Config(
        vision_config={**EYE, "initializer_range": 0.1},
        qformer_config={**former, "use_qformer_text_input": True},
        text_config={"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1},
        num_query_tokens=4,
        image_text_hidden_size=16,
    )
    model = t.Blip2ForImageTextRetrieval(config)
    model.query_tokens.data.normal_()
    return model, t.BlipImageProcessorPil(**SQUARE), bert_tokenizer


def dual(t):
    text = t.BertConfig(**HEADS, vocab_size=40, max_position_embeddings=48)
    config = t.VisionTextDualEncoderConfig.from_vision_text_configs(
        t.ViTConfig(**EYE), text, projection_dim=16
    )
    return t.VisionTextDualEncoderModel(config), t.ViTImageProcessorPil(**SQUARE), bert_tokenizer


MODELS = {
    "clip": clip,
    "siglip": siglip,
    "siglip2-native": siglip2,
    "align": align,
    "altclip": altclip,
    "chinese-clip": chinese_clip,
    "metaclip-2": metaclip_2,
    "flava": flava,
    "blip": blip,
    "blip-2": blip_2,
    "vision-text-dual": dual,
}


def save(kind, folder):
    """Build the model with seeded random weights, save it, return it in evaluation mode."""
    import torch
    import transformers

    torch.manual_seed(3)
    model, images, tokenizer = MODELS[kind](transformers)
    # Initial weights are so small that every row comes out alike.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name.lower():
                weight.mul_(4)
    model.save_pretrained(folder)
    images.save_pretrained(folder)
    tokenizer(transformers, folder).save_pretrained(folder)
    return model.eval(), images
