"""Accelerators: equal bits at every run on one card, full precision, a share of its memory, its errors by kind."""

from __future__ import annotations

import os

import torch

from promptad.user_error import UserError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""What CUDA's matrix library reads when it begins: with a fixed workspace its sums have one order."""

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_NOT_INITIALIZED",
    "CUSPARSE_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "DEVICE_ALLOCATION_FAILED",
)
"""Texts by which torch, CUDA and ROCm report that memory ran out: the libraries say so too where a handle fails."""

_CREATES = ("CUSOLVER_STATUS_INTERNAL_ERROR", "CUBLAS_STATUS_INTERNAL_ERROR")
"""Texts that mean the same where a handle is created."""

_POISONED = (
    "CUDA error",
    "HIP error",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_MAPPING_ERROR",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_MAPPING_ERROR",
    "CUSOLVER_STATUS_EXECUTION_FAILED",
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "uncorrectable ECC",
    "fallen off the bus",
)
"""Texts after which every later computation of a process on its device fails."""


class DeviceError(UserError):
    """A device that was promised and is not there, or that this process can use no more."""


CONTEXT = 600 * 2**20
"""Bytes of a card that a process takes beside its tensors (an estimate)."""


ONLY_ON_A_CARD = "precision tf32 is a form of products on NVIDIA's cards: use fp32 on a CPU"


def settle(device: torch.device, *, tf32: bool = False) -> None:
    """Make an accelerator compute the same bits at every run, with TF32 only where a config says so.

    Training is chaotic: what differs by rounding ends with other scores. Kernels that have no deterministic form are
    an error, not another number. On a CPU nothing changes.
    """
    if device.type == "cpu":
        return
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Every tensor is written before it is read; filling new ones would cost a kernel each.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def limit_memory(device: torch.device, gpus: float) -> None:
    """Keep this process within its share of a GPU's memory, so that its neighbours on the card keep theirs."""
    if device.type == "cuda" and 0 < gpus < 1:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(max(gpus - CONTEXT / total, gpus / 2))


def device_of(gpus: float | None) -> str:
    """The torch device of a process that was given ``gpus`` of a GPU; None: a GPU where there is one.

    Raises:
        DeviceError: it was given one, and torch sees none: a CPU would take its place at a hundredth of its speed, and
            with other rounding.
    """
    there = torch.cuda.is_available()
    if gpus is None:
        return "cuda" if there else "cpu"
    if gpus <= 0:
        return "cpu"
    if not there:
        raise DeviceError(
            f"{gpus:g} of a GPU was assigned, but torch {torch.__version__} sees none here: install the driver and a "
            "torch for it, or ask for none with --gpus-per-trial 0"
        )
    return "cuda"


def card_of(device: torch.device | str) -> str | None:
    """The model of an accelerator, as its driver calls it; None of a CPU."""
    kind = torch.device(device)
    if kind.type == "cpu":
        return None
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else kind.type


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or beside it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        any(words in text for words in _OUT_OF_MEMORY)
        or (any(words in text for words in _CREATES) and "Create" in text)
    )


def is_poisoned(error: BaseException) -> bool:
    """Whether an error ends every computation of its process on its device."""
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.AcceleratorError) or any(words in str(error) for words in _POISONED)
