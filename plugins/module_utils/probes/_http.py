# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""HTTP for probes: requests whose total time and memory are bounded, and whose errors say in plain words what happened.

Built on `requests`, with three changes: connections are under a `_net.Guard`, so that a server that drips cannot hold
a look longer than its deadline; redirects are followed here, because the library reads the body of a redirect without
a limit and passes secret headers on to other hosts; the environment (proxies, netrc, CA bundles) has no say unless it
was asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Union
from urllib.parse import urldefrag, urljoin, urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret, reveal
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

if TYPE_CHECKING:
    import requests

MAX_REDIRECTS = 10
CHUNK = 1 << 18
"""Bytes that are read at a time."""

_REDIRECTS = (301, 302, 303, 307, 308)
_SHORTEST_SECRET = 4
"""Shorter values are not searched for in error texts: they would be found in every other word."""


def _verify(value: Any) -> Union[bool, str]:
    if isinstance(value, str) and value.startswith("/"):
        return value
    try:
        return opt.flag(value)
    except ValueError:
        raise ValueError(f"expected true, false or the path of a CA file, got {value!r}") from None


OPTIONS: Mapping[str, Option] = {
    "headers": Option(opt.map_of(opt.secret_text), "request headers; a value may be {secret: NAME}"),
    "username": Option(opt.text, "user name for basic authentication"),
    "password": Option(opt.secret_only, "password for basic authentication, as {secret: NAME}"),
    "bearer": Option(opt.secret_only, "token for the header Authorization: Bearer, as {secret: NAME}"),
    "verify": Option(_verify, "verify the TLS certificate: true, false or the path of a CA file", default=True),
    "proxy": Option(opt.flag, "use the proxy that the environment variables name", default=False),
}


def problems(options: Mapping[str, Any]) -> list[Problem]:
    """Mistakes in the common options that only show together."""
    found = []
    if (options["username"] is None) != (options["password"] is None):
        found.append(Problem("username", "username and password go together"))
    if options["bearer"] is not None:
        if options["username"] is not None:
            found.append(Problem("bearer", "give either a bearer token or a username and password"))
        if any(name.lower() == "authorization" for name in options["headers"] or {}):
            found.append(Problem("bearer", "give either a bearer token or a header Authorization"))
    return found


