"""One sequence of text, image, audio and action tokens: vocabulary, assembly, taking apart."""

from multimodal.sequence.actions import ActionBins
from multimodal.sequence.assembly import assemble, collate, parse, take_apart
from multimodal.sequence.segments import Modality, Segment
from multimodal.sequence.vocabulary import Vocabulary

__all__ = [
    "ActionBins",
    "Modality",
    "Segment",
    "Vocabulary",
    "assemble",
    "collate",
    "parse",
    "take_apart",
]
