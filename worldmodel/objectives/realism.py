"""A critic that tells a rollout's frames from recorded ones, so that objects stay sharp.

After a while nobody can know where exactly an object is, and the frame with the smallest expected
error is then a blurred one; fed back to the model it blurs further until the object is gone. A
critic knows no right place, only what frames look like: it makes the model settle for one.

Hinge losses as in Lim and Ye, "Geometric GAN" (2017); judged patch by patch as in Isola et al.,
"Image-to-Image Translation with Conditional Adversarial Networks" (2017), on latents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Critic", "Verdict"]

# Disturbs what is judged, real or made, so that the critic cannot hang on tiny differences.
NOISE = 0.1


class Verdict(NamedTuple):
    """Two losses of one comparison, scalars.

    Attributes:
        critic: trains the critic alone.
        realism: trains the model that made the frames alone.
        accuracy: share of places that the critic tells apart rightly, without gradient.
    """

    critic: Tensor
    realism: Tensor
    accuracy: Tensor


class Critic(nn.Module):
    """Says for each token how recorded its surroundings look, and the whole frame beside another.

    The surroundings, three tokens to each side, tell sharp from blurred. That nothing has vanished
    or come out of nothing shows in the sum over the frame beside that over an earlier frame.

    Args:
        channels: C of the latents.
        rows: of the latent grid.
        columns: of the latent grid.
        width: channels inside.
    """

    def __init__(self, channels: int, rows: int, columns: int, width: int = 96) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
        )
        self.local = nn.Conv2d(width, 1, 1)
        self.whole = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, latents: Tensor, first: Tensor) -> Tensor:
        """Logits (B, N); higher looks more recorded.

        Args:
            latents: the frame (B, N, C).
            first: an earlier frame of the same scene (B, N, C).
        """
        both = torch.cat([latents, first]).transpose(1, 2).unflatten(2, self.grid)
        seen, before = self.trunk(both).chunk(2)
        sums = seen.sum((2, 3)), before.sum((2, 3))
        whole = self.whole(torch.cat([sums[0] - sums[1], sums[1]], 1) / seen.shape[2])
        return (self.local(seen).flatten(1) + whole).float()

    def compare(self, real: Tensor, made: Tensor, first: Tensor, where: Tensor) -> Verdict:
        """Judge recorded frames against made ones.

        Args:
            real: (B, N, C).
            made: (B, N, C), with the gradient of the model that made it.
            first: an earlier recorded frame of the same scene (B, N, C).
            where: places that matter, bool (B, N).
        """
        weight = where.float() / where.float().sum().clamp(min=1)
        real, made, first = (x + NOISE * torch.randn_like(x) for x in (real, made, first))
        on_real, on_made = self(real, first), self(made.detach(), first)
        critic = ((F.relu(1 - on_real) + F.relu(1 + on_made)) * weight).sum()
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        realism = -(functional_call(self, fixed, (made, first)) * weight).sum()
        right = ((on_real > 0).float() + (on_made < 0).float()) / 2
        return Verdict(critic, realism, (right * weight).sum().detach())
