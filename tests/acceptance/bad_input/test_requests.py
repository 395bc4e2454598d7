"""Requests made to hurt: every route, every reply in the shape of errors, nothing kept, no fault in the log."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import openai
import pytest

from tests.acceptance.bad_input.raw import Raw, ask, connect, head, read_reply, send
from tests.acceptance.bad_input.stored import bytes_kept, memory_peak_mb, more_rows, rows
from tests.lines import CHAT, chats, jsonl
from tests.serving import KEY, ServerProcess

IDS = [
    "..%2f..%2f..%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%2e%2e",
    "..",
    ".",
    "%2f",
    "%00",
    "file-%00",
    "%0d%0aX-Evil:%201",
    "%ff%fe",
    "%F0%9F%98%80",
    "%E2%80%AE%E2%80%A8",
    "%25%30%30",
    "%zz",
    "'%20OR%201=1--",
    "*",
    "%25",
    "file-;rm%20-rf",
    "batch-output-..%2f..%2fserver.json.jsonl",
    "batch-output-.jsonl",
    "batch-output-%25.jsonl",
    "a" * 201,
    "a" * 50_000,
]
ROUTES = [
    ("GET", "/v1/files/{}"),
    ("DELETE", "/v1/files/{}"),
    ("GET", "/v1/files/{}/content"),
    ("GET", "/api/v1/files/{}/content"),
    ("GET", "/v1/batches/{}"),
    ("POST", "/v1/batches/{}/cancel"),
    ("POST", "/v1/uploads/{}/parts"),
    ("POST", "/v1/uploads/{}/complete"),
    ("POST", "/v1/uploads/{}/cancel"),
    ("GET", "/v1/models/{}"),
    ("GET", "/v1/files?after={}"),
    ("GET", "/v1/batches?after={}"),
    ("DELETE", "/admin/v1/keys/{}"),
    ("GET", "/admin/v1/keys?tenant={}"),
]


@pytest.fixture(autouse=True)
def _nothing_is_kept(server: ServerProcess, request: pytest.FixtureRequest) -> object:
    """Whatever these tests send changes nothing, unless they say so, and is no fault of the server."""
    kept, before, told = bytes_kept(server), rows(server), len(server.log)
    yield
    assert "Traceback" not in server.log[told:]
    if "client" not in request.fixturenames:
        assert more_rows(server, before) == {}
        assert {name for name in bytes_kept(server) - kept if not name.startswith("blobs/runs/")} == set()


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_ids_that_are_tricks_are_not_found(server: ServerProcess, method: str, route: str) -> None:
    """404 as for any id that is not there, or 400; never a path, a header or a fault."""
    key = server.admin_token if route.startswith("/admin") else KEY
    for id in IDS:
        body = b"" if method != "POST" or route.endswith("cancel") else b'{"part_ids":["part_x"]}'
        kind = "application/json"
        if route.endswith("parts"):
            kind = "multipart/form-data; boundary=B"
            body = b'--B\r\nContent-Disposition: form-data; name="data"\r\n\r\nx\r\n--B--\r\n'
        reply = ask(server, method, route.format(id), body, key=key, content_type=kind)
        assert reply.status in (400, 404), (id, reply)
        assert reply.error
        assert "x-evil" not in reply.headers
        assert b"root:" not in reply.body


@pytest.mark.parametrize("limit", ["-1", "0", "101", "NaN", "Infinity", "1e1", "1.5", "", "%205", "+5", "5%00", "1_0"])
def test_limits_that_are_no_limits(server: ServerProcess, limit: str) -> None:
    """Each says what is wrong with it; none is silently taken for another."""
    error = ask(server, "GET", f"/v1/batches?limit={limit}").error
    assert (error["status"], error["param"]) == (400, "limit")
    wanted = {"-1": "integer_below_min_value", "0": "integer_below_min_value", "101": "integer_above_max_value"}
    assert error["code"] == wanted.get(limit, "invalid_type")


@pytest.mark.parametrize("digits", [18, 19, 400, 5_000])
def test_limits_of_many_digits(server: ServerProcess, digits: int) -> None:
    """Beyond what a database or Python's own reader of numbers takes."""
    for route in ("files", "batches"):
        error = ask(server, "GET", f"/v1/{route}?limit={'9' * digits}").error
        assert (error["status"], error["param"]) == (400, "limit")


def test_order_after_and_purpose_of_odd_text(server: ServerProcess) -> None:
    """Odd values are refused or find nothing."""
    assert ask(server, "GET", "/v1/files?order=ASC").error["param"] == "order"
    assert ask(server, "GET", "/v1/files?after=file-never-was").error["param"] == "after"
    for purpose in ("%00", "%ff", "x" * 10_000, "'%20OR%201=1--"):
        reply = ask(server, "GET", f"/v1/files?purpose={purpose}")
        assert (reply.status, json.loads(reply.body)["data"]) == (200, [])


