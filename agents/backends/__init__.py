"""Language and vision-language models that an agent can reason with, behind one protocol."""

from agents.backends.hub import HubReasoner
from agents.backends.messages import Message, Reasoner
from agents.backends.own import OwnReasoner
from agents.backends.server import ServerReasoner

__all__ = ["HubReasoner", "Message", "OwnReasoner", "Reasoner", "ServerReasoner"]
