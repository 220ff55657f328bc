"""The vision-language model on the shared trunk: model, rows of questions, answers, preferences."""

from multimodal.vlm.model import VlmModel
from multimodal.vlm.projector import Projector
from multimodal.vlm.shared import SharedVlm, VisualAnswerer

__all__ = ["Projector", "SharedVlm", "VisualAnswerer", "VlmModel"]
