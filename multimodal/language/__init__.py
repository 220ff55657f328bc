"""What is said of the world: captions, instructions, and questions answered from its state.

Everything follows from the simulator's named state and a random generator. What is kept out of
training is decided in one place, `in_training`.
"""

from multimodal.language.asking import KINDS, STILL_KINDS, ask, caption
from multimodal.language.captions import PROMPTS, Caption, prompt, scene_prompt
from multimodal.language.held_out import in_training, shows_held_out
from multimodal.language.instructions import INSTRUCTION_PHRASES, instruction
from multimodal.language.phrasing import FAMILIES, is_held_out_template
from multimodal.language.question import Question
from multimodal.language.scene import Bar, Scene, SceneObject, Zone
from multimodal.language.vocabulary import (
    COLOURS,
    HELD_OUT_COMBINATIONS,
    SHAPES,
    TRAINING_COMBINATIONS,
    Split,
)

__all__ = [
    "COLOURS",
    "FAMILIES",
    "HELD_OUT_COMBINATIONS",
    "INSTRUCTION_PHRASES",
    "KINDS",
    "PROMPTS",
    "SHAPES",
    "STILL_KINDS",
    "TRAINING_COMBINATIONS",
    "Bar",
    "Caption",
    "Question",
    "Scene",
    "SceneObject",
    "Split",
    "Zone",
    "ask",
    "caption",
    "in_training",
    "instruction",
    "is_held_out_template",
    "prompt",
    "scene_prompt",
    "shows_held_out",
]
