# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Servers that misbehave, on real sockets.

`serve` runs a function for each connection that comes in; the functions below are the ways in which servers go wrong.
All of them are raw sockets, because a good HTTP server cannot be made to break its own protocol.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Handler = Callable[[socket.socket], None]


class Server:
    """Where a server listens, and what it has seen."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()

    def url(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextlib.contextmanager
def serve(handle: Callable[[socket.socket, Server], None], context: Optional[ssl.SSLContext] = None) -> Iterator[Server]:
    """Run a handler for each connection, in a thread each, with TLS when a context is given."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.settimeout(0.05)
    server = Server(listener)
    threads: list[threading.Thread] = []
    open_connections: set[socket.socket] = set()

    def talk(connection: socket.socket) -> None:
        open_connections.add(connection)
        try:
            with contextlib.suppress(OSError, ValueError):
                if context is None:
                    handle(connection, server)
                else:
                    with context.wrap_socket(connection, server_side=True) as wrapped:
                        handle(wrapped, server)
        finally:
            open_connections.discard(connection)
            connection.close()

    def accept() -> None:
        while not server.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _peer = listener.accept()
                connection.settimeout(10)
                server.connections += 1
                thread = threading.Thread(target=talk, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        acceptor.join()
        listener.close()
        for connection in list(open_connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def read_request(connection: socket.socket, server: Server) -> bytes:
    """One HTTP request with its body, or nothing when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    server.requests.append(head + b"\r\n\r\n" + body)
    return server.requests[-1]


def answer(body: bytes, status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    """A well formed answer that keeps the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def replies(*answers: bytes) -> Callable[[socket.socket, Server], None]:
    """Give these answers to the requests in the order in which they come, whatever the connection;

    The last one for ever.
    """
    lock = threading.Lock()
    given = [0]

    def handle(connection: socket.socket, server: Server) -> None:
        while request := read_request(connection, server):
            with lock:
                number = min(given[0], len(answers) - 1)
                given[0] += 1
            data = answers[number]
            if not data:
                return
            if request.startswith(b"HEAD"):
                data = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            connection.sendall(data)

    return handle


def page(text: str, content_type: str = "text/plain; version=0.0.4") -> bytes:
    """An answer with a metrics page."""
    return answer(text.encode(), headers=[f"Content-Type: {content_type}"])


def silent(connection: socket.socket, server: Server) -> None:
    """Accepts and says nothing."""
    while not server.stopping.wait(0.05):
        pass


def drips(start: bytes, drop: bytes, every: float = 0.05) -> Callable[[socket.socket, Server], None]:
    """Sends a start and then a drop at a time, without end."""

    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.sendall(start)
        while not server.stopping.wait(every):
            connection.sendall(drop)

    return handle


def endless(start: bytes, piece: bytes) -> Callable[[socket.socket, Server], None]:
    """Sends a start and then a piece as often as the client takes it."""

    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.sendall(start)
        while not server.stopping.is_set():
            connection.sendall(piece)

    return handle


def large(size: int, piece: bytes, content_type: str = "text/plain") -> Callable[[socket.socket, Server], None]:
    """A page of a size that it does not announce: it ends when the connection ends."""

    def handle(connection: socket.socket, server: Server) -> None:
        read_request(connection, server)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n".encode())
        sent = 0
        while sent < size and not server.stopping.is_set():
            connection.sendall(piece)
            sent += len(piece)

    return handle


def slow(seconds: float, data: bytes) -> Callable[[socket.socket, Server], None]:
    """Answers each request after a while."""

    def handle(connection: socket.socket, server: Server) -> None:
        while read_request(connection, server):
            time.sleep(seconds)
            connection.sendall(data)

    return handle


@dataclass(frozen=True)
class Issued:
    """Files of a certificate: the chain that a server sends, its key, and the authority that a client would trust."""

    chain: Path
    key: Path
    ca: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def issue(
    directory: Path,
    names: Sequence[str] = ("localhost",),
    days: float = 30,
    issued_days_ago: float = 60,
    self_signed: bool = False,
) -> Issued:
    """Make a certificate that ends in ``days`` days (in the past when negative), signed by an authority made for it."""
    import ipaddress

    now = datetime.datetime.now(datetime.timezone.utc)
    directory.mkdir(parents=True, exist_ok=True)

    def subject(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_public = ca_key.public_key()
    ca = (
        x509.CertificateBuilder()
        .subject_name(subject("Test Authority"))
        .issuer_name(subject("Test Authority"))
        .public_key(ca_public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_public), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(ca_key, hashes.SHA256())
    )

    def general(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    leaf = (
        x509.CertificateBuilder()
        .subject_name(subject(names[0] if names else "nobody"))
        .issuer_name(subject(names[0]) if self_signed else ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=issued_days_ago))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key() if self_signed else ca_public),
            critical=False,
        )
    )
    if names:
        leaf = leaf.add_extension(x509.SubjectAlternativeName([general(name) for name in names]), critical=False)
    certificate = leaf.sign(key if self_signed else ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (directory / "chain.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "ca.pem").write_bytes(ca.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return Issued(directory / "chain.pem", directory / "key.pem", directory / "ca.pem")
