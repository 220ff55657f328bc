"""Another mouth's bands are the same words, moved and coloured."""

import numpy as np

from multimodal.speech.bands import recoloured


def _hump(middle):
    """One formant, five bands broad, in 80 bands, for 30 frames and then nothing."""
    heard = -6 + 3 * np.exp(-0.5 * ((np.arange(80) - middle) / 5) ** 2)
    return np.vstack([np.tile(heard, (30, 1)), np.full((30, 80), -6)]).astype(np.float32)


def test_nothing_changes_where_nothing_may():
    heard = _hump(40)
    assert np.allclose(recoloured(np.random.default_rng(0), heard, 0.0), heard, atol=1e-5)


def test_formants_move_up_and_down_and_less_where_less_is_allowed():
    def moved(how_much):
        made = [recoloured(np.random.default_rng(seed), _hump(40), how_much) for seed in range(60)]
        # The colour is the same in all frames, the formant is in the first only.
        return np.array([int((each[0] - each[-1]).argmax()) - 40 for each in made])

    far, near = moved(1.0), moved(0.3)
    assert far.min() < -2
    assert far.max() > 2
    assert np.abs(near).mean() < 0.6 * np.abs(far).mean()
    assert np.abs(far).max() < 16


def test_microphones_colour_every_frame_alike():
    heard = np.random.default_rng(1).normal(-3, 0.5, (50, 80)).astype(np.float32)
    made = recoloured(np.random.default_rng(2), heard)
    assert made.shape == heard.shape
    assert made.dtype == np.float32
    assert (made.mean(0) - heard.mean(0)).std() > 0.02
    alike = recoloured(np.random.default_rng(2), np.tile(heard[:1], (50, 1)))
    assert np.ptp(alike, 0).max() < 1e-4
