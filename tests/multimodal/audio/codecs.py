"""A small real codec for the tests."""

import torch

from multimodal.audio.codec import RATE_HZ, AudioCodec


def small_codec(seed: int = 0, **changes) -> AudioCodec:
    """An untrained codec whose corrections are not zero, so that every layer takes part."""
    torch.manual_seed(seed)
    sizes = {"channels": 16, "encoder_width": 16, "encoder_depth": 1, "decoder_width": 24}
    codec = AudioCodec(
        **{**sizes, "decoder_depth": 2, "tail": 8, "levels": 4, "codes": 16} | changes
    )
    for parameter in codec.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.2)
    codec.quantizer.start(codec.encode(gliding_tones(16)))
    return codec.eval()


def gliding_tones(batch: int, seconds: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Voices of a kind: harmonics of a gliding pitch that swell and fade, (batch, samples)."""
    generator = torch.Generator().manual_seed(seed)
    time_s = torch.arange(int(RATE_HZ * seconds)) / RATE_HZ
    start_hz, glide = 80 + 200 * torch.rand(2, batch, 1, generator=generator)
    phase = 2 * torch.pi * (start_hz * time_s + 0.5 * (glide - 180) * time_s**2)
    swell = 0.5 + 0.5 * torch.sin(2 * torch.pi * 3 * time_s + start_hz)
    return 0.2 * swell * sum(torch.sin(k * phase) / k for k in (1, 2, 3, 5))
