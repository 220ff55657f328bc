"""Training the tokeniser."""

import torch

from multimodal.tokenizer import VideoTokenizer
from worldmodel.objectives.tokenizer import TokenizerObjective


def objective(encoder_steps: int = 0) -> TokenizerObjective:
    torch.manual_seed(0)
    return TokenizerObjective(VideoTokenizer(8, 16, fsq_groups=2), encoder_steps=encoder_steps)


def dotted_clips(count: int) -> torch.Tensor:
    """A dark dot on a light table, somewhere else in each clip: uint8 (count, 1, 64, 64, 3)."""
    clips = torch.full((count, 1, 64, 64, 3), 200, dtype=torch.uint8)
    for clip, (row, column) in zip(clips, torch.randint(4, 56, (count, 2)), strict=True):
        clip[:, row : row + 6, column : column + 6] = torch.tensor([30, 30, 220], dtype=torch.uint8)
    return clips


def test_a_small_dot_comes_back_after_a_few_steps() -> None:
    trained = objective()
    optimizer = torch.optim.Adam(trained.parameters(), 3e-3)
    psnr = []
    for _ in range(60):
        result = trained(dotted_clips(8))
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        psnr.append(float(result["psnr"]))
    assert psnr[-1] > psnr[0] + 8


def test_what_stands_out_weighs_more_than_the_background() -> None:
    trained = objective()
    weight = trained._weight(dotted_clips(1).float() / 255)
    assert float(weight.min()) == 1.0
    assert int((weight > 1).sum()) == 36


def test_the_encoder_stands_still_after_its_steps_and_the_decoder_goes_on() -> None:
    trained = objective(encoder_steps=5)
    trained.after_step(4)
    trained(dotted_clips(2))["loss"].backward()
    assert trained.tokenizer.encoder[1].weight.grad is not None
    trained.zero_grad(set_to_none=True)
    trained.after_step(5)
    trained(dotted_clips(2))["loss"].backward()
    assert all(p.grad is None for p in trained.tokenizer.encoder.parameters())
    assert trained.tokenizer.decoder[0].weight.grad is not None