def test_10000_query_parameters_are_ignored(server: ServerProcess) -> None:
    """So many that they are not read one against all others."""
    query = "&".join(f"a{i % 7}=1" for i in range(10_000))
    assert ask(server, "GET", f"/v1/batches?{query}&limit=3").status == 200


BAD_BODIES: dict[str, tuple[bytes, str | None]] = {
    "a number that no float holds": (b'{"output_expires_after":{"anchor":"created_at","seconds":1e400}}', None),
    "NaN": (b'{"output_expires_after":{"anchor":"created_at","seconds":NaN}}', None),
    "an integer of 5,000 digits": (b'{"metadata":{"a":' + b"9" * 5_000 + b"}}", None),
    "seconds below": (b'{"output_expires_after":{"anchor":"created_at","seconds":-1}}', "output_expires_after.seconds"),
    "17 pairs": (b'{"metadata":{%b}}' % b",".join(b'"%d":""' % i for i in range(17)), "metadata"),
    "a key of 65": (b'{"metadata":{"%b":""}}' % (b"k" * 65), "metadata"),
    "a value of 513": (b'{"metadata":{"k":"%b"}}' % (b"v" * 513), "metadata.k"),
    "a key with a null": (b'{"metadata":{"\\u0000":""}}', "metadata"),
    "an id of 2,000": (b'{"input_file_id":"%b"}' % (b"f" * 2_000), "input_file_id"),
    "a window of objects": (b'{"completion_window":{"24h":1}}', "completion_window"),
    "an endpoint with a null": (b'{"endpoint":"/v1/embeddings\\u0000"}', "endpoint"),
}


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_bodies_that_are_json_and_not_a_batch(server: ServerProcess, kind: str) -> None:
    """One member is wrong; the rest is as it should be."""
    wrong, param = BAD_BODIES[kind]
    good = b'{"input_file_id":"file-x","endpoint":"/v1/embeddings","completion_window":"24h",'
    error = ask(server, "POST", "/v1/batches", good + wrong[1:], content_type="application/json").error
    assert (error["status"], error["param"]) == (400, error["param"] if param is None else param)


def test_bodies_of_another_kind(server: ServerProcess) -> None:
    """A body is judged by what it is, whatever its Content-Type says."""
    form = b'--B\r\nContent-Disposition: form-data; name="endpoint"\r\n\r\nx\r\n--B--\r\n'
    for kind, body in (
        ("multipart/form-data; boundary=B", form),
        ("application/x-www-form-urlencoded", b"endpoint=x"),
        ("application/json", b"\x1f\x8b\x08\x00"),
        ("application/json; charset=utf-16", '{"endpoint":"x"}'.encode("utf-16")),
    ):
        assert ask(server, "POST", "/v1/batches", body, content_type=kind).error["status"] == 400
    for kind in ("application/json", "text/plain", "multipart/form-data", f"multipart/form-data; boundary={'b' * 300}"):
        assert ask(server, "POST", "/v1/files", b"{}", content_type=kind).error["status"] == 400


def test_a_json_body_of_100_mb(server: ServerProcess) -> None:
    """Refused at its first MiB; the rest is read and forgotten, so that the client gets to see why."""
    size, piece = 100_000_000, b" " * 1_000_000
    with closing(connect(server)) as connection:
        connection.sendall(head("POST", "/v1/batches", content_length=str(size)))
        for _ in range(size // len(piece)):
            connection.sendall(piece)
        error = read_reply(connection).error
        assert (error["status"], error["code"]) == (413, "file_too_large")
        connection.sendall(head("GET", "/healthz"))
        assert read_reply(connection).status == 200
    assert memory_peak_mb(server.pid) < 200


@pytest.mark.parametrize(
    "request_head",
    [
        head("GET", "/v1/files", x_huge="x" * 10_000_000),
        head("GET", "/v1/files", **{f"x_{i}": "y" * 100 for i in range(20_000)}),
        head("GET", "/v1/files?" + "q" * 10_000_000),
        head("GET", "/v1/files", key="k" * 10_000_000),
        b"G" * 10_000_000,
    ],
    ids=["one header", "many headers", "target", "key", "method"],
)
def test_heads_of_megabytes_are_cut_off(server: ServerProcess, request_head: bytes) -> None:
    """Before their end is seen: the client finds the connection closed, whether it reads the answer or not."""
    answer = b""
    with closing(connect(server)) as connection, suppress(ConnectionError):
        connection.sendall(request_head)
        while piece := connection.recv(65536):
            answer += piece
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert memory_peak_mb(server.pid) < 200


def test_heads_that_are_not_http(server: ServerProcess) -> None:
    """Answered in the shape of errors, then the connection is closed."""
    for request in (
        head("GET", "/v1/files", x_null="a\x00b"),
        head("GET", "/v1/files", x_bare="a\rX-Evil: 1"),
        head("GET", "/v1/files\x01"),
        head("POST", "/v1/batches", content_length="-1"),
        head("POST", "/v1/batches", content_length="1e3"),
        head("POST", "/v1/batches", content_length="5, 6"),
        head("POST", "/v1/batches", transfer_encoding="gzip"),
        head("GET", "/v1/files").replace(b"Host: localhost", b"Host: a\r\nHost: b"),
        head("GET", "/v1/files").replace(b"Host: localhost\r\n", b""),
        b"\x00" * 10_000,
    ):
        reply = send(server, request)
        assert reply.status in (400, 431, 501, 505), request[:300]
        assert reply.error
        assert "x-evil" not in reply.headers


def test_a_body_of_two_lengths_is_one_request(server: ServerProcess) -> None:
    """Whoever stands before us may see another end of it; what follows must not become a request of somebody's."""
    smuggled = head("DELETE", "/v1/files/file-x")
    request = head("POST", "/v1/batches", content_length=str(5 + len(smuggled)), transfer_encoding="chunked")
    with closing(connect(server)) as connection:
        connection.sendall(request + b"0\r\n\r\n" + smuggled)
        assert read_reply(connection).error["status"] == 400
        assert connection.recv(65536) == b"", "the server took the rest for another request"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "HEAD", "BREW", "x" * 1_000])
