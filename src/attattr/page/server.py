"""The local page over HTTP: a form, live explanations, and what happens without an edge or a head.

An answer that takes work is a stream of JSON lines, so that progress is seen, and a client that goes
away is noticed and its work ended. The protocol: docs/server.md.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attattr.errors import InputError
from attattr.page.questions import LONGEST, Explain, Generate, Q, Without, WithoutSources, asked
from attattr.page.queue import Job, Line
from attattr.page.render import static
from attattr.page.session import Explainer

BODY = 400_000  # bytes of a request: two of the longest texts in any script
# Starlette's StaticFiles would serve all of the folder, as what the machine's tables take each file for
FILES = {"serve.js": "text/javascript", "serve.css": "text/css"}
ALL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_app(models: Sequence[str] = (), *, host: str = "127.0.0.1", **opening: Any) -> Starlette:
    """The page and its API as an ASGI application.

    >>> app = make_app(["./my-model"], device="cpu")
    >>> sorted(route.path for route in app.routes)
    ['/', '/api/explain', '/api/generate', '/api/models', '/api/without', '/api/without-sources', ...]

    Args:
        models: names, folders or hub ids besides the embedded models; loaded when first used. No other
            model can be asked for.
        host: the name that the server is reached by, besides localhost and plain addresses.
        opening: keywords of `models.load` for these models.
    """
    explainer = Explainer(models, opening)
    line = Line()

    async def models_(request: Request) -> Response:
        return JSONResponse({"models": explainer.about(), "longest": LONGEST})

    async def explain(request: Request) -> Response:
        question = await _body(request, Explain)
        offered(question.model)
        return stream(lambda job: explainer.explain(job, question))

    async def generate(request: Request) -> Response:
        question = await _body(request, Generate)
        offered(question.model)
        return stream(lambda job: explainer.generate(job, question))

    def offered(model: str) -> None:
        if model not in [each["name"] for each in explainer.about()]:
            raise InputError(f"there is no model '{model}' here: start the server with --model for others")

    async def without_sources(request: Request) -> Response:
        question = await _body(request, WithoutSources)
        return stream(lambda job: explainer.without_sources(job, question))

    async def without(request: Request) -> Response:
        question = await _body(request, Without)
        return stream(lambda job: explainer.without(job, question))

    def stream(work: Callable[[Job], dict[str, Any]]) -> Response:
        if line.busy:
            sentence = f"busy: {len(line.jobs) - 1} requests are waiting already. Try again in a moment."
            raise HTTPException(503, sentence, headers={"retry-after": "5"})
        return StreamingResponse(line.lines(work), media_type="application/x-ndjson")

    async def result(request: Request) -> Response:
        held = explainer.held.get(request.path_params["id"])
        if held is None:
            raise HTTPException(404, "that result is no longer held: explain the text again")
        # the page brings its own policy; who may frame it can only be said here
        return HTMLResponse(held.page, headers={"content-security-policy": "frame-ancestors 'self'"})

    async def page(request: Request) -> Response:
        return HTMLResponse(static("serve.html"), headers={"content-security-policy": POLICY})

    async def file(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in FILES:
            raise HTTPException(404, f"there is no /{name} here")
        return Response(static(name), media_type=FILES[name])

    async def told(request: Request, error: Exception) -> Response:
        of = error if isinstance(error, HTTPException) else HTTPException(400, str(error))
        return JSONResponse({"error": " ".join(of.detail.split())}, of.status_code, of.headers)

    async def broken(request: Request, error: Exception) -> Response:
        # answered outside of Guard, which adds the headers to all else
        return JSONResponse({"error": "this did not work: the server's terminal says why"}, 500, ALL)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        line.close()

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/api/models", models_),
            Route("/api/explain", explain, methods=["POST"]),
            Route("/api/without", without, methods=["POST"]),
            Route("/api/generate", generate, methods=["POST"]),
            Route("/api/without-sources", without_sources, methods=["POST"]),
            Route("/results/{id}", result),
            Route("/{file}", file),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={InputError: told, HTTPException: told, ClientDisconnect: told, Exception: broken},
        lifespan=life,
    )
    app.state.line = line
    return app


class Guard:
    """Answers only those who mean this server: a page elsewhere must not reach it through a browser.

    A name that an attacker lets point here (DNS rebinding) shows in Host: only localhost, the server's
    own name and plain addresses pass (these Starlette's TrustedHostMiddleware would refuse). A request
    from another site's page shows in Origin.
    """

    def __init__(self, app: ASGIApp, host: str):
        self.app = app
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ALL)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        answer: ASGIApp = JSONResponse({"error": refused}, 403) if refused else self.app
        await answer(scope, receive, sending)

    def _refused(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._known(host):
            return "this server does not answer under that name: open it by its address"
        if method != "POST":
            return None
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return "requests from other sites are not answered"
        if headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return "requests carry application/json"
        return None

    def _known(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
            return True
        return name in self.names


async def _body(request: Request, kind: type[Q]) -> Q:
    """What is asked, read no further than it may be long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:  # Starlette 1 has a limit of its own, which answers in plain text
            raise HTTPException(413, f"the request is larger than {BODY:,} bytes")
    return asked(kind, body)


def run(models: Sequence[str], host: str, port: int, *, ready: Callable[[str], None], **opening: Any) -> None:
    """Serve until Ctrl-C; `ready` is called with the address. Port 0: any free one.

    Raises:
        InputError: the host or the port cannot be used.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot serve at {host}, port {port}: {reason} (--port takes another)") from error
    config = uvicorn.Config(
        make_app(models, host=host, **opening), log_level="warning", server_header=False, date_header=False,
        timeout_graceful_shutdown=1, limit_concurrency=64,
    )  # fmt: skip
    shown = f"[{host}]" if ":" in host else host
    with listening:
        ready(f"http://{shown}:{listening.getsockname()[1]}")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
