"""The notifications service, assembled: importing this registers every handler."""

from services.notifications.service import notifications
from streaming.service import Service

__all__ = ["service"]


def service() -> Service:
    """Return the service with all it decides and keeps."""
    return notifications
