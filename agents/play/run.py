"""The verb `worldmodel play`: drive the learned world by hand, in a page of the browser."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import uvicorn
from numpy.typing import NDArray
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console

from agents.play.server import play_app
from agents.play.session import PlaySession
from envs.learned_state import opened_pipeline
from envs.registration import register
from multimodal.errors import ConfigError, FrameError

__all__ = ["own_picture", "run"]

_LONGEST_MESSAGE = 2**16


def run(cfg: DictConfig) -> int:
    """Serve the page until Ctrl-C.

    Args:
        cfg: see `configs/play.yaml`.

    Returns:
        0.

    Raises:
        CheckpointError: no such model.
        ConfigError: the port is taken, or the checkpoint has no world and no picture was given.
        FrameError: `image` is no picture.
    """
    register()
    pipeline = opened_pipeline(str(cfg.checkpoint), None)
    if not cfg.layers:
        pipeline = pipeline.without_layers()
    size_px = pipeline.frame_shape[0]
    picture = None if cfg.image is None else own_picture(Path(str(cfg.image)), size_px)

    def opened() -> PlaySession:
        return PlaySession(pipeline, picture, truth=bool(cfg.beside))

    # What cannot be played, such as MuJoCo without OpenGL, says so now and not in the page.
    tried = opened()
    tried.begin(int(cfg.seed))
    tried.close()
    with _bound(str(cfg.host), int(cfg.port)) as listening:
        host, port = listening.getsockname()[:2]
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        Console().print(f"play at [bold]http://{shown}:{port}[/bold] (Ctrl-C ends it)")
        app = play_app(opened, str(cfg.checkpoint))
        config = uvicorn.Config(
            app, log_level="warning", ws="websockets-sansio", ws_max_size=_LONGEST_MESSAGE
        )
        uvicorn.Server(config).run([listening])
    return 0


def own_picture(path: Path, size_px: int) -> NDArray[np.uint8]:
    """A picture of the player's own as the model sees it, uint8 (H, W, 3).

    Args:
        path: a PNG, JPEG or the like; it is scaled down or up where its size is another.
        size_px: side of the model's frames.

    Raises:
        FrameError: the file is missing or no picture, or is not square.
    """
    if not path.is_file():
        raise FrameError(f"There is no picture {path}. Check the path.")
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise FrameError(f"{path} is no picture that can be read: {error}") from error
    if picture.width != picture.height:
        raise FrameError(
            f"{path} has {picture.width} x {picture.height} pixels; cut it square, as the model's "
            "frames are."
        )
    if picture.width != size_px:
        picture = picture.resize((size_px, size_px), Image.Resampling.BOX)
    return np.array(picture)


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(f"{host}:{port} cannot be served at: {error}; try port=0.") from error
    return listening
