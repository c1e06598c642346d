"""Gives the JVM on this machine the run's own sessions, by the protocol of STS on loopback.

S3A takes a credentials provider by the name of a Java class, and its own provider asks STS. So
this server answers AssumeRole with a session that the run holds: its tags, its ``via`` and its
renewal are those of the run, and no class of ours is needed in the JVM. A random token in place of
a session token names the role that a bucket is reached as; without it nothing is answered.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Optional
from xml.sax.saxutils import escape

from rolerunner.errors import StepError
from rolerunner.redaction.secrets import register_credential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.model import Role
    from rolerunner.sessions.registry import Sessions

MAX_SECONDS = 900.0
"""Longest time for which credentials are handed out: S3A asks again before it has passed."""
JOB_ARN = "arn:aws:iam::000000000000:role/job"
"""Stands for the job's own role, for which S3A needs an ARN to ask for."""
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MAX_BODY_BYTES = 100_000


@dataclass
class LentSession:
    """Sessions of one role, which the JVM asks for with ``token`` at ``url``."""

    sessions: Sessions
    role: Role
    url: str = ""
    token: str = field(default="", repr=False)
    refusal: Optional[StepError] = None
    """The last error of a session that was asked for."""
    clock: Callable[[], float] = time.time

    def answer(self) -> tuple[int, str]:
        """Returns the status and the body of the response to AssumeRole."""
        try:
            return 200, self._render()
        except StepError as error:
            self.refusal = error
            message = f"sts:AssumeRole of the role '{self.role}' was refused"
            return 403, _render_error("AccessDenied", message)

    def _render(self) -> str:
        keys = self.sessions.get_credentials(self.role).get_frozen_credentials()
        latest = self.clock() + MAX_SECONDS
        # the job's own credentials do not tell when they end
        ends = min(latest, self.sessions.find_expiry(self.role) or latest)
        return _render_credentials(self.role.arn or JOB_ARN, keys, ends)


@contextmanager
def lend_session(sessions: Sessions, role: Role) -> Iterator[LentSession]:
    """Lends the JVM sessions of the role inside the block."""
    lent = LentSession(sessions, role)
    _SERVER.add(lent)
    try:
        yield lent
    finally:
        _SERVER.remove(lent)


class _Server:
    """The server of this process, which listens while sessions are lent.

    There is one, since version 2 of the AWS SDK for Java knows one endpoint of STS for each JVM.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: dict[str, LentSession] = {}
        self._listening: Optional[ThreadingHTTPServer] = None

    def add(self, lent: LentSession) -> None:
        """Answers for a session, and sets its token and URL."""
        with self._lock:
            if self._listening is None:
                self._listening = _start()
            lent.token = register_credential(secrets.token_urlsafe(32))
            lent.url = f"http://127.0.0.1:{self._listening.server_address[1]}"
            self._lent[lent.token] = lent

    def remove(self, lent: LentSession) -> None:
        """Ends the answers for a session; after the last one the port is closed."""
        with self._lock:
            self._lent.pop(lent.token, None)
            if not self._lent and self._listening is not None:
                self._listening.shutdown()
                self._listening.server_close()
                self._listening = None

    def find(self, token: str) -> Optional[LentSession]:
        """Returns the session of a token; None for any other text."""
        given = token.encode()
        lent = list(self._lent.values())
        return next((e for e in lent if hmac.compare_digest(e.token.encode(), given)), None)


def _start() -> ThreadingHTTPServer:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listening.daemon_threads = True
    serve = threading.Thread(target=listening.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    serve.start()
    return listening


class _Handler(BaseHTTPRequestHandler):
    """Answers AssumeRole; its access log is silent."""

    timeout = _TIMEOUT_SECONDS
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, _MAX_BODY_BYTES)).decode(errors="replace")
        status, text = _answer(body, self.headers.get("X-Amz-Security-Token") or "")
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


def _answer(body: str, token: str) -> tuple[int, str]:
    if "Action=AssumeRole&" not in f"{body}&":
        return 400, _render_error("InvalidAction", "only AssumeRole is answered here")
    lent = _SERVER.find(token)
    if lent is None:
        return 403, _render_error("InvalidClientTokenId", "the token is not one of this run")
    return lent.answer()


def _render_credentials(arn: str, keys: Any, ends: float) -> str:
    moment = dt.datetime.fromtimestamp(ends, dt.timezone.utc)
    return (
        f'<AssumeRoleResponse xmlns="{_NAMESPACE}"><AssumeRoleResult><AssumedRoleUser>'
        f"<AssumedRoleId>rolerunner:spark</AssumedRoleId><Arn>{escape(arn)}</Arn>"
        "</AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{escape(keys.access_key)}</AccessKeyId>"
        f"<SecretAccessKey>{escape(keys.secret_key)}</SecretAccessKey>"
        f"<SessionToken>{escape(keys.token or '')}</SessionToken>"
        f"<Expiration>{moment:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        "</Credentials></AssumeRoleResult><ResponseMetadata><RequestId>rolerunner</RequestId>"
        "</ResponseMetadata></AssumeRoleResponse>"
    )


def _render_error(code: str, message: str) -> str:
    return (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        "<RequestId>rolerunner</RequestId></ErrorResponse>"
    )


_SERVER = _Server()
