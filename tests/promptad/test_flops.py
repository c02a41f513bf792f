"""Operations counted against numbers worked out by hand, with and without gradients."""

import open_clip
import pytest
import torch
from helpers.small_models import small_backbone
from torch.nn.functional import linear, scaled_dot_product_attention

from promptad.backbones.attention import masked_block
from promptad.backbones.towers import encode_images
from promptad.backbones.windows import encode_windows
from promptad.flops import counted


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


SQUARE = draw(6, 6)
POSITIVE = SQUARE @ SQUARE.T + 6 * torch.eye(6)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    ("computation", "expected"),
    [
        (lambda: draw(3, 4) @ draw(4, 5), 2 * 3 * 4 * 5),
        (lambda: linear(draw(7, 4), draw(5, 4), draw(5)), 2 * 7 * 4 * 5),
        (lambda: torch.einsum("blpd,lde->bpe", draw(2, 3, 4, 5), draw(3, 5, 6)), 2 * 2 * 3 * 4 * 5 * 6),
        # Scores and their product with the values: twice 2 x heads x tokens x keys x width of a head.
        (
            lambda: scaled_dot_product_attention(draw(1, 2, 5, 8), draw(1, 2, 7, 8), draw(1, 2, 7, 8)),
            2 * 2 * 2 * 5 * 7 * 8,
        ),
        (lambda: draw(3, 4) @ draw(4), 2 * 3 * 4),
        (lambda: torch.addmv(draw(3), draw(3, 4), draw(4)), 2 * 3 * 4),
        (lambda: torch.linalg.cholesky(POSITIVE), 6**3 // 3),
        (lambda: torch.linalg.solve_triangular(POSITIVE, draw(6, 5), upper=False), 6 * 6 * 5),
        (lambda: torch.cholesky_solve(draw(6, 5), POSITIVE), 2 * 6 * 6 * 5),
        (lambda: draw(3, 4).softmax(dim=-1) + 1, 0),
    ],
)
def test_single_operations(computation, expected, inference):
    with torch.inference_mode(inference):
        assert counted(computation)[1] == expected


def test_a_backward_pass_counts_its_products():
    weight, x = draw(4, 5).requires_grad_(), draw(3, 4)
    # Forward, and the gradient of the weight; that of x is not asked for.
    assert counted(lambda: (x @ weight).sum().backward())[1] == 2 * (2 * 3 * 4 * 5)
    query = draw(1, 2, 5, 8).requires_grad_()
    one = 2 * 2 * 5 * 5 * 8
    # Two products forward; backward the scores again, and the gradients of scores, values, queries and keys.
    assert counted(lambda: scaled_dot_product_attention(query, query, query).sum().backward())[1] == (2 + 5) * one


def block_by_hand(nodes, kept, width):
    """A block of which ``kept`` nodes go on: projections, attention, output and the fourfold MLP."""
    projections = 2 * width * width * (kept + 2 * nodes)
    attention = 2 * (2 * kept * nodes * width)
    rest = 2 * kept * width * width + 2 * (2 * kept * width * 4 * width)
    return projections + attention + rest


def test_a_block_of_the_text_tower():
    text = small_backbone().text
    block, width = text.transformer.resblocks[0], text.token_embedding.weight.shape[1]
    tokens, mask = draw(9, width), torch.zeros(9, 9)
    assert counted(lambda: masked_block(block, tokens, mask))[1] == block_by_hand(9, 9, width)
    assert counted(lambda: masked_block(block, tokens, mask[:2], torch.tensor([3, 8])))[1] == block_by_hand(9, 2, width)


def test_an_image_tower_and_its_windows():
    visual = small_backbone().model.visual
    width, blocks = visual.ln_post.weight.shape[0], len(visual.transformer.resblocks)
    embed = visual.proj.shape[1]
    # 4 x 4 patches of 8 x 8 pixels in 3 colours, and the class token.
    embedding = 2 * 16 * (3 * 8 * 8) * width
    tower = embedding + blocks * block_by_hand(17, 17, width) + 2 * embed * width
    image = draw(1, 3, 32, 32)
    with torch.inference_mode():
        assert counted(lambda: encode_images(visual, image, local=()))[1] == tower
        # V-V attention beside each block, its output projected, and 16 patches more to the space of texts. Its class
        # token is carried along.
        branch = blocks * (2 * (2 * 17 * 17 * width) + 2 * 17 * width * width) + 2 * 16 * embed * width
        assert counted(lambda: encode_images(visual, image, local=("vv",)))[1] == tower + branch
    # open_clip's own blocks, which take torch's fused attention: 9 windows of 2 x 2 patches and the class token.
    windows = embedding + 9 * (blocks * block_by_hand(5, 5, width) + 2 * embed * width)
    assert counted(lambda: encode_windows(visual, image, (2,)))[1] == windows


def test_open_clips_own_pass_counts_as_ours():
    visual, image = small_backbone().model.visual, draw(2, 3, 32, 32)
    assert isinstance(visual, open_clip.transformer.VisionTransformer)
    with torch.inference_mode():
        fused, ours = counted(lambda: visual(image))[1], counted(lambda: encode_images(visual, image, local=()))[1]
    assert fused == ours
