"""Prompt tuning against plain autograd through the whole model, and against differences."""

from __future__ import annotations

import numpy as np
import pytest

from distnorm import DistnormError, make

torch = pytest.importorskip("torch", reason="prompt tuning is done in torch")
pytest.importorskip("PIL.Image", reason="pictures are PIL images")

from tiny_clips import pictures, tiny_clip, whole_text_rows

from distnorm.augmentation import class_scores
from distnorm.augmentation.clip_parts import clip_parts, frozen
from distnorm.augmentation.tpt import PromptTuner, confident_views, mean_entropy
from distnorm.augmentation.views import random_crops

CLASSES = ["cat", "three-toed sloth", "dog", "fire engine", "a very small house by the sea"]
KINDS = ("open_clip-vit", "open_clip-custom", "transformers")


def table_of(model):
    """The module that looks token embeddings up."""
    return next(m for name, m in model.named_modules() if name.endswith("token_embedding"))


def prompt_rows(encoder, context, length=4):
    """Unit class rows by the model's own call, the prompt's words replaced on the way in."""

    def replaced(module, given, found):
        shared = context.to(found.dtype).expand(len(found), -1, -1)
        return torch.cat([found[:, :1], shared, found[:, 1 + length :]], dim=1)

    hook = table_of(encoder.model).register_forward_hook(replaced)
    try:
        rows = whole_text_rows(encoder, [f"a photo of a {name}." for name in CLASSES])
    finally:
        hook.remove()
    return rows / rows.norm(dim=1, keepdim=True)


def first_context(encoder):
    """Embeddings of "a photo of a", looked up by their numbers."""
    import open_clip

    numbers = open_clip.tokenizer.SimpleTokenizer().encode("a photo of a")
    assert len(numbers) == 4
    return table_of(encoder.model)(torch.tensor(numbers)).detach()


