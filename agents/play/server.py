"""The page and its socket: one session for each page that is open."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from gymnasium.error import ResetNeeded
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from agents.play.messages import ASKED, Failed, World, answered
from agents.play.session import PlaySession
from multimodal.errors import WorldModelError

__all__ = ["play_app"]

_ALREADY_OPEN = 4000


def play_app(opened: Callable[[], PlaySession], name: str, seats: int = 4) -> Starlette:
    """The page at `/`, and its sessions at `/session`.

    Steps are taken in the server's own thread, one after the other: the simulator's OpenGL belongs
    to one thread.

    Args:
        opened: makes a session, for each page that is opened.
        name: what is played, for the title.
        seats: the most pages at a time; others are told to come back later.
    """
    html = resources.files("agents.play").joinpath("page.html").read_text("utf-8")
    taken: set[int] = set()

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(html)

    async def play(socket: WebSocket) -> None:
        await socket.accept()
        if len(taken) >= seats:
            await socket.send_text(Failed(why=_full(seats)).model_dump_json())
            await socket.close(_ALREADY_OPEN)
            return
        taken.add(id(socket))
        session = opened()
        try:
            await socket.send_text(_world(session, name).model_dump_json())
            while True:
                await socket.send_text(_reply(session, await socket.receive_text()))
        except WebSocketDisconnect:
            pass
        finally:
            taken.discard(id(socket))
            session.close()

    return Starlette(routes=[Route("/", page), WebSocketRoute("/session", play)])


def _reply(session: PlaySession, text: str) -> str:
    """The answer to a message, or why there is none."""
    try:
        return answered(session, ASKED.validate_json(text)).model_dump_json()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Failed(why=f"malformed message: {place} {first['msg']}").model_dump_json()
    except (WorldModelError, ResetNeeded) as error:
        return Failed(why=str(error)).model_dump_json()


def _world(session: PlaySession, name: str) -> World:
    space = session.action_space
    return World(
        name=name,
        low=tuple(float(value) for value in space.low),
        high=tuple(float(value) for value in space.high),
        steps_per_s=session.steps_per_s,
        beside=session.truth is not None,
    )


def _full(seats: int) -> str:
    return f"{seats} pages are open already; close one, or start another server on another port."
