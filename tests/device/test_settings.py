"""Settings of torch are as the proofs need them, and then as the user had them."""

from __future__ import annotations

import pytest

from distnorm.device.settings import in_blocks, in_memory, on_device, whole_sums
from distnorm.errors import DistnormError

torch = pytest.importorskip("torch", reason="its settings")

REDUCED = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")


@pytest.fixture
def settings():
    """Torch's settings of products on a GPU, put back afterwards."""
    found = torch.backends.cuda.matmul
    names = [*REDUCED, "allow_fp16_accumulation", "fp32_precision"]
    names = [name for name in names if hasattr(found, name)]
    before = {name: getattr(found, name) for name in names}
    precision = torch.get_float32_matmul_precision()
    yield found
    torch.set_float32_matmul_precision(precision)
    for name, value in before.items():
        setattr(found, name, value)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_settings_are_left_as_found(settings, precision, fails):
    allowed = precision == "high"
    for name in REDUCED:
        setattr(settings, name, allowed)
    torch.set_float32_matmul_precision(precision)

    def multiply():
        with whole_sums():
            assert not any(getattr(settings, name) for name in REDUCED)
            assert not settings.allow_tf32
            if fails:
                raise RuntimeError("of the user's own")

    if fails:
        with pytest.raises(RuntimeError, match="own"):
            multiply()
    else:
        multiply()
    assert [getattr(settings, name) for name in REDUCED] == [allowed, allowed]
    assert torch.get_float32_matmul_precision() == precision
    assert settings.allow_tf32 == (precision != "highest")


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="an older torch"
)
def test_the_newer_name_of_a_setting_is_left_as_found(settings):
    settings.fp32_precision = "tf32"
    with whole_sums():
        assert settings.fp32_precision == "ieee"
    assert settings.fp32_precision == "tf32"


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, f"{REDUCED[0]}_split_k"), reason="an older torch"
)
def test_what_stands_beside_a_setting_is_left_as_found(settings):
    for name in REDUCED:
        setattr(settings, name, (False, False))
    with whole_sums():
        pass
    for name in REDUCED:
        assert not getattr(settings, f"{name}_split_k")
        setattr(settings, name, (True, True))


def test_blocks_become_smaller_until_they_fit():
    def work(rows):
        if rows.stop - rows.start > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return rows

    found = list(in_blocks(20, 9, work, "rows"))
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(20))
    assert [part.stop - part.start for part in found] == [2] * 10


def test_memory_that_never_suffices_is_said_in_one_line():
    def never(rows):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DistnormError, match="too little memory on the device for rows"):
        list(in_blocks(20, 9, never, "rows"))
    with pytest.raises(DistnormError, match="for a sum"), in_memory("a sum"):
        never(slice(0, 1))


def test_where_tensors_count_as_being_on_a_device():
    assert not on_device(torch.zeros(1))
    assert not on_device(torch.zeros(1, device="meta"))
    assert not on_device([1.0])


def test_kernels_that_do_not_run_on_a_card_are_left_alone(monkeypatch):
    """Where a card is said to be and none is, as without a compiler: torch does it."""
    from distnorm.device import operations

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    assert operations._kernels.__wrapped__("cuda", 0) is None
    assert operations._kernels.__wrapped__("xpu", 0) is None


def test_a_kernel_that_a_card_refuses_is_asked_once(monkeypatch):
    """As one that wants more shared memory than there is: plain torch does it from then on."""
    from types import SimpleNamespace

    from distnorm.device import operations

    class Refused:
        asked = 0

        def __getitem__(self, grid):
            self.asked += 1
            raise RuntimeError("out of resource: shared memory")

    kernel = Refused()
    card = SimpleNamespace(is_cuda=False, device=torch.device("cuda", 0))
    monkeypatch.setattr(operations, "_refused", set())
    assert not operations.launch(kernel, 1, card, D=8)
    assert not operations.launch(kernel, 1, card, D=8)
    assert kernel.asked == 1
    with pytest.raises(RuntimeError, match="shared memory"):
        operations.launch(kernel, 1, torch.zeros(1), D=8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_rows_on_a_device_are_looked_at_at_once(monkeypatch, dtype, value):
    from distnorm import arrays

    monkeypatch.setattr("distnorm.array_kinds._ANSWERED_BY_BLOCK", ("meta",))
    x = torch.ones(50, 8, dtype=getattr(torch, dtype), requires_grad=True)
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "check_rows", lambda *x: pytest.fail("looked at twice"))
        assert arrays.check_embeddings(x, "images") is x
    x.data[31] = value
    with pytest.raises(DistnormError, match="row 31"):
        arrays.check_embeddings(x, "images")
    x.data[31] = 1e-30 if dtype in ("float32", "float64") else 1e-7
    assert arrays.check_embeddings(x, "images") is x
