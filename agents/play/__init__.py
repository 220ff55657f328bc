"""A page in the browser where a human plays the learned world, with MuJoCo beside it."""

from agents.play.messages import Back, Begin, Meet, Move, Shown
from agents.play.server import play_app
from agents.play.session import PlaySession, View

__all__ = ["Back", "Begin", "Meet", "Move", "PlaySession", "Shown", "View", "play_app"]
