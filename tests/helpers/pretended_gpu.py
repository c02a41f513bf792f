"""A GPU that computes nothing: tensors have shapes, types and a device, and an operation on two devices is an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import open_clip
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import BackboneName
from promptad.features.extraction import Features
from promptad.features.pictures import PICTURES, PIXELS
from promptad.images.preparation import CLIP_MEAN, CLIP_STD
from promptad.prompts.padded import Padded

WIDTH, SIDE, SIZE = 32, 4, 32
_MODEL: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {"image_size": SIZE, "layers": 3, "width": WIDTH, "patch_size": SIZE // SIDE, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 3},
}


class _Answers(TorchDispatchMode):
    """Answers what a device without numbers cannot: single values and places of what is true."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "item"):
            kind = args[0].dtype
            return 1.0 if kind.is_floating_point else True if kind == torch.bool else 0
        if name == "nonzero":
            found = max(1, args[0].numel() // 2)
            return torch.zeros((found, args[0].dim()), dtype=torch.long, device=args[0].device)
        return func(*args, **(kwargs or {}))


class Counts(TorchDispatchMode):
    """Counts what a block does on the pretended GPU: waits for it, bytes to and from it, its operations in order."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []
        self.bytes = {"to": 0, "from": 0}
        self.operations: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "item", "nonzero") and args[0].device.type == "cuda":
            self.waits.append(name)
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, torch.Tensor):
            return result
        source = args[1] if name == "copy_" else args[0] if args else None
        if name in ("_to_copy", "copy_") and isinstance(source, torch.Tensor) and source.device != result.device:
            way = "to" if result.device.type == "cuda" else "from"
            self.bytes[way] += result.numel() * result.element_size()
        if result.device.type == "cuda":
            self.operations.append((name, tuple(result.shape)))
        return result


class Unrecorded:
    """Stands for the recorded step of a company: it takes the step itself."""

    def __init__(self, company: Padded) -> None:
        company.step()
        self.step = company.step


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Every tensor of this block is pretended, on a CPU or on ``cuda``; learning computes no gradients."""
    answers: Any = _Answers
    real_tensor, leaves = torch.tensor, list[Any]()

    def tensor(data: Any, *more: Any, device: Any = None, **options: Any) -> Any:
        made = real_tensor(data, *more, **options)
        return made if device is None else torch.empty(made.shape, dtype=made.dtype, device=device)

    def from_numpy(array: Any) -> Any:
        return torch.empty(array.shape, dtype=getattr(torch, array.dtype.name))

    def as_list(self: Any) -> Any:
        return [as_list(part) for part in self] if self.dim() > 1 else [0] * self.numel() if self.dim() else 0

    def no_gradients(_: Any, *__: Any, **___: Any) -> None:
        for leaf in leaves:
            leaf.grad = torch.empty_like(leaf)

    def no_gradient(_: Any, inputs: Any, **__: Any) -> Any:
        several = inputs if isinstance(inputs, list | tuple) else (inputs,)
        return tuple(torch.empty_like(each) for each in several)

    def noting(kind: Any) -> Any:
        begin = kind.__init__

        def begin_and_note(self: Any, parameters: Any, *more: Any, **options: Any) -> None:
            leaves[:] = list(parameters)
            begin(self, list(leaves), *more, **options)

        return patch.object(kind, "__init__", begin_and_note)

    with (
        FakeTensorMode(),
        answers(),
        patch.object(torch, "tensor", tensor),
        patch.object(torch, "from_numpy", from_numpy),
        patch("promptad.anople.picture_views.as_pixels", lambda picture: np.zeros(tuple(picture.shape), np.uint8)),
        patch.object(torch.Tensor, "tolist", as_list),
        patch.object(FakeTensor, "tolist", as_list),
        patch.object(torch.autograd, "backward", no_gradients),
        patch.object(torch.autograd, "grad", no_gradient),
        patch("promptad.prompts.padded.Recorded", Unrecorded),
        # Which channels are wanted depends on numbers: half of them.
        patch("promptad.methods.patches._within", lambda channels, *_: channels[: len(channels) // 2]),
        noting(torch.optim.SGD),
        noting(torch.optim.Adam),
    ):
        yield


def pretended_backbone() -> Backbone:
    """A small CLIP on the pretended GPU; called in its block."""
    model = open_clip.CLIP(**_MODEL).eval()
    for module in model.modules():
        for name, value in list(module._parameters.items()):
            if value is not None:
                there = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                module._parameters[name] = torch.nn.Parameter(there, requires_grad=False)
        for name, value in list(module._buffers.items()):
            if value is not None:
                module._buffers[name] = torch.empty(value.shape, dtype=value.dtype, device="cuda")
    return Backbone(
        name=BackboneName(architecture="ViT-B-16", source="random"),
        weights="none",
        activation="gelu",
        model=model,
        text_tower=model,
        text_tokenizer=open_clip.get_tokenizer("ViT-B-16"),
        image_size=SIZE,
        mean=CLIP_MEAN,
        std=CLIP_STD,
        precision="fp32",
    )


def pretended_features(views: frozenset[str], images: int) -> Features:
    """Features as the cache holds them: on the CPU, for a model on the pretended GPU."""
    return Features(
        views={view: [torch.empty(_shape(view)) for _ in range(images)] for view in views}, device=torch.device("cuda")
    )


def _shape(view: str) -> tuple[int, ...]:
    if view.startswith("rotated/"):
        _, copies, inner = view.split("/", 2)
        return (int(copies), *_shape(inner))
    view = view.removeprefix("raw/")
    if view == "global":
        return (WIDTH,)
    if view == "stream":
        return (SIDE, SIDE * SIDE, WIDTH)
    if view == PIXELS:
        return (3, SIZE, SIZE)
    for factor, name in PICTURES.items():
        if view == name:
            return (factor * SIZE, factor * SIZE, 3)
    if view.startswith("windows/"):
        return ((SIDE - int(view.split("/")[1]) + 1) ** 2, WIDTH)
    return (SIDE * SIDE, WIDTH)
