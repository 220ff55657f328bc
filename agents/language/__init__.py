"""From an instruction to steps with predicates, judged against what is seen."""

from agents.language.ground import Grounded, ground
from agents.language.parse import Parsed, Phrase, parse
from agents.language.steps import AtWall, InZone, Step

__all__ = ["AtWall", "Grounded", "InZone", "Parsed", "Phrase", "Step", "ground", "parse"]
