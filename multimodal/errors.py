"""Every error the project raises on purpose: what was wrong, what was expected, what to do.

Each class also derives from the built-in that a caller would expect to catch.
"""

__all__ = [
    "ActionError",
    "AudioError",
    "BackendError",
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "DiskFullError",
    "FrameError",
    "MissingExtraError",
    "MissingProgramError",
    "RenderingError",
    "SequenceError",
    "StateError",
    "TextError",
    "WorldModelError",
]


class WorldModelError(Exception):
    """Base of all errors the project raises on purpose."""


class FrameError(WorldModelError, ValueError):
    """An image or video has the wrong size, dtype, channel order or values."""


class AudioError(WorldModelError, ValueError):
    """A sound has the wrong rate, rank, dtype, length or values."""


class TextError(WorldModelError, ValueError):
    """A text or its token ids cannot be read: wrong type, too long, unknown ids."""


class SequenceError(WorldModelError, ValueError):
    """Tokens of several modalities do not form one sequence, or a sequence does not parse."""


class BackendError(WorldModelError, RuntimeError):
    """A language model behind a server is down, slow, or answers nonsense."""


class ActionError(WorldModelError, ValueError):
    """An action has the wrong shape, is not finite or lies outside the action space."""


class StateError(WorldModelError, ValueError):
    """A saved state does not belong to this world or this model."""


class CheckpointError(WorldModelError, RuntimeError):
    """A checkpoint is missing, incomplete, altered or of another kind."""


class DatasetError(WorldModelError, RuntimeError):
    """A recorded dataset lacks parts, or its parts do not fit together."""


class ConfigError(WorldModelError, ValueError):
    """A configuration key or value is not known."""


class RenderingError(WorldModelError, RuntimeError):
    """No working offscreen OpenGL was found."""


class MissingExtraError(WorldModelError, ImportError):
    """An optional package is needed that is not installed."""


class MissingProgramError(WorldModelError, FileNotFoundError):
    """A program outside Python is needed that is not installed."""


class DiskFullError(WorldModelError, OSError):
    """The disk filled up while something was being written; what existed before is intact."""
