"""MKD (Salehi et al., CVPR 2021): a small student imitates the frozen tower's maps, and fails where images differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from promptad.backbones.backbone import Backbone
from promptad.backbones.towers import grid_side
from promptad.configs.method_config import Task
from promptad.configs.network_configs import MKDConfig
from promptad.features.encoding import view_shapes
from promptad.features.extraction import Features
from promptad.features.pictures import PIXELS
from promptad.methods.method import Fitted, MethodSize, Scores, WithoutPrompts
from promptad.methods.patches import patch_views
from promptad.networks.learning import Course, learn
from promptad.networks.student import Rectify, Student, TeacherMap, guided_relu
from promptad.randomness import torch_generator

CHUNK = 8
"""Query images scored at once; bounds memory, changes no score but by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedMKD:
    """The student of one category, with the running statistics of its normalisation."""

    backbone: Backbone
    config: MKDConfig
    task: Task
    student: Student

    def score(self, query: Features) -> Scores:
        """The discrepancy of teacher and student; for the pixel task the size of its gradient at each patch.

        The gradient is with respect to the student's input, absolute values summed over the three channels, and its
        mean over the pixels of each patch of the finest map.
        """
        views = teacher_views(self.config, self.backbone, query)
        parts = []
        for chunk in query.chunks(CHUNK):
            images = query.stack(PIXELS, chunk.start, chunk.stop).float()
            teacher = [query.stack(view, chunk.start, chunk.stop).float() for view in views]
            parts.append((self._scores if self.task == "image" else self._maps)(images, teacher).cpu())
        scored = torch.cat(parts)
        if self.task == "image":
            return Scores(image=scored, maps=None, branches={})
        return Scores(image=None, maps=scored, branches={})

    def tensors(self) -> dict[str, Tensor]:
        """The student by name."""
        return self.student.tensors()

    @torch.inference_mode()
    def _scores(self, images: Tensor, teacher: Sequence[Tensor]) -> Float[Tensor, " image"]:
        return discrepancy(teacher, self.student(images), self.config.distance_weight)

    def _maps(self, images: Tensor, teacher: Sequence[Tensor]) -> Float[Tensor, "image row column"]:
        with torch.enable_grad():
            seen = images.detach().clone().requires_grad_()
            imitated = self.student(seen, rectify=_rectifier(self.config))
            total = discrepancy(teacher, imitated, self.config.distance_weight).sum()
            (gradient,) = torch.autograd.grad(total, seen)
        side = self.student.maps[0].side
        return adaptive_avg_pool2d(gradient.abs().sum(dim=1), side)


class MKD(WithoutPrompts):
    """MKD's entry point; see ``Method``.

    A student learns the teacher's maps a of normal images. L is the sum over maps of 1 - cos(a, a') + lambda mean
    (a - a')^2, with cos over the whole flattened map. The same sum is an image's score; the size of its gradient with
    respect to the pixels is the map. Ours:

    - The teacher is the frozen tower, its maps the memory layers as the tower makes them. The paper's is VGG16:
      learning compares the maps after its last four pools, scoring the last three.
    - The student (``networks/student.py``) is as narrow as the paper's, for any tower's maps and input: it sees the
      tower's normalised input, at its size.
    - The gradient passes the student alone; the teacher's maps are constants, computed once. It is averaged over
      patches; the protocol scales maps for all methods. ``gradient=guided`` is guided backpropagation.
    - Learning is counted in steps on at most 16 images, 600 of them. The paper's 601 epochs are as many steps where the
      support is one batch, and about 2400 steps of 64 images for 240.
    """

    def views(self, config: MKDConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The memory layers as the tower makes them, and the tower's input."""
        return frozenset({PIXELS, *patch_views(config, backbone, "raw")})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: MKDConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedMKD:
        """Learn the student on the support images; ``on_epoch`` is called after every round.

        Raises:
            FloatingPointError: the loss did not stay finite.
        """
        images = support.stack(PIXELS).float()
        views = teacher_views(config, backbone, support)
        teacher = [support.stack(view).float() for view in views]
        maps = [teacher_map(each.shape[1:]) for each in teacher]
        student = draw_student(images.shape[-1], maps, seed=seed, category=category).leaf(images.device)

        def loss_of(chosen: Int[Tensor, " image"]) -> Float[Tensor, ""]:
            here = chosen.to(images.device)
            imitated = student(images[here], learning=True)
            return discrepancy([each[here] for each in teacher], imitated, config.distance_weight).mean()

        def fitted() -> FittedMKD:
            return FittedMKD(backbone=backbone, config=config, task=task, student=student.frozen())

        learn(
            [torch.optim.Adam(student.parameters(), lr=config.step_size, fused=True)],
            loss_of,
            Course(steps=config.steps, rounds=config.rounds, batch=config.batch),
            items=len(images),
            generator=torch_generator(seed, category, "mkd batches"),
            on_round=None if on_epoch is None else lambda number: on_epoch(number, fitted()),
        )
        return fitted()

    def size(self, backbone: Backbone, config: MKDConfig, *, task: Task, category: str) -> MethodSize:
        """No text; the numbers of the student."""
        shapes = view_shapes(backbone, patch_views(config, backbone, "raw")).values()
        maps = sorted(map(teacher_map, shapes), key=lambda each: -each.side)
        # Drawn only to be counted; the values do not matter.
        student = draw_student(backbone.image_size, maps, seed=0, category=category)
        return MethodSize(prompts=0, learned_parameters=sum(part.numel() for part in student.parameters()))

    def restore(self, backbone: Backbone, tensors: Mapping[str, Tensor], config: MKDConfig, *, task: Task) -> FittedMKD:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedMKD(backbone=backbone, config=config, task=task, student=Student.restored(moved))


def discrepancy(
    teacher: Sequence[Float[Tensor, "image patch width"]],
    student: Sequence[Float[Tensor, "image patch width"]],
    distance_weight: float,
) -> Float[Tensor, " image"]:
    """Each image's sum over maps of ``1 - cos(a, a') + distance_weight * mean (a - a')^2``."""
    total = teacher[0].new_zeros(len(teacher[0]))
    for real, imitated in zip(teacher, student, strict=True):
        one, other = real.flatten(1), imitated.flatten(1)
        total = total + (1 - cosine_similarity(one, other, dim=1))
        total = total + distance_weight * (one - other).square().mean(dim=1)
    return total


def teacher_views(config: MKDConfig, backbone: Backbone, features: Features) -> tuple[str, ...]:
    """The views that the student imitates, finer maps first and in the config's order among equals."""
    views = patch_views(config, backbone, "raw")
    return tuple(sorted(views, key=lambda view: -len(features.views[view][0])))


def teacher_map(shape: Sequence[int]) -> TeacherMap:
    """The form of a view whose images have so many patches of so many channels."""
    patches, width = shape
    return TeacherMap(side=grid_side(patches), width=width)


def draw_student(image_size: int, maps: Sequence[TeacherMap], *, seed: int, category: str) -> Student:
    """The initial student."""
    return Student.draw(image_size, maps, torch_generator(seed, category, "mkd student"))


def _rectifier(config: MKDConfig) -> Rectify:
    match config.gradient:
        case "plain":
            return torch.relu
        case "guided":
            return guided_relu
        case _:
            assert_never(config.gradient)
