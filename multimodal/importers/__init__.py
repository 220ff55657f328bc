"""Recordings made elsewhere, read as episodes: plain folders of videos and LeRobot v3 datasets.

What an importer yields goes straight into a store:

    EpisodeStore.create("data", "kitchen-v0").append(read_video_folder("videos", size_px=64))
"""

from multimodal.importers.lerobot import read_lerobot
from multimodal.importers.video_folder import read_video_folder

__all__ = ["read_lerobot", "read_video_folder"]
