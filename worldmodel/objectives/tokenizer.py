"""What the tokeniser is trained for: frames that come back with their small moving parts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal.tokenizer import VideoTokenizer

__all__ = ["TokenizerObjective"]


def _gradient_error(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """Weighted absolute error of the horizontal and vertical differences."""
    error = made - true
    down = (error[..., 1:, :, :] - error[..., :-1, :, :]).abs() * weight[..., 1:, :, :]
    right = (error[..., :, 1:, :] - error[..., :, :-1, :]).abs() * weight[..., :, 1:, :]
    return down.mean() + right.mean()


class TokenizerObjective(nn.Module):
    """Weighted squared, absolute and gradient error of the reconstruction.

    Small objects cover a few percent of a frame and vanish under a plain mean, so pixels that
    stand out from the clip's median colour, or that move, weigh more.

    Args:
        tokenizer: the model to train.
        object_weight: weight of a pixel that stands out or moves, against 1 elsewhere.
        encoder_steps: steps after which only the decoder goes on learning, which does not move
            the latents that a dynamics model may already be learning from; 0 never stops.
    """

    steps_done: Tensor

    def __init__(
        self, tokenizer: VideoTokenizer, object_weight: float = 4.0, encoder_steps: int = 0
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.object_weight = object_weight
        self.encoder_steps = encoder_steps
        # Part of the state, so that a resumed run knows whether the encoder is still learning.
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    def after_step(self, step: int) -> None:
        """Count the step; `step` counts from 1."""
        self.steps_done.fill_(step)

    def _weight(self, pixels_BTHWC: Tensor) -> Tensor:
        median = pixels_BTHWC.flatten(1, 3).median(1).values[:, None, None, None]
        stands_out = (pixels_BTHWC - median).abs().amax(-1, keepdim=True) > 0.1
        moves = torch.zeros_like(stands_out)
        if pixels_BTHWC.shape[1] > 1:
            change = (pixels_BTHWC[:, 1:] - pixels_BTHWC[:, :-1]).abs().amax(-1, keepdim=True)
            moves[:, 1:] |= change > 0.1
            moves[:, :-1] |= change > 0.1
        return 1 + (self.object_weight - 1) * (stands_out | moves).to(pixels_BTHWC.dtype)

    def forward(self, frames: Tensor, **_: Tensor) -> dict[str, Tensor]:
        """Loss of a batch of clips.

        Args:
            frames: uint8 (B, T, H, W, 3).

        Returns:
            loss and psnr (dB), scalars.
        """
        settled = 0 < self.encoder_steps <= int(self.steps_done)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not settled):
            latents = self.tokenizer.encode(frames)
        return self.reconstruction(latents, frames)

    def reconstruction(self, latents: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Loss and psnr (dB) of frames uint8 (B, T, H, W, 3) from latents (B, T, N, C)."""
        pixels = frames.float() / 255
        made = self.tokenizer.decode_disturbed(latents, frames.shape[2])
        weight = self._weight(pixels)
        error = made - pixels
        squared = (error.square() * weight).mean()
        absolute = (error.abs() * weight).mean()
        loss = 10 * squared + absolute + 0.5 * _gradient_error(made, pixels, weight)
        mse = (made.detach().clamp(0, 1) - pixels).square().mean()
        return {"loss": loss, "psnr": -10 * mse.log10()}

    def export(self, directory: Path) -> None:
        """Write the tokeniser in diffusers' form into `directory`."""
        self.tokenizer.save_pretrained(directory)
