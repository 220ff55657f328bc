"""Damaged frames: a patch of some frames is mixed with another time, the rest is left alone."""

import torch

from worldmodel.objectives.damage import LARGEST, damaged

ROWS, COLUMNS = 6, 8


def unit(seed: int, batch: int = 64) -> torch.Tensor:
    z = torch.randn(batch, ROWS * COLUMNS, 4, generator=torch.Generator().manual_seed(seed))
    return z / z.square().mean(-1, keepdim=True).sqrt()


def test_only_a_patch_is_touched_and_its_tokens_keep_unit_rms() -> None:
    torch.manual_seed(0)
    clean = unit(1)
    made = damaged(clean, unit(2), 1.0, ROWS, COLUMNS)
    touched = (made != clean).any(-1).view(-1, ROWS, COLUMNS)
    assert touched.any(), "something should be damaged"
    for frame in touched:
        rows, columns = frame.any(1).nonzero()[:, 0], frame.any(0).nonzero()[:, 0]
        if len(rows):
            assert rows[-1] - rows[0] < LARGEST
            assert columns[-1] - columns[0] < LARGEST
            assert frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    rms = made.square().mean(-1).sqrt()
    assert torch.allclose(rms, torch.ones_like(rms), atol=1e-3)


def test_the_share_says_how_many_frames_are_damaged() -> None:
    torch.manual_seed(0)
    clean = unit(1, 2000)
    none = damaged(clean, unit(2, 2000), 0.0, ROWS, COLUMNS)
    some = damaged(clean, unit(2, 2000), 0.3, ROWS, COLUMNS)
    assert torch.equal(none, clean)
    assert 0.24 < float((some != clean).flatten(1).any(1).float().mean()) < 0.36


def test_what_is_mixed_in_comes_from_the_same_place_at_another_time() -> None:
    torch.manual_seed(0)
    clean, other = unit(1), unit(2)
    made = damaged(clean, other, 1.0, ROWS, COLUMNS)
    touched = (made != clean).any(-1)
    nearer = (made - other).square().mean(-1) < (clean - other).square().mean(-1)
    assert nearer[touched].all()
