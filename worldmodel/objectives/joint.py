"""Everything at once: tokeniser, dynamics, CLIP, vision-language model and audio in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal.audio.codec import AudioCodec
from multimodal.clip import ClipModel
from multimodal.tokenizer import VideoTokenizer
from multimodal.vlm.model import VlmModel
from worldmodel.objectives.codec import CodecObjective
from worldmodel.objectives.dynamics import DynamicsObjective
from worldmodel.objectives.pull import GradientPull
from worldmodel.objectives.tokenizer import TokenizerObjective
from worldmodel.objectives.vlm import AnswerObjective

__all__ = ["JointObjective", "Parts", "Sharing"]

Sharing = Literal["shared", "reconstruction", "two_encoders"]
"""Who teaches the encoder that readers see through: all losses, pixels alone, or, being a second
one, the readers alone."""

_SHARES = {"pixels": 0.6, "clip": 0.2, "vlm": 0.2}


@dataclass(frozen=True)
class Parts:
    """The models with their own losses.

    Attributes:
        pixels: the tokeniser.
        dynamics: predicts its latents.
        clip: reads them beside captions.
        vlm: reads them and answers.
        audio: the codec.
    """

    pixels: TokenizerObjective
    dynamics: DynamicsObjective
    clip: ClipModel
    vlm: AnswerObjective
    audio: CodecObjective


class JointObjective(nn.Module):
    """One step of everything on one batch.

    The dynamics sees latents without gradient in every arm: with it, the easiest next frame to
    predict is one that is always the same.

    Args:
        parts: the models.
        sharing: whose losses reach the encoder.
        second: the readers' own encoder, for `two_encoders`.
    """

    def __init__(
        self, parts: Parts, sharing: Sharing, second: VideoTokenizer | None = None
    ) -> None:
        super().__init__()
        self.pixels, self.dynamics, self.audio = parts.pixels, parts.dynamics, parts.audio
        self.clip, self.vlm = parts.clip, parts.vlm
        self.sharing = sharing
        self.eye = None if second is None else second.encoder
        # Its encode needs the whole tokeniser; the decoder is nobody's to train.
        self.__dict__["second"] = second
        self.pull = GradientPull(_SHARES) if sharing == "shared" else None

    @property
    def trunk(self) -> VideoTokenizer:
        """The world model's tokeniser."""
        return self.pixels.tokenizer

    @property
    def vision(self) -> VlmModel:
        """The vision-language model."""
        return self.vlm.model

    @property
    def codec(self) -> AudioCodec:
        """The audio codec."""
        return self.audio.codec

    def after_step(self, step: int) -> None:
        """Let the parts that count steps do so."""
        self.pixels.after_step(step)
        self.dynamics.after_step(step)

    def seen(self, video: Tensor, latents: Tensor) -> Tensor:
        """What readers see of the last frames (B, N · C): the trunk's tokens and nothing else.

        Args:
            video: uint8 (B, T, H, W, 3).
            latents: the trunk's of its frames, the last one last, (B, t, N, C).
        """
        if self.sharing == "two_encoders":
            return self.__dict__["second"].encode(video[:, -1:])[:, 0].flatten(1)
        last = latents[:, -1].flatten(1)
        return last if self.sharing == "shared" else last.detach()

    def forward(
        self,
        video: Tensor,
        actions: Tensor,
        rewards: Tensor,
        success: Tensor,
        goal: Tensor,
        text: Tensor,
        audio: Tensor,
        **rows: Tensor,
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            video: uint8 (B, T, H, W, 3).
            actions: (B, T-1, A) in [-1, 1].
            rewards: (B, T-1).
            success: bool (B, T).
            goal: (B, G).
            text: captions of the last frames, int64 (B, L).
            audio: (B', samples), 24 kHz.
            rows: questions about the last frames, from `collate_rows`.

        Returns:
            loss; each part's loss; psnr (dB) and the share of answer tokens that are right.
        """
        ends = video[:, [0, -1]]
        latents = self.trunk.encode(ends)
        pixels = self.pixels.reconstruction(self._pulled(latents, "pixels"), ends)
        seen = self.seen(video, latents)
        losses = {"pixels": pixels["loss"]}
        losses["clip"] = self._contrast(self._pulled(seen, "clip"), text)
        answers = self.vlm(**rows, glances=self._pulled(seen, "vlm"))
        losses["vlm"] = answers["loss"]
        loss = torch.stack(list(losses.values())).sum()
        factors = {} if self.pull is None else self.pull.factors
        with torch.no_grad():
            still = self.trunk.encode(video)
        world = self.dynamics(still, still[:, 0], actions, rewards, success, goal)
        sound = self.audio(audio)
        each = {name: value.detach() for name, value in losses.items()}
        return {
            "loss": loss + world["loss"] + sound["loss"],
            **each,
            "dynamics": world["loss"].detach(),
            "audio": sound["loss"].detach(),
            "psnr": pixels["psnr"],
            "right": answers["right"],
            **{f"pull_{name}": loss.new_tensor(factor) for name, factor in factors.items()},
        }

    def _pulled(self, shared: Tensor, name: str) -> Tensor:
        """A tensor of the trunk as a loss sees it."""
        return shared if self.pull is None else self.pull(shared, name)

    def _contrast(self, seen: Tensor, text: Tensor) -> Tensor:
        """The symmetric contrastive loss (arXiv 2103.00020) of pictures and captions."""
        pictures = self.clip.image_vectors(self.clip.features(seen))
        logits = self.clip.scale * pictures @ self.clip.text_vectors(text).T
        own = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
