"""The certificate of wss listeners: loaded, checked, and replaced while connections live."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from p2pchat_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ServerCertificate"]

_MAX_FILE: Final = 1024 * 1024
_ENCODING: Final = serialization.Encoding.DER
_FORMAT: Final = serialization.PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    expires: float
    serial: int


class ServerCertificate:
    """A certificate and its key, from two PEM files, as a TLS context that listeners use.

    `context` stays the same object for ever: after `reload` new handshakes get the new certificate, and
    connections that exist keep theirs and are not touched.
    """

    def __init__(self, certificate: Path, key: Path, now: float) -> None:
        """Load the files and check them.

        Args:
            certificate: the certificate, then those that lead to its root (what certbot calls fullchain.pem).
            key: its private key, without a password.
            now: Unix seconds.

        Raises:
            ConfigError: a file cannot be read or is not what it should be, the key belongs to another
                certificate, or the certificate is not valid at `now`.
        """
        self._files = certificate, key
        self._current = _load(certificate, key, now)
        self.context = _new_context()
        # A context without a certificate of its own accepts no client before the callback has chosen one.
        self.context.sni_callback = self._choose

    @property
    def expires(self) -> float:
        """When the certificate ends, in Unix seconds."""
        return self._current.expires

    def reload(self, now: float) -> bool:
        """Read the files again and return whether the certificate is another one.

        Raises:
            ConfigError: as when loading; the certificate that was in use stays in use.
        """
        loaded = _load(*self._files, now)
        changed = loaded.serial != self._current.serial
        self._current = loaded
        return changed

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL asks in every handshake, whether the client names a server or not.
        connection.context = self._current.context


def _load(certificate: Path, key: Path, now: float) -> _Loaded:
    leaf = _leaf(certificate, _read(certificate, "certificate"))
    _check_dates(certificate, leaf, now)
    _check_key(certificate, leaf, key, _read(key, "key of the certificate"))
    context = _new_context()
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"The certificate {certificate} and the key {key} cannot be used: {error}"
        ) from error
    return _Loaded(context, leaf.not_valid_after_utc.timestamp(), leaf.serial_number)


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Browsers offer HTTP/2 as well, in which our WebSockets do not speak.
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"The {what} {path} cannot be read ({error.strerror}).") from error
    if len(data) > _MAX_FILE:
        raise ConfigError(f"The {what} {path} is larger than {_MAX_FILE} bytes: is it the right file?")
    return data


def _leaf(path: Path, data: bytes) -> x509.Certificate:
    try:
        leaf, *_ = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ConfigError(
            f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----) that can be read."
        ) from error
    return leaf


def _check_dates(path: Path, leaf: x509.Certificate, now: float) -> None:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    if moment > leaf.not_valid_after_utc:
        raise ConfigError(f"The certificate {path} expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it.")
    if moment < leaf.not_valid_before_utc:
        raise ConfigError(
            f"The certificate {path} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC:"
            " is this machine's clock right?"
        )


def _check_key(certificate: Path, leaf: x509.Certificate, path: Path, data: bytes) -> None:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError as error:
        raise ConfigError(
            f"The key {path} is protected by a password, which a daemon cannot be asked for: store it without."
        ) from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm, and what else a damaged file brings up
        raise ConfigError(
            f"{path} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----) that can be read."
        ) from error
    ours, theirs = (k.public_bytes(_ENCODING, _FORMAT) for k in (key.public_key(), leaf.public_key()))
    if ours != theirs:
        raise ConfigError(f"The key {path} does not belong to the (first) certificate in {certificate}.")