@dataclass
class Reply:
    """The head of an answer, and the way to its body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    url: str
    first_byte: float
    """Seconds from the start of the request, its connection and its redirects included, to the end of the headers."""
    redirects: int
    charset: Optional[str]
    _client: Client
    _response: Any
    size: int = 0
    """Bytes of the body that were read so far, decoded."""

    def chunks(self, limit: int) -> Iterator[bytes]:
        """The body in pieces, decoded.

        Raises ProbeError when it is larger than the limit, breaks off or does not end.
        """
        announced = self._announced()
        if announced is not None and announced > limit:
            raise ProbeError(f"{self.url}: the body is {units.show(announced, 'size')}, the limit is {units.show(limit, 'size')}")
        for chunk in self._client.read(self._response):
            self.size += len(chunk)
            if self.size > limit:
                raise ProbeError(f"{self.url}: the body is larger than the limit of {units.show(limit, 'size')}")
            yield chunk
        # Releases of urllib3 before 2 take a body that broke off for a whole one.
        received = self._response.raw.tell()
        if announced is not None and received < announced:
            raise ProbeError(f"{self.url}: the answer broke off after {units.show(received, 'size')} of the body")

    def _announced(self) -> Optional[int]:
        """The length of the body on the wire, where it was said and there is a body."""
        length = self.headers.get("content-length", "")
        bodiless = self._response.request.method == "HEAD" or self.status in (204, 304)
        return int(length) if length.isdigit() and not bodiless and "transfer-encoding" not in self.headers else None

    def body(self, limit: int) -> bytes:
        """The whole body."""
        return b"".join(self.chunks(limit))

    def is_html(self) -> bool:
        return self.headers.get("content-type", "").lower().startswith("text/html")


class Client:
    """Makes requests one after the other over connections that it keeps. Not for several threads; make one for each."""

    def __init__(self, options: Mapping[str, Any], context: Context, guard: _net.Guard) -> None:
        try:
            import requests
        except ImportError as error:
            raise LibraryMissing("requests") from error
        self._context = context
        self._guard = guard
        self._begun = context.clock()
        self._verify = options["verify"]
        self._proxy = options["proxy"]
        self._secrets: list[str] = []
        self._connections: dict[Any, _net.Watched] = {}
        self._plain: dict[str, str] = {}
        self._private: dict[str, str] = {}
        for name, value in (options["headers"] or {}).items():
            self._header(name, value)
        if options["bearer"] is not None:
            self._header("Authorization", Secret(f"Bearer {options['bearer'].reveal()}"))
            self._secrets.append(options["bearer"].reveal())
        self._credentials: Optional[tuple[bytes, bytes]] = None
        if options["password"] is not None:
            self._credentials = (options["username"].encode(), options["password"].reveal().encode())
            self._secrets.append(options["password"].reveal())
        if isinstance(self._verify, str) and not os.path.exists(self._verify):
            raise ProbeError(f"the CA file {self._verify} does not exist")
        if self._verify is False:
            # The library warns at each request; who writes `verify: false` in a check has been told what it means.
            import urllib3

            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

        class Session(requests.Session):
            def get_redirect_target(self, resp: Any) -> None:
                """No redirect is the library's business:

                It reads their bodies without a limit, even when not following.
                """

        self._session = Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _adapter(self))

    def _header(self, name: str, value: Union[str, Secret]) -> None:
        shown = reveal(value)
        if any(character in name + shown for character in "\r\n"):
            raise ProbeError(f"the header {name.splitlines()[0]} has a line break in it, which is not allowed")
        if isinstance(value, Secret):
            self._private[name] = shown
            self._secrets.append(shown)
        else:
            self._plain[name] = shown

    def close(self) -> None:
        self._session.close()
        self._forget()

    def hide(self, text: str) -> str:
        """A text without the secrets that this client knows."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text

    def connected(self, connection: Any, host: str, port: int) -> Any:
        """Open the socket of a connection of the library, under guard."""
        opened = _net.connect(host.strip("[]"), port, self._context)
        self._connections[connection] = self._guard.watch(opened)
        return opened

    def _forget(self, all_of_them: bool = True) -> None:
        """End the guard of connections that are closed on our side."""
        for connection in list(self._connections):
            if all_of_them or connection.sock is None:
                self._guard.release(self._connections.pop(connection))

    @contextlib.contextmanager
    def request(
        self,
        method: str,
        url: str,
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[bytes] = None,
        follow: bool = False,
    ) -> Iterator[Reply]:
        """Ask, and give the head of the answer; the body is read from it inside the block.

        Raises ProbeError for whatever kept a whole answer from arriving.
        """
        begun = self._context.clock()
        response: Optional[requests.Response] = None
        try:
            with self._explained(url):
                response = self._ask(method, url, headers or {}, body, own=True)
                redirects = 0
                while follow and response.status_code in _REDIRECTS and "location" in response.headers:
                    redirects += 1
                    if redirects > MAX_REDIRECTS:
                        raise ProbeError(f"{url}: more than {MAX_REDIRECTS} redirects")
                    target = urldefrag(urljoin(response.url, response.headers["location"]))[0]
                    if urlsplit(target).scheme not in ("http", "https"):
                        raise ProbeError(f"{url}: redirected to {target!r}, which is not http or https")
                    if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                        method, body = ("HEAD" if method == "HEAD" else "GET"), None
                    response.close()
                    response = self._ask(method, target, headers or {}, body, own=_origin(target) == _origin(url))
            yield Reply(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                url=response.url,
                first_byte=self._context.clock() - begun,
                redirects=redirects,
                charset=response.encoding,
                _client=self,
                _response=response,
            )
        finally:
            if response is not None:
                response.close()
            self._forget(all_of_them=False)

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes], own: bool) -> requests.Response:
        """One request. ``own``: it goes to the host that the check names, which may see the secrets."""
        import requests
        from requests.utils import get_environ_proxies

        plain = self._plain
        if not own:
            if body is not None:
                raise ProbeError(f"redirected to {url}, another host, which must not be sent the body of the request")
            plain = {name: value for name, value in plain.items() if name.lower() not in ("authorization", "cookie")}
        sent = {**headers, **plain, **(self._private if own else {})}
        request = requests.Request(method, url, headers=sent, data=body, auth=self._credentials if own else None)
        if self._context.over():
            raise TimeoutError
        return self._session.send(
            self._session.prepare_request(request),
            stream=True,
            verify=self._verify,
            proxies=get_environ_proxies(url) if self._proxy else {},
            timeout=self._context.remaining(),
            allow_redirects=False,
        )

    def read(self, response: Any) -> Iterator[bytes]:
        """The pieces of a body, with every way in which it can break explained."""
        pieces: Iterable[bytes] = response.raw.stream(CHUNK, decode_content=True)
        with self._explained(response.url):
            yield from pieces
            # A body without a length ends when the connection ends, and the guard ends connections.
            if self._guard.cut:
                raise TimeoutError

    @contextlib.contextmanager
    def _explained(self, url: str) -> Iterator[None]:
        try:
            yield
        except (ProbeError, GeneratorExit):
            raise
        except Exception as error:
            if self._guard.cut or self._context.over():
                waited = self._context.clock() - self._begun
                raise ProbeError(f"{url}: no complete answer within {units.show(waited, 'time')}") from None
            raise ProbeError(self.hide(f"{url}: {_explain(error)}")) from None


