"""What CLIP is trained for: pictures and sentences that belong together, as wholes and in parts."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from multimodal.clip import TEXT_FOLDER, ClipModel
from multimodal.language import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    SHAPES,
    TRAINING_COMBINATIONS,
)
from multimodal.language.vocabulary import COLOUR_RGB
from multimodal.things import blurred, tinted
from worldmodel.objectives.landmarks import LandmarkHead

__all__ = ["ClipObjective", "contrast", "truth"]

_PLACES_WEIGHT = 2.0
_LANDMARKS_WEIGHT = 3.0
_KINDS = [(COLOURS.index(colour), SHAPES.index(shape)) for colour, shape in TRAINING_COMBINATIONS]
_NEVER = [
    {SHAPES.index(shape) for each, shape in HELD_OUT_COMBINATIONS if each == colour}
    for colour in COLOURS
]


def _unproven() -> tuple[Tensor, Tensor]:
    """What training must not conclude of a thing from its colour alone.

    No purple thing of the training set is a cross. A model that is asked to tell purple things
    from crosses learns that purple is never a cross, and says so of the first purple cross.

    Returns:
        bool (18, 28): for each training combination the prompts with a shape that its colour
        never has; and int64 (18,): all combinations of such shapes as bits.
    """
    named = [shape for _, shape in _KINDS] + [-1] * len(COLOURS) + list(range(len(SHAPES)))
    never = [_NEVER[colour] for colour, _ in _KINDS]
    prompts = torch.tensor([[shape in each for shape in named] for each in never])
    pairs = [
        sum(1 << (c * len(SHAPES) + shape) for c in range(len(COLOURS)) for shape in each)
        for each in never
    ]
    return prompts, torch.tensor(pairs)


def _held_out_colours() -> Tensor:
    """The colours that each shape is held out in, (4, M, 3), as often as needed."""
    colours = [
        [COLOUR_RGB[colour] for colour, each in sorted(HELD_OUT_COMBINATIONS) if each == shape]
        for shape in SHAPES
    ]
    most = max(map(len, colours))
    return torch.tensor([(most * each)[:most] for each in colours])


def truth(shown: Tensor, named: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """Which texts of a batch are true of which pictures.

    Args:
        shown: the combinations each picture shows, int64 bits (B,).
        named: the combinations each text names, int64 bits (B,).
        exact: bool (B,), texts that hold of every picture with just the objects they name.

    Returns:
        bool (B, B) true and bool (B, B) unknown, pictures in rows: a text that says more than
        names may or may not hold of another picture with all the things it names.
    """
    own = torch.eye(len(shown), dtype=torch.bool, device=shown.device)
    same = shown[:, None] == named[None]
    within = (named[None] & ~shown[:, None]) == 0
    true = own | (same & exact[None])
    return true, within & ~exact[None] & ~own


def contrast(logits: Tensor, true: Tensor, unknown: Tensor) -> Tensor:
    """Cross-entropy of the rows of logits (B, X), each with one true column or more; scalar.

    Columns that may be true count neither way.
    """
    logits = logits.masked_fill(unknown, -torch.inf)
    right = logits.masked_fill(~true, -torch.inf).logsumexp(-1)
    return (logits.logsumexp(-1) - right).mean()


class ClipObjective(nn.Module):
    """Symmetric contrastive loss with hard negatives, over pictures and over their single objects.

    Each picture also meets its own text with one word wrong. And the features at each object's
    place meet the prompts of all 18 training combinations (arXiv 2112.09106 does so with regions),
    among them those that differ in the colour alone or in the shape alone, and prompts that name
    only a colour or only a shape. So do whole pictures of a single object. Where further pictures
    with landmarks are given, the tower learns from those as well what each token shows.

    Args:
        model: the two towers.
        prompts: int64 (templates, 28, T), from `multimodal.clip_data.prompt_ids`.
        tokenizer: goes beside the exported model.
    """

    prompts: Tensor
    kinds: Tensor
    prompts_unproven: Tensor
    texts_unproven: Tensor

    never: Tensor

    def __init__(
        self, model: ClipModel, prompts: Tensor, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.landmarks = LandmarkHead(model.config.width)
        self.register_buffer("prompts", prompts, persistent=False)
        self.register_buffer("kinds", torch.tensor(_KINDS), persistent=False)
        self.register_buffer("never", _held_out_colours(), persistent=False)
        prompts_unproven, texts_unproven = _unproven()
        self.register_buffer("prompts_unproven", prompts_unproven, persistent=False)
        self.register_buffer("texts_unproven", texts_unproven, persistent=False)

    def forward(
        self,
        glances: Tensor,
        text: Tensor,
        wrong: Tensor,
        shown: Tensor,
        named: Tensor,
        exact: Tensor,
        places: Tensor,
        things: Tensor,
        dense: Tensor | None = None,
        landmarks: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of a batch of captioned pictures, as `CaptionedPictures` serves them."""
        model, count = self.model, len(text)
        template = torch.randint(len(self.prompts), (), device=text.device)
        prompts = self.prompts[template]
        texts = model.text_vectors(_together(text, wrong, prompts))
        right, spoiled, prompts = texts.split([count, count, len(prompts)])
        features, dense_loss = self._features(glances, dense, landmarks)
        images = model.image_vectors(features)
        true, unknown = truth(shown, named, exact)
        alone, first = (things >= 0).sum(-1) == 1, things.amax(-1)
        barred = torch.where(alone, self.texts_unproven[first], 0)
        unknown = unknown | ((named[None] & barred[:, None]) != 0)
        logits = model.scale * images @ right.T
        near = model.scale * (images * spoiled).sum(-1, keepdim=True)
        paired = _both_ways(logits, near, true, unknown)
        rows, slots = torch.where(things >= 0)
        found = model.place_vectors(features[rows, places[rows, slots]])
        place_logits = model.scale * found @ prompts.T
        wanted = things[rows, slots]
        place_loss = self._naming(place_logits, wanted)
        place_loss = place_loss + self._parts(glances, places, things, prompts)
        if bool(alone.any()):
            whole = model.scale * images[alone] @ prompts.T
            place_loss = place_loss + self._naming(whole, first[alone])
        return {
            "loss": paired + _PLACES_WEIGHT * place_loss + _LANDMARKS_WEIGHT * dense_loss,
            "contrastive": paired.detach(),
            "landmarks": dense_loss.detach(),
            "near_right": (logits.diagonal() > near[:, 0]).float().mean(),
            "place_right": _share_right(place_logits[:, : len(_KINDS)], wanted),
            "scale": model.scale.detach(),
        }

    def _features(
        self, glances: Tensor, dense: Tensor | None, landmarks: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Features of the pictures, and what is lost on those whose landmarks are known."""
        if dense is None or landmarks is None:
            return self.model.features(glances), torch.zeros((), device=glances.device)
        # Half precision, in which frames are kept, cannot be joined under autocast.
        features = self.model.features(torch.cat([glances.float(), dense.float()]))
        count = len(glances)
        return features[:count], self.landmarks(features[count:], landmarks)

    def _parts(self, glances: Tensor, places: Tensor, things: Tensor, prompts: Tensor) -> Tensor:
        """Cross-entropy of shapes of things in other colours, and of colours without outlines.

        Each by itself keeps the two apart in text and picture, which is what carries over to
        combinations never seen together. Zero where nothing is cut out.

        Args:
            glances: of the pictures.
            places: the tower's feature of each object.
            things: its combination, negative for none.
            prompts: vectors of the 28 prompts.
        """
        layout, tower = self.model.layout, self.model.tower
        rows, slots = torch.where((things >= 0) & (places >= layout.tokens))
        if tower.things is None or not len(rows):
            return torch.zeros((), device=glances.device)
        kinds = self.kinds[things[rows, slots]]
        cut = layout.parts(glances).things[rows, places[rows, slots] - layout.tokens].float()
        both = torch.cat([tinted(cut, self.never[kinds[:, 1]]), blurred(cut)])
        found = self.model.place_vectors(tower.things(both[:, None])[:, 0])
        logits = self.model.scale * found @ prompts[len(_KINDS) :].T
        shapes, colours = logits[: len(cut), len(COLOURS) :], logits[len(cut) :, : len(COLOURS)]
        return (F.cross_entropy(shapes, kinds[:, 1]) + F.cross_entropy(colours, kinds[:, 0])) / 2

    def _naming(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of an object's name among those of training, scalar.

        Where nothing is cut out, colour and shape are named by themselves here.

        Args:
            logits: (X, 28), of the prompts.
            wanted: its combination among the 18; (X,).
        """
        logits = logits.masked_fill(self.prompts_unproven[wanted], -torch.inf)
        names, colours, forms = logits.split([len(_KINDS), len(COLOURS), len(SHAPES)], 1)
        loss = F.cross_entropy(names, wanted)
        if self.model.tower.things is not None:
            return loss
        kinds = self.kinds[wanted]
        loss = loss + F.cross_entropy(colours, kinds[:, 0])
        return (loss + F.cross_entropy(forms, kinds[:, 1])) / 3

    def export(self, directory: Path) -> None:
        """Write the model and the tokeniser of texts into `directory`."""
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory / TEXT_FOLDER)


def _both_ways(logits: Tensor, near: Tensor, true: Tensor, unknown: Tensor) -> Tensor:
    """Contrastive loss of pictures to texts, spoiled texts among them, and of texts to pictures."""
    no = torch.zeros_like(true[:, :1])
    to_text = contrast(
        torch.cat([logits, near], 1), torch.cat([true, no], 1), torch.cat([unknown, no], 1)
    )
    return (to_text + contrast(logits.T, true.T, unknown.T)) / 2


def _share_right(logits: Tensor, wanted: Tensor) -> Tensor:
    """How often the highest logit is the wanted one; 1 where nothing is wanted."""
    right = (logits.argmax(-1) == wanted).float()
    return right.mean() if len(right) else right.new_ones(())


def _together(*ids: Tensor) -> Tensor:
    """Ids (B, T) of different T in one tensor, padded on the right."""
    length = max(part.shape[-1] for part in ids)
    return torch.cat([F.pad(part, (0, length - part.shape[-1])) for part in ids])
