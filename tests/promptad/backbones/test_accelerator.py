"""What a process does with an accelerator, on a machine without one."""

import os

import pytest
import torch

from promptad.backbones import accelerator
from promptad.backbones.accelerator import (
    CONTEXT,
    WORKSPACE,
    DeviceError,
    device_of,
    is_out_of_memory,
    is_poisoned,
    limit_memory,
    settle,
)
from promptad.backbones.backbone import BackboneError, load_backbone

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def flags(monkeypatch):
    """What torch is told, as it was before the test when it ends."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    names = [(cudnn, "deterministic"), (cudnn, "benchmark"), (cudnn, "allow_tf32"), (matmul, "allow_tf32")]
    names += [(matmul, "allow_fp16_reduced_precision_reduction")]
    before = [(owner, name, getattr(owner, name)) for owner, name in names]
    fill = torch.utils.deterministic.fill_uninitialized_memory
    monkeypatch.delenv(WORKSPACE, raising=False)
    yield lambda: {name: getattr(owner, name) for owner, name in names[:3]} | {"matmul": matmul.allow_tf32}
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    for owner, name, value in before:
        setattr(owner, name, value)


def test_an_accelerator_computes_deterministically_and_without_tf32(flags):
    settle(CUDA)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert flags() == {"deterministic": True, "benchmark": False, "allow_tf32": False, "matmul": False}
    settle(CUDA, tf32=True)
    assert flags() == {"deterministic": True, "benchmark": False, "allow_tf32": True, "matmul": True}
    settle(CUDA)
    assert not flags()["allow_tf32"]
    assert os.environ[WORKSPACE] == ":4096:8"


def test_a_cpu_is_left_as_it_is(flags):
    before = flags()
    settle(CPU)
    assert flags() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert WORKSPACE not in os.environ


def test_every_backbone_settles_its_device_before_it_loads(monkeypatch):
    settled = []
    monkeypatch.setattr("promptad.backbones.backbone.settle", lambda device, *, tf32: settled.append((device, tf32)))
    load_backbone("tiny")
    assert settled == [(CPU, False)]


def test_a_promised_gpu_that_torch_does_not_see_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"0\.25 of a GPU was assigned, but torch .* sees none here"):
        device_of(0.25)
    assert (device_of(0), device_of(None)) == ("cpu", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (device_of(0.25), device_of(0), device_of(None)) == ("cuda", "cpu", "cuda")


class Card:
    total_memory = 10 * CONTEXT


def test_a_process_keeps_to_its_share_of_a_cards_memory(monkeypatch):
    limits = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limits.append)
    limit_memory(CUDA, 0.25)
    limit_memory(CUDA, 0.1)
    assert limits == [pytest.approx(0.15), pytest.approx(0.05)]
    for device, gpus in ((CUDA, 1.0), (CUDA, 2.0), (CPU, 0.25)):
        limit_memory(device, gpus)
    assert len(limits) == 2


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "HIP out of memory. Tried to allocate 20.00 MiB",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
    ],
)
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_memory_that_ran_out_is_known_by_its_text(text, kind):
    assert is_out_of_memory(kind(text))
    assert not is_poisoned(kind(text))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("an illegal memory access was encountered"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported late"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("HIP error: an illegal memory access was encountered"),
    ],
)
def test_an_error_after_which_nothing_can_be_computed_is_known(error):
    assert is_poisoned(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("CUDA error"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnSgesvd`"),
        RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation"),
    ],
)
def test_other_errors_are_neither(error):
    assert not is_poisoned(error)
    assert not is_out_of_memory(error)


def test_cards_have_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card of {device}")
    assert accelerator.card_of("cpu") is None
    assert accelerator.card_of("cuda") == "card of cuda"


def test_tf32_is_an_accelerators():
    with pytest.raises(
        BackboneError, match="precision tf32 is a form of products on NVIDIA's cards: use fp32 on a CPU"
    ):
        load_backbone("small-vit:random", precision="tf32")
