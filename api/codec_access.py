"""Who may have payloads decrypted, and from where: an operator's key, or a short login for the Temporal UI.

The UI runs in a browser and can send no key of its own, only cookies. The login page takes an operator's key
once and gets a cookie for it, that works for a few hours, on the two paths of the codec alone, and only for
pages of the configured UI. The cookie is the key, encrypted and dated: it is checked like the key itself, so
one that is revoked is dead at once.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from runtime.temporal_codec import CODEC_PATH, EncryptedPayloads

ENCODE = f"{CODEC_PATH}/encode"
DECODE = f"{CODEC_PATH}/decode"
LOGIN = f"{CODEC_PATH}/login"
CODED = frozenset({ENCODE, DECODE})
COOKIE = "holdfast_codec"
SESSION = timedelta(hours=8)
MAX_CODED_BYTES = 8 * 1024 * 1024
"""Of a request to encode or decode: Temporal's messages have up to 4 MiB, and base64 adds a third."""

_PURPOSE = b"holdfast codec session 1"


class CodecSessions:
    """Makes and opens the cookies of the login.

    Args:
        pepper: Secret of the installation; the key of the cookies is derived from it.
    """

    def __init__(self, pepper: SecretStr) -> None:
        derived = hmac.digest(pepper.get_secret_value().encode(), _PURPOSE, "sha256")
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def begin(self, key: SecretStr, now: datetime) -> SecretStr:
        """Return the cookie of a login that was made with this key."""
        sealed = self._fernet.encrypt_at_time(key.get_secret_value().encode(), int(now.timestamp()))
        return SecretStr(sealed.decode())

    def key_of(self, cookie: str, now: datetime) -> SecretStr | None:
        """Return the key of a login; None when it ended, or was not made here."""
        try:
            key = self._fernet.decrypt_at_time(cookie, int(SESSION.total_seconds()), int(now.timestamp()))
        except (InvalidToken, ValueError):  # a plain ValueError: it is not even ASCII
            return None
        return SecretStr(key.decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecAccess:
    """What stands behind the codec's paths.

    Attributes:
        codec: The codec of this process.
        ui_origin: Scheme, host and port of the Temporal UI, the only pages that may read answers.
        sessions: The logins.
    """

    codec: EncryptedPayloads
    ui_origin: str
    sessions: CodecSessions

    def key_in(
        self, path: str, headers: Mapping[str, str], cookies: Mapping[str, str], now: datetime
    ) -> str | None:
        """Return the key of the login that a request brings, if it comes from the UI and asks the codec."""
        cookie = cookies.get(COOKIE)
        if cookie is None or path not in CODED or headers.get("origin") != self.ui_origin:
            return None
        key = self.sessions.key_of(cookie, now)
        return None if key is None else key.get_secret_value()


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL as a browser writes them in `Origin`."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"
