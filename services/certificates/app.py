"""The certificates service, assembled: importing this registers every handler."""

from services.certificates.service import certificates
from streaming.service import Service

__all__ = ["service"]


def service() -> Service:
    """Return the service with all it decides and keeps."""
    return certificates