def _origin(url: str) -> tuple[str, Optional[str], Optional[int]]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was made of, outermost first: the libraries wrap three or four deep, each in its own way."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            yield one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]


def _explain(error: BaseException) -> str:
    """What happened, in a few words. Never the text of an error that could quote a request: it could quote a secret."""
    import http.client
    import ssl

    from requests import exceptions
    from urllib3 import exceptions as lower
    from urllib3.util.ssl_match_hostname import CertificateError

    causes = list(_causes(error))
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the certificate was not accepted: {one.verify_message or one.reason}"
        if isinstance(one, CertificateError):
            return "the certificate was not accepted: it is for another name"
    for one in causes:
        if isinstance(one, ssl.SSLError):
            return f"no TLS connection: {(one.reason or str(one)).replace('_', ' ').lower()}"
        if isinstance(one, (exceptions.InvalidHeader, exceptions.InvalidURL, UnicodeError)):
            return "the request cannot be sent: a header or the address has characters that are not allowed"
        if isinstance(one, (lower.InvalidChunkLength, lower.HeaderParsingError)):
            return "the answer is not valid HTTP"
        if isinstance(one, lower.IncompleteRead):
            return f"the answer broke off after {units.show(one.partial or 0, 'size')} of the body"
        if isinstance(one, http.client.IncompleteRead):
            return "the answer broke off in the middle of the body"
        if isinstance(one, lower.DecodeError):
            return "the body is not in the encoding that its header names"
    for one in causes:
        if isinstance(one, http.client.RemoteDisconnected):
            return "the connection was closed without an answer"
        if isinstance(one, (http.client.BadStatusLine, http.client.LineTooLong)):
            return "the answer is not HTTP"
        if isinstance(one, OSError) and not isinstance(one, exceptions.RequestException):
            return _net.describe(one)
        if isinstance(one, http.client.HTTPException):
            return f"the answer is not valid HTTP ({type(one).__name__})"
    return f"no answer ({type(error).__name__})"


def _adapter(client: Client) -> Any:
    """The transport of requests, with connections that `Client.connected` opens. Made on the fly, as is the import."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Connection(HTTPConnection):
        def _new_conn(self) -> Any:
            return client.connected(self, self.host, int(self.port or 80))

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> Any:
            return client.connected(self, self.host, int(self.port or 443))

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    pools = {"http": Pool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()
