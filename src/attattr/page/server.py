"""The local page over HTTP: a form, live explanations, and what happens without an edge or a head.

An answer that takes work is a stream of JSON lines, so that progress is seen, and a client that goes
away is noticed and its work ended. The protocol: docs/server.md.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attattr.errors import InputError
from attattr.page.document import STATIC
from attattr.page.queue import Job, Line
from attattr.page.session import Explainer

LONGEST = 20_000  # characters of a text
BODY = 400_000  # bytes of a request: two such texts in any script
MARKS = 200  # edges and heads taken out together
PIECES = 32  # positions of one word
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
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>attattr</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/serve.css">
</head>
<body>
<div id="serve"><noscript>The script in this page talks to the models: allow it to run.</noscript></div>
<script src="/serve.js"></script>
</body>
</html>
"""


def make_app(models: Sequence[str] = (), *, host: str = "127.0.0.1", **opening: Any) -> Starlette:
    """The page and its API as an ASGI application.

    >>> app = make_app(["./my-model"], device="cpu")
    >>> sorted(route.path for route in app.routes)
    ['/', '/api/explain', '/api/models', '/api/without', '/results/{id}', '/{file}']

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
        facts = await _json(request)
        name, texts, target = str(facts.get("model")), _texts(facts), facts.get("target")
        if name not in [each["name"] for each in explainer.about()]:
            raise InputError(f"there is no model '{name}' here: start the server with --model for others")
        if target is not None and not isinstance(target, str):
            raise InputError("the target is the name of a class")
        effects = facts.get("effects", True) is True
        return stream(lambda job: explainer.explain(job, name, texts, target or None, effects))

    async def without(request: Request) -> Response:
        facts = await _json(request)
        edges, heads = _edges(facts), _heads(facts)
        return stream(lambda job: explainer.without(job, str(facts.get("id")), edges, heads))

    def stream(work: Callable[[Job], dict[str, Any]]) -> Response:
        if line.busy:
            waiting = len(line.jobs) - 1
            sentence = f"busy: {waiting} requests are waiting already. Try again in a moment."
            return JSONResponse({"error": sentence}, 503, headers={"retry-after": "5"})
        return StreamingResponse(line.lines(work), media_type="application/x-ndjson")

    async def result(request: Request) -> Response:
        held = explainer.held.get(request.path_params["id"])
        if held is None:
            return JSONResponse({"error": "that result is no longer held: explain the text again"}, 404)
        # the page brings its own policy; who may frame it can only be said here
        return HTMLResponse(held.page, headers={"content-security-policy": "frame-ancestors 'self'"})

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})

    async def static(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in FILES:
            return JSONResponse({"error": f"there is no /{name} here"}, 404)
        return Response((STATIC / name).read_bytes(), media_type=FILES[name])

    async def told(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": " ".join(str(error).split())}, 400)

    async def too_large(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"the request is larger than {BODY:,} bytes"}, 413)

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
            Route("/results/{id}", result),
            Route("/{file}", static),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={InputError: told, _TooLargeError: too_large},
        lifespan=life,
    )
    app.state.line = line
    return app


class Guard:
    """Answers only those who mean this server: a page elsewhere must not reach it through a browser.

    A name that an attacker lets point here (DNS rebinding) shows in Host: only localhost, the server's
    own name and plain addresses pass. A request from another site's page shows in Origin.
    """

    def __init__(self, app: ASGIApp, host: str):
        self.app = app
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        origin = headers.get("origin")
        refused = None
        if not self._known(host):
            refused = "this server does not answer under that name: open it by its address"
        elif scope["method"] == "POST":
            if origin is not None and origin.lower() not in (
                f"http://{host}".lower(),
                f"https://{host}".lower(),
            ):
                refused = "requests from other sites are not answered"
            elif headers.get("content-type", "").split(";")[0].strip() != "application/json":
                refused = "requests carry application/json"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in ALL.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if refused:
            await JSONResponse({"error": refused}, 403)(scope, receive, sending)
        else:
            await self.app(scope, receive, sending)

    def _known(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self.names:
            return True
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
            return True
        return False


class _TooLargeError(Exception):
    pass


async def _json(request: Request) -> dict[str, Any]:
    """The body as an object, read no further than it may be long."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY:
                raise _TooLargeError
        facts = json.loads(body)
        json.dumps(facts, ensure_ascii=False).encode()  # \ud800, half a character, is no text
    except (ValueError, RecursionError, ClientDisconnect):
        raise InputError("the request is not JSON in UTF-8") from None
    if not isinstance(facts, dict):
        raise InputError("the request is not a JSON object")
    return facts


def _texts(facts: Mapping[str, Any]) -> list[str]:
    texts = facts.get("texts")
    if not isinstance(texts, list) or not 1 <= len(texts) <= 2 or not all(isinstance(t, str) for t in texts):
        raise InputError("one text or two can be explained")
    for which, text in zip(("first", "second"), texts, strict=False):
        if not text.strip():
            only = "the text is empty: there is nothing to explain"
            raise InputError(only if len(texts) == 1 else f"the {which} text is empty: give both")
        if len(text) > LONGEST:
            raise InputError(f"the text has {len(text):,} characters; {LONGEST:,} are taken at most")
    return texts


def _edges(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    edges = _list(facts, "edges")
    for edge in edges:
        if not isinstance(edge, dict) or not _whole(edge.get("site")):
            raise InputError("an edge is {site, head, query: [positions], key: [positions]}")
        sides = [edge.get(side) for side in ("query", "key")]
        if not all(
            isinstance(side, list) and len(side) <= PIECES and all(map(_whole, side)) for side in sides
        ):
            raise InputError("an edge is {site, head, query: [positions], key: [positions]}")
        if edge.setdefault("head", None) is not None and not _whole(edge["head"]):
            raise InputError("the head of an edge is a number, or null for all of them")
    return edges


def _heads(facts: Mapping[str, Any]) -> list[list[int]]:
    heads = _list(facts, "heads")
    if not all(isinstance(head, list) and len(head) == 2 and all(map(_whole, head)) for head in heads):
        raise InputError("a head is [site, head]")
    return heads


def _list(facts: Mapping[str, Any], name: str) -> list[Any]:
    found = facts.get(name, [])
    if not isinstance(found, list) or len(found) > MARKS:
        raise InputError(f"{name} is a list of {MARKS} at most")
    return found


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
