"""Which certificates are believed when another system is asked: over HTTPS, or by mail."""

import ssl

import httpx

from streaming.errors import SettingError


def trusting(authorities: str) -> ssl.SSLContext:
    """Return a context that believes the public authorities, and these (PEM; may be empty).

    A region's log-in server or gateway may have its certificate from one that no list of public
    authorities names. Raises SettingError if they cannot be read.
    """
    context = httpx.create_ssl_context()
    if authorities.strip():
        try:
            context.load_verify_locations(cadata=authorities)
        except ssl.SSLError as error:
            raise SettingError(
                f"PFDO_CA cannot be read ({error.reason}): certificates of authorities as PEM, one "
                "after another, are expected."
            ) from error
    return context
