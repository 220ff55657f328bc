"""The page and its socket: one session for each page that is open."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from urllib.parse import urlsplit

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

# Of RFC 6455: not allowed, try again later.
_REFUSED, _FULL = 1008, 1013


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
        if not _own_page(socket):
            await socket.close(_REFUSED)
            return
        await socket.accept()
        if len(taken) >= seats:
            await socket.send_text(Failed(why=_full(seats)).model_dump_json())
            await socket.close(_FULL)
            return
        taken.add(id(socket))
        try:
            await _served(socket, opened, name)
        finally:
            taken.discard(id(socket))

    return Starlette(routes=[Route("/", page), WebSocketRoute("/session", play)])


def _own_page(socket: WebSocket) -> bool:
    """Whether a socket was opened by this server's page, or by a program, and not by another page.

    Browsers let every page open sockets to every address, but say which page it was.
    """
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


async def _served(socket: WebSocket, opened: Callable[[], PlaySession], name: str) -> None:
    """One page from its first word to its last."""
    try:
        session = opened()
    except WorldModelError as error:
        await socket.send_text(Failed(why=str(error)).model_dump_json())
        await socket.close(_FULL)
        return
    try:
        await socket.send_text(_world(session, name).model_dump_json())
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            await socket.send_text(_reply(session, message.get("text") or ""))
    except WebSocketDisconnect:
        pass
    finally:
        session.close()


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
