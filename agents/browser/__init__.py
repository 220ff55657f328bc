"""The agent on a screenshot of a page: what is on it, what to click, and a browser to do it in."""

from agents.browser.actions import Click, PageAction, Scroll, Type, Wait
from agents.browser.page_agent import Do, PageAgent, PageWish, page_wish

__all__ = [
    "Click",
    "Do",
    "PageAction",
    "PageAgent",
    "PageWish",
    "Scroll",
    "Type",
    "Wait",
    "page_wish",
]
