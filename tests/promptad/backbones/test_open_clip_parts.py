import pytest
import torch
from helpers.small_models import small_backbone

from promptad.backbones.open_clip_parts import PARTS, OpenClipPartsError, check_parts, embedded, pooled


def test_the_installed_open_clip_has_every_part():
    check_parts()


@pytest.mark.parametrize("gone", PARTS)
def test_a_part_that_is_gone_is_named_with_the_remedy(gone):
    tower = type("VisionTransformer", (), {name: print for name in PARTS if name != gone})
    message = rf"^open_clip \S+ lacks VisionTransformer\.{gone}, .* pip install \"open_clip_torch>=2\.32,<4\"$"
    with pytest.raises(OpenClipPartsError, match=message):
        check_parts(tower)


def test_the_parts_put_together_are_the_towers_own_output():
    visual = small_backbone().model.visual
    images = torch.randn(2, 3, *visual.image_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = visual.transformer(embedded(visual, images))
        torch.testing.assert_close(pooled(visual, tokens) @ visual.proj, visual(images))