def tuned_by_the_book(encoder, views, scale, steps=1):
    """Shu et al., step by step, on all classes and tokens at once."""
    context = torch.nn.Parameter(first_context(encoder).double())
    optimizer = torch.optim.AdamW([context], lr=5e-3)
    x, chosen = torch.from_numpy(views).double(), None
    for _ in range(steps):
        probabilities = (scale * x @ prompt_rows(encoder, context).T).softmax(dim=1)
        if chosen is None:
            entropy = -(probabilities * probabilities.log()).sum(dim=1)
            chosen = entropy.argsort()[: int(len(x) * 0.1)]
        mean = probabilities[chosen].mean(dim=0)
        optimizer.zero_grad()
        (-(mean * mean.log()).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        return prompt_rows(encoder, context)


@pytest.fixture(params=KINDS)
def encoder(request):
    return tiny_clip(request.param, double=True)


@pytest.fixture
def views():
    return random_crops(pictures(1)[0], 30, size=32)


@pytest.mark.parametrize(("steps", "chunk"), [(1, 64), (1, 2), (3, 5)])
def test_tuned_rows_are_those_of_the_paper(encoder, views, steps, chunk):
    parts, rows = clip_parts(encoder), encoder.encode_images(views)
    with frozen(encoder.model):
        tuner = PromptTuner(parts, CLASSES, steps=steps, chunk=chunk)
        found = tuner.tune(rows)
    expected = tuned_by_the_book(encoder, rows, parts.scale, steps)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert float((found - tuner.class_rows).abs().max()) > 1e-4


def test_gradient_is_that_of_finite_differences(encoder, views):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(encoder.encode_images(views[:3])).double()
    with frozen(encoder.model):
        tuner = PromptTuner(clip_parts(encoder), CLASSES, chunk=2)
        context = tuner.context
        loss, gradient = tuner.loss_and_gradient(context, x)
        assert gradient.shape == (4, 32)
        assert loss == pytest.approx(
            float(mean_entropy(clip_parts(encoder).scale * x @ tuner.class_rows.T))
        )
        for _ in range(5):
            direction = torch.from_numpy(rng.standard_normal((4, 32)))
            step = 1e-5
            up, down = (
                tuner.loss_and_gradient(context + sign * step * direction, x)[0] for sign in (1, -1)
            )
            slope = float((gradient * direction).sum())
            assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_a_step_lowers_the_entropy_it_is_meant_to_lower(encoder, views):
    parts, x = clip_parts(encoder), encoder.encode_images(views)
    with frozen(encoder.model):
        tuner = PromptTuner(parts, CLASSES)
        before, after = tuner.class_rows, tuner.tune(x)
    x = torch.from_numpy(x).double()
    chosen = x[confident_views(parts.scale * x @ before.T, 0.1)]
    assert mean_entropy(parts.scale * chosen @ after.T) < mean_entropy(
        parts.scale * chosen @ before.T
    )


def test_weights_and_their_flags_stay_as_they_were(encoder):
    encoder.model.requires_grad_(True)
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    class_scores("tpt", encoder, pictures(1), CLASSES, views=10)
    for name, weight in encoder.model.named_parameters():
        assert weight.requires_grad
        assert weight.grad is None
        assert torch.equal(weight, before[name])


def test_every_picture_begins_anew(encoder):
    images = pictures(3)
    together = class_scores("tpt", encoder, images, CLASSES, views=10)
    for at, image in enumerate(images):
        alone = class_scores("tpt", encoder, [image], CLASSES, views=10)
        np.testing.assert_allclose(together.scores["dot"][at], alone.scores["dot"][0], atol=1e-6)


def test_normalizations_see_the_picture_and_its_own_class_rows(encoder):
    images, parts = pictures(2), clip_parts(encoder)
    known = encoder.encode_images(pictures(20, seed=1))
    texts = encoder.encode_texts(CLASSES)
    norms = {name: make(name).fit(images=known, texts=texts) for name in ("dn", "nnn", "centered")}
    found = class_scores("tpt", encoder, images, CLASSES, norms={"dot": None, **norms}, seed=3)
    for at, image in enumerate(images):
        x = encoder.encode_images([image, *random_crops(image, 63, size=32, seed=3)])
        rows = tuned_by_the_book(encoder, x, parts.scale).float().numpy()
        np.testing.assert_allclose(found.scores["dot"][at], rows @ x[0], atol=1e-5)
        shifted = x[0] - known.mean(axis=0) / 2
        np.testing.assert_allclose(found.scores["dn"][at], rows @ shifted, atol=1e-5)
        for name in ("nnn", "centered"):
            expected = norms[name].ranking(x[:1], rows, "image").scores()[0]
            np.testing.assert_allclose(found.scores[name][at], expected, atol=1e-5)
    np.testing.assert_allclose(found.image_rows, encoder.encode_images(images), atol=1e-6)


@pytest.mark.parametrize("mix", [False, True])
def test_views_are_the_picture_and_its_crops(monkeypatch, mix):
    encoder, seen = tiny_clip("open_clip-vit"), []
    encode = encoder.encode_images

    def noted(images, **more):
        seen.extend(images)
        return encode(images, **more)

    monkeypatch.setattr(encoder, "encode_images", noted)
    (picture,) = pictures(1)
    class_scores("tpt", encoder, [picture], CLASSES, views=12, mix=mix, seed=5)
    expected = [picture, *random_crops(picture, 11, size=32, seed=5, mix=mix)]
    assert [view.tobytes() for view in seen] == [view.tobytes() for view in expected]


def test_no_step_is_the_dot_product(encoder):
    images = pictures(2)
    plain = class_scores("none", encoder, images, CLASSES)
    still = class_scores("tpt", encoder, images, CLASSES, steps=0, views=1)
    np.testing.assert_allclose(still.scores["dot"], plain.scores["dot"], atol=1e-5)
    np.testing.assert_allclose(still.class_rows, plain.class_rows, atol=1e-5)


def test_confident_views_are_the_tenth_of_lowest_entropy():
    logits = torch.zeros(64, 3)
    logits[10:16, 0] = torch.arange(6, 0, -1.0)
    assert confident_views(logits, 0.1).tolist() == [10, 11, 12, 13, 14, 15]
    assert confident_views(logits, 1 / 64).tolist() == [10]
    assert confident_views(logits[:5], 0.1).tolist() == [0]
    assert len(confident_views(torch.rand(30, 3), 0.1)) == 3


def test_entropy_of_the_mean_holds_where_a_class_has_no_chance():
    even = torch.tensor([[1e9, 0.0, 0.0], [0.0, 1e9, 0.0]], dtype=torch.float64)
    even.requires_grad_(True)
    loss = mean_entropy(even)
    assert loss.item() == pytest.approx(np.log(2))
    loss.backward()
    assert bool(even.grad.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_tunes_too(kind):
    encoder = tiny_clip(kind)
    encoder.model.to(torch.bfloat16)
    parts = clip_parts(encoder)
    with frozen(encoder.model):
        tuner = PromptTuner(parts, CLASSES)
        found = tuner.tune(np.eye(16, dtype=np.float32))
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    assert float((found - tuner.class_rows).abs().max()) > 0


@pytest.mark.parametrize(
    ("template", "words"),
    [("{c}", "words before"), ("a photo of a{c}.", "run into the class's")],
)
def test_templates_that_cannot_be_tuned_are_said(template, words):
    encoder = tiny_clip("open_clip-vit")
    with pytest.raises(DistnormError, match=words):
        class_scores("tpt", encoder, pictures(1), CLASSES, templates=(template,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"templates": ("a {c}", "the {c}")}, "exactly one"),
        ({"templates": "a {c}"}, "exactly one"),
        ({"templates": ("a dog",)}, "exactly one"),
        ({"classes": {"cat": ["a cat"]}}, "a list of names"),
        ({"classes": []}, "a list of names"),
        ({"views": 0}, "views = 0"),
        ({"confident": 0}, "confident = 0"),
        ({"steps": -1}, "steps = -1"),
        ({"chunk": 0}, "chunk = 0"),
    ],
)
def test_settings_that_make_no_sense_are_said(change, words):
    encoder = tiny_clip("open_clip-vit")
    options = {"classes": CLASSES} | change
    with pytest.raises(DistnormError, match=words):
        class_scores("tpt", encoder, pictures(1), **options)


def test_another_template_tunes_its_own_words():
    encoder = tiny_clip("open_clip-vit")
    tuner = PromptTuner(clip_parts(encoder), CLASSES, "itap of the {c}, a type of thing.")
    words = encoder.tokenizer.encode("itap of the")
    np.testing.assert_array_equal(
        tuner.context, encoder.model.token_embedding(torch.tensor(words)).detach()
    )
    assert len(words) > 3  # "itap" is none of CLIP's words
