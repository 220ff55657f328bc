"""What a dataset is better without: duplicates, and texts that are not true of their pictures."""

from multimodal.curation.duplicates import duplicate_groups
from multimodal.curation.hashing import perceptual_hash
from multimodal.curation.report import CurationReport, Dropped, curate

__all__ = ["CurationReport", "Dropped", "curate", "duplicate_groups", "perceptual_hash"]
