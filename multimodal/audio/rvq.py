"""Residual vector quantisation: each level codes what the levels before it left over.

Sources: Zeghidour et al., "SoundStream" (2021), and Défossez et al., "High Fidelity Neural Audio
Compression" (2022): codebooks as running means, k-means start, dead codes revived.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed
from torch import Tensor, nn

from multimodal.errors import AudioError

__all__ = ["Quantized", "ResidualQuantizer"]

_KMEANS_ROUNDS = 10
# A code used less than this share of its even share of the vectors is dead.
_DEAD_SHARE = 0.1
# Power of latents below which distances count for nothing.
_SILENT = 1e-6


class Quantized(NamedTuple):
    """What a quantiser makes of latents.

    Attributes:
        values: (B, T, C), the sum of the chosen codes; gradients pass straight to the latents.
        ids: int64 (B, T, levels).
        commitment: scalar, squared distance of residuals from their codes as a share of the
            latents' power, mean over levels; moves the encoder.
    """

    values: Tensor
    ids: Tensor
    commitment: Tensor


class ResidualQuantizer(nn.Module):
    """Levels of codebooks learned as running means of the vectors that choose them.

    In training mode `forward` also updates the codebooks, which are buffers: no gradient and no
    optimiser touches them. Under several processes all agree on them.

    Args:
        channels: C of the latents.
        levels: codebooks.
        codes: entries of each codebook.
        decay: of the running means.
    """

    codebooks: Tensor
    counts: Tensor
    ready: Tensor

    def __init__(self, channels: int, levels: int, codes: int, decay: float = 0.99) -> None:
        super().__init__()
        self.levels, self.codes, self.decay = levels, codes, decay
        self.register_buffer("codebooks", torch.zeros(levels, codes, channels))
        self.register_buffer("counts", torch.zeros(levels, codes))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    def forward(self, latents_BTC: Tensor, used: Tensor | None = None) -> Quantized:
        """Quantise, and learn in training mode.

        Args:
            latents_BTC: float (B, T, C).
            used: int (B,), levels each sample passes through; all by default. A sample that stops
                early is left over by the further codebooks and counts nothing there.

        Returns:
            Values, ids (also those of levels not used) and commitment.
        """
        latents = latents_BTC.float()
        if self.training and not bool(self.ready):
            self.start(latents)
            # Each process started on its own part of the batch.
            for buffer in (self.codebooks, self.counts):
                buffer.copy_(_agreed(buffer.clone()))
        power = latents.detach().square().mean((1, 2)) + _SILENT
        residual, total = latents, torch.zeros_like(latents)
        ids, distances = [], []
        for level in range(self.levels):
            found = self._nearest(residual.detach(), level)
            chosen = self.codebooks[level][found]
            keep = torch.ones_like(residual[:, 0, 0]) if used is None else (used > level).float()
            if self.training:
                self._learn(level, residual.detach(), found, keep > 0)
            error = (residual - chosen).square().mean((1, 2)) / power
            distances.append((error * keep).sum() / keep.sum().clamp_min(1))
            total = total + chosen * keep[:, None, None]
            residual = residual - chosen
            ids.append(found)
        values = latents + (total - latents).detach()
        return Quantized(values, torch.stack(ids, -1), torch.stack(distances).mean())

    def decode(self, ids: Tensor, levels: int | None = None) -> Tensor:
        """The sum of the codes of the first levels.

        Args:
            ids: int64 (B, T, at least `levels`).
            levels: how many to use; all that `ids` has by default.

        Returns:
            float (B, T, C).

        Raises:
            AudioError: ids of a wrong type, shape or range, or too many levels.
        """
        self._check(ids, levels)
        count = ids.shape[-1] if levels is None else levels
        chosen = [self.codebooks[level][ids[..., level]] for level in range(count)]
        return torch.stack(chosen).sum(0)

    def _check(self, ids: Tensor, levels: int | None) -> None:
        if ids.ndim != 3 or ids.is_floating_point() or ids.dtype == torch.bool:
            raise AudioError(f"Ids are int64 (B, T, levels), got {ids.dtype} {tuple(ids.shape)}.")
        if not 1 <= ids.shape[-1] <= self.levels:
            raise AudioError(f"This codec has {self.levels} levels, the ids have {ids.shape[-1]}.")
        if levels is not None and not 1 <= levels <= ids.shape[-1]:
            raise AudioError(f"levels={levels}; the ids have 1 to {ids.shape[-1]} levels.")
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.codes:
            raise AudioError(
                f"Ids lie in [0, {self.codes}), these in [{int(ids.min())}, {int(ids.max())}]: "
                "they belong to another codec, or to another modality's vocabulary."
            )

    def _nearest(self, vectors_BTC: Tensor, level: int) -> Tensor:
        return _nearest(vectors_BTC, self.codebooks[level])

    @torch.no_grad()
    def start(self, latents_BTC: Tensor) -> None:
        """Start every codebook with k-means over the residuals of these latents.

        A quantiser that was not started starts itself on the first batch it trains on. Some ten
        times as many vectors as codes give the further levels a better start than one batch can.
        Of several processes each passes the same latents, or they part until they train.

        Args:
            latents_BTC: float (B, T, C).
        """
        residual = latents_BTC.detach().float().flatten(0, 1)
        for level in range(self.levels):
            self.codebooks[level] = _kmeans(residual, self.codes)
            found = self._nearest(residual, level)
            counts = torch.bincount(found, minlength=self.codes).float()
            self.counts[level] = counts / counts.mean()
            residual = residual - self.codebooks[level][found]
        self.ready.fill_(True)

    @torch.no_grad()
    def _learn(self, level: int, vectors_BTC: Tensor, found_BT: Tensor, keep_B: Tensor) -> None:
        """Move a codebook's running means, and put dead codes where vectors are."""
        vectors, found = vectors_BTC[keep_B].flatten(0, 1), found_BT[keep_B].flatten()
        book, fresh = self.codebooks[level], 1 - self.decay
        counts = _added(torch.bincount(found, minlength=self.codes).float())
        sums = _added(torch.zeros_like(book).index_add_(0, found, vectors))
        remembered = self.decay * self.counts[level]
        total = remembered + fresh * counts
        mean = (remembered[:, None] * book + fresh * sums) / total.clamp_min(1e-12)[:, None]
        self.codebooks[level] = torch.where(total[:, None] > 0, mean, book)
        self.counts[level] = total
        # Compared with what all vectors would give each code if they chose evenly.
        even = self.counts[level].sum() / self.codes
        dead = self.counts[level] < _DEAD_SHARE * even
        if bool(dead.any()):
            self._revive(level, dead, vectors_BTC.flatten(0, 1), even)

    def _revive(self, level: int, dead: Tensor, vectors_NC: Tensor, even: Tensor) -> None:
        """Put dead codes onto vectors, those of samples that stopped early among them.

        All processes come here together: they agree on what is dead.
        """
        drawn = torch.randint(len(vectors_NC), (int(dead.sum()),), device=vectors_NC.device)
        self.codebooks[level][dead] = _agreed(vectors_NC[drawn])
        # Half its even share: long enough alive to be chosen, not long enough to stay unused.
        self.counts[level][dead] = even / 2