def test_methods_that_no_route_has(server: ServerProcess, method: str) -> None:
    """405 with what is allowed. A HEAD has no body to say it in."""
    request = head(method, "/v1/files")
    if method == "HEAD":
        with closing(connect(server)) as connection:
            connection.sendall(request)
            assert connection.recv(65536).startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 405 "))
        return
    reply = send(server, request)
    assert reply.status in (400, 405), reply
    assert reply.error
    if reply.status == 405:
        assert {"GET", "POST"} <= set(reply.headers["allow"].split(", "))


def test_wrong_keys_of_every_kind(server: ServerProcess) -> None:
    """Never told back, but for the ends of a long one."""
    for key in ("\xff\xfe\xfd" * 10, KEY + "x", KEY[:-1], KEY.upper(), "k" * 600, f"{KEY} {KEY}", f"{KEY}, {KEY}"):
        reply = ask(server, "GET", "/v1/files", key=key)
        assert reply.error["status"] == 401, key
        assert key.encode("latin-1") not in reply.body
        assert KEY.encode() not in reply.body
    for value in ("", "Bearer", "Basic c2s6", f"Token {KEY}", f"bearer\t{KEY}"):
        reply = send(server, head("GET", "/v1/files", key=None, authorization=value))
        assert reply.error["status"] == 401, value
        assert KEY.encode() not in reply.body


def test_a_filename_cannot_become_a_header_or_a_path(server: ServerProcess, client: openai.OpenAI) -> None:
    """It is shown as a name and nothing else."""
    names = [
        "../../etc/passwd",
        "a\r\nX-Evil: 1",
        'a";x="y',
        "C:\\Windows\\evil.exe",
        "\u202egpj.exe",
        "",
        "\x00",
        "\u2603" * 400,
    ]
    for name in names:
        file = client.files.create(file=(name, jsonl(chats(1, "name"))), purpose="batch")
        assert not set(file.filename) & set("/\\\r\n\x00\u202e")
        assert 0 < len(file.filename.encode()) <= 255
        shown = client.files.with_raw_response.content(file.id)
        assert "x-evil" not in shown.headers
        assert shown.headers["content-disposition"].startswith("attachment; filename=")
        client.files.delete(file.id)


def test_creates_at_the_same_moment_with_one_key_make_one_batch(
    server: ServerProcess, client: openai.OpenAI, key: str
) -> None:
    """Whoever repeats gets it too; another body is refused for good; another tenant's key is another key."""
    file = client.files.create(file=jsonl(chats(2, "idempotent")), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    before, gate = rows(server)["batches"], threading.Barrier(16)

    def create(changes: dict[str, object], with_key: str = key) -> Raw:
        content = json.dumps({**body, **changes}).encode()
        return ask(server, "POST", "/v1/batches", content, key=with_key, idempotency_key="one \xe9 key")

    def create_together(_: int) -> Raw:
        gate.wait()
        return create({})

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(create_together, range(16)))
    assert {reply.status for reply in replies} == {200}
    assert len({json.loads(reply.body)["id"] for reply in replies}) == 1
    assert rows(server)["batches"] == before + 1
    other = create({"metadata": {"a": "b"}})
    assert (other.status, other.error["code"]) == (409, "idempotency_key_in_use")
    assert other.headers["x-should-retry"] == "false"
    foreign = create({}, server.key_of("another-tenant"))
    assert foreign.status == 200
    assert json.loads(foreign.body)["id"] != json.loads(replies[0].body)["id"]
    assert ask(server, "POST", "/v1/batches", json.dumps(body).encode(), idempotency_key="k" * 256).status == 400
