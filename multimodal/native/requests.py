"""What the native model is told to do, in words of its own language."""

__all__ = ["DRAW", "TRANSCRIBE"]

DRAW = "Show the table:"
TRANSCRIBE = "Name what you can hear."
