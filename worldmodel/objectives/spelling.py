"""What a projector is told beside answers: which words its tokens are near.

A token whose colour part looks to the language model like the word for that colour is found by the
word, and copied into an answer, without the language model having to learn first that they mean the
same. Read as in the logit lens: through the model's last norm and its output words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multimodal.landmarks import KINDS
from multimodal.language import COLOURS, SHAPES
from multimodal.language.vocabulary import GLYPHS
from multimodal.text_tokenizer import encode_text
from multimodal.vlm.model import VlmModel

__all__ = ["SpellingLoss"]

_FIRST_LETTER = KINDS.index(f"letter {GLYPHS[0]}")
# A block of the grid that holds so much of a letter's middle is where the letter is.
_MIDDLE = 0.3


class SpellingLoss(nn.Module):
    """Cross-entropy of the words for shapes, colours and letters at the tokens that show them.

    Shapes are told from the shape's part of a thing alone, colours from the colour's.

    Args:
        tokenizer: of the words.
    """

    shapes: Tensor
    colours: Tensor
    glyphs: Tensor

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        words = {
            "shapes": [f" {word}" for word in SHAPES],
            "colours": [f" {word}" for word in COLOURS],
            "glyphs": list(GLYPHS),
        }
        for name, each in words.items():
            ids = [encode_text(tokenizer, word)[-1] for word in each]
            self.register_buffer(name, torch.tensor(ids), persistent=False)

    def forward(
        self, model: VlmModel, features_FND: Tensor, named_FK2: Tensor, landmarks_FNK: Tensor
    ) -> Tensor:
        """The loss, scalar.

        Args:
            model: whose projector learns.
            features_FND: its tower's features of frames.
            named_FK2: shape and colour of each thing, negative where it has none.
            landmarks_FNK: of the frames.
        """
        projector, loss = model.projector, features_FND.new_zeros(())
        frames, slots = torch.where(named_FK2[..., 0] >= 0)
        if len(frames):
            things = features_FND[frames, projector.tokens + slots]
            kinds = named_FK2[frames, slots]
            for part, words in enumerate((self.shapes, self.colours)):
                said = self._read(model, projector.part_of(things, part))
                loss = loss + F.cross_entropy(said, words[kinds[:, part]])
        letters = landmarks_FNK[..., _FIRST_LETTER : _FIRST_LETTER + len(GLYPHS)].float()
        blocks = projector.blocks(letters).unflatten(-1, (-1, len(GLYPHS))).sum(-2)
        most, glyph = blocks.max(-1)
        frames, places = torch.where(most > _MIDDLE)
        if len(frames):
            tokens = projector(features_FND[frames.unique()])
            rows = torch.searchsorted(frames.unique(), frames)
            said = self._read(model, tokens[rows, places])
            loss = loss + F.cross_entropy(said, self.glyphs[glyph[frames, places]])
        return loss

    def _read(self, model: VlmModel, tokens_XW: Tensor) -> Tensor:
        """Logits float32 (X, vocabulary) of what tokens look like to the language model."""
        language = model.language
        logits: Tensor = language.get_output_embeddings()(language.base_model.norm(tokens_XW))
        return logits.float()
