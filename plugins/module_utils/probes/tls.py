# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The certificate that a server shows: how long it is valid, for which names, and whether it would be accepted."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

if TYPE_CHECKING:
    from cryptography import x509

DAY = 86400.0


@dataclass
class Shown:
    """What a handshake showed."""

    certificate: bytes
    version: str
    address: str


class TlsProbe(Probe):
    """Makes a TLS handshake and reads the certificate of the server.

    A certificate that is expired, foreign or self-signed is an answer: its facts are measured and ``chain_valid`` is
    false. Only a server without a handshake could not be measured.
    """

    name = "tls"
    options: ClassVar[Mapping[str, Option]] = {
        "host": Option(opt.text, "name or address to connect to", required=True),
        "port": Option(opt.integer(1, 65535), "port to connect to", default=443),
        "server_name": Option(opt.text, "name that is asked for and that the certificate must cover; the host by default"),
        "ca": Option(opt.text, "path of a file with the authorities to trust; those of the system by default"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "days_left": "count",
        "not_after": "text",
        "names": "text",
        "covers": "flag",
        "chain_valid": "flag",
        "self_signed": "flag",
        "issuer": "text",
        "version": "text",
        "latency": "time",
    }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        try:
            from cryptography import x509
        except ImportError as error:
            raise LibraryMissing("cryptography") from error
        name = options["server_name"] or options["host"]
        where = f"{options['host']}:{options['port']}"
        verifying = _context(options["ca"], verify=True)
        begun = context.clock()
        chain_error: Optional[str] = None
        with _net.Guard(context) as guard:
            try:
                shown = _handshake(options, name, verifying, guard, context, where)
            except ssl.SSLCertVerificationError as error:
                # The facts of a certificate that is not accepted can only be had by a second handshake that accepts
                # all.
                chain_error = error.verify_message or str(error)
                begun = context.clock()
                shown = _handshake(options, name, _context(None, verify=False), guard, context, where)
        latency = context.clock() - begun
        try:
            certificate = x509.load_der_x509_certificate(shown.certificate)
            names = _names(certificate)
            ends = _ends(certificate)
            issuer, subject = certificate.issuer.rfc4514_string(), certificate.subject.rfc4514_string()
        except ValueError as error:
            raise ProbeError(f"{where}: the certificate cannot be read: {error}") from error
        seen = Observation(
            measures={
                "days_left": (ends.timestamp() - context.now()) / DAY,
                "not_after": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "names": ", ".join(names),
                "covers": covers(names, name),
                "chain_valid": chain_error is None,
                "self_signed": issuer == subject,
                "issuer": issuer,
                "version": shown.version,
                "latency": latency,
            },
            proof={"certificates": 1, "server_name": name, "address": shown.address, "subject": subject},
        )
        if chain_error is not None:
            seen.proof["chain_error"] = chain_error
        return seen


def _context(ca: Optional[str], verify: bool) -> ssl.SSLContext:
    """Names are compared by `covers`, so that a wrong name and a wrong chain are told apart."""
    if ca is not None and not os.path.isfile(ca):
        raise ProbeError(f"the CA file {ca} does not exist")
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise ProbeError(f"the CA file {ca} has no certificate that can be read") from error
    context.check_hostname = False
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def _handshake(
    options: Mapping[str, Any], name: str, tls: ssl.SSLContext, guard: _net.Guard, context: Context, where: str
) -> Shown:
    """One handshake.

    Raises SSLCertVerificationError when the chain is not accepted, ProbeError for all else that goes wrong.
    """
    begun = context.clock()
    try:
        connection = _net.connect(options["host"], options["port"], context)
        watched = guard.watch(connection)
        address = str(connection.getpeername()[0])
        try:
            with tls.wrap_socket(connection, server_hostname=name) as wrapped:
                certificate = wrapped.getpeercert(binary_form=True)
                version = wrapped.version()
        finally:
            guard.release(watched)
            connection.close()
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as error:
        if guard.cut or context.over():
            took = context.clock() - begun
            raise ProbeError(f"{where}: the TLS handshake did not end within {took:.1f} s") from error
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or "the server ended the connection").replace("_", " ").lower()
            raise ProbeError(f"{where}: no TLS handshake: {reason}") from error
        raise ProbeError(f"{where}: {_net.describe(error)}") from error
    if certificate is None:
        raise ProbeError(f"{where}: the server showed no certificate")
    return Shown(certificate, version or "", address)


def _ends(certificate: x509.Certificate) -> datetime.datetime:
    """When the certificate ends, with its time zone; releases of the library before 42 give it without one."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def _names(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that a certificate is for.

    Its common name is not one: no client looks there any more.
    """
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *extension.get_values_for_type(x509.DNSName),
        *(str(address) for address in extension.get_values_for_type(x509.IPAddress)),
    ]


def covers(names: Iterable[str], server_name: str) -> bool:
    """Whether one of the names is that of the server.

    A ``*`` stands for one whole label, the leftmost (RFC 6125, 6.4.3).
    """
    try:
        wanted_address = ipaddress.ip_address(server_name)
    except ValueError:
        pass
    else:
        return any(_address(name) == wanted_address for name in names)
    wanted = _ascii(server_name)
    first, _dot, rest = wanted.partition(".")
    for name in (one.lower().rstrip(".") for one in names):
        if name == wanted:
            return True
        if name.startswith("*.") and first and "." in rest and name[2:] == rest:
            return True
    return False


def _address(name: str) -> Any:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _ascii(name: str) -> str:
    """A host name as certificates write it."""
    try:
        return name.encode("idna").decode().lower().rstrip(".")
    except UnicodeError:
        return name.lower().rstrip(".")
