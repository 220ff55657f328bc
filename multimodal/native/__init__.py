"""The native model: one transformer over interleaved text, image, audio and action tokens."""

from multimodal.native.model import NativeModel
from multimodal.native.reader import NativeReader

__all__ = ["NativeModel", "NativeReader"]