def _nearest(vectors: Tensor, book_NC: Tensor) -> Tensor:
    """Which row of the book is nearest to each vector (..., C): int64 (...)."""
    flat = vectors.flatten(0, -2)
    lengths = book_NC.square().sum(-1)
    chunks = [torch.addmm(lengths, part, book_NC.t(), alpha=-2) for part in flat.split(8192)]
    return torch.cat([chunk.argmin(-1) for chunk in chunks]).view(vectors.shape[:-1])


def _kmeans(vectors_NC: Tensor, codes: int) -> Tensor:
    """Centres (codes, C) by Lloyd's algorithm from vectors drawn at random."""
    order = torch.randperm(len(vectors_NC), device=vectors_NC.device)
    centres = vectors_NC[order.repeat(-(-codes // len(order)))[:codes]].clone()
    for _ in range(_KMEANS_ROUNDS):
        found = _nearest(vectors_NC, centres)
        counts = torch.bincount(found, minlength=codes).float()
        sums = torch.zeros_like(centres).index_add_(0, found, vectors_NC)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres


def _added(tensor: Tensor) -> Tensor:
    """The sum over all processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor


def _agreed(tensor: Tensor) -> Tensor:
    """The first process's value in every process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        tensor = tensor.contiguous()
        torch.distributed.broadcast(tensor, 0)
    return tensor
