"""An S3 server that costs next to nothing and counts its requests: python -m benchmarks.bucket_server PORT FOLDER

For measurements alone: it believes every signature, keeps its list of objects in memory, and syncs nothing. What it
knows is what our object store adapter uses: objects whole, in parts and by range, listings, deletes.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sys
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import httptools
import uvloop

XML = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
PAGE_KEYS = 1000


class Stored(NamedTuple):
    file: Path
    size: int
    tag: str
    date: str


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None  # of a HEAD, whose reply has no body


class Objects:
    """What the buckets hold, by `bucket/key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, Stored] = {}
        self.parts: dict[str, dict[int, Path]] = {}
        self.counts: Counter[str] = Counter()
        self.numbers = itertools.count()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        url = urlsplit(target)
        key = unquote(url.path[1:])
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if key == "counts":
            return Reply(200, json.dumps(self.counts | {"bytes": sum(o.size for o in self.objects.values())}).encode())
        if "/" not in key.rstrip("/"):
            return self.of_bucket(method, key.rstrip("/"), query, body)
        if method in ("GET", "HEAD"):
            return self.read(method, key, headers)
        if method == "PUT" and "uploadId" in query:
            self.counts["part"] += 1
            self.parts[query["uploadId"]][int(query["partNumber"])] = self.write(body)
            return Reply(200, headers=(("ETag", f'"{hashlib.md5(body).hexdigest()}"'),))
        if method == "PUT":
            self.counts[f"put {key.split('/')[2] if key.count('/') > 1 else ''}".strip()] += 1
            return Reply(200, headers=(("ETag", self.store(key, self.write(body), body).tag),))
        if method == "POST" and "uploads" in query:
            self.counts["begin parts"] += 1
            upload = f"u{next(self.numbers)}"
            self.parts[upload] = {}
            return xml(
                f"<InitiateMultipartUploadResult {XML}><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        if method == "POST" and "uploadId" in query:
            return self.complete(key, query["uploadId"])
        if method == "DELETE":
            self.counts["delete"] += 1
            self.parts.pop(query.get("uploadId", ""), None)
            self.delete(key)
            return Reply(204)
        return Reply(501)

    def of_bucket(self, method: str, bucket: str, query: dict[str, str], body: bytes) -> Reply:
        if method == "GET":
            self.counts["list"] += 1
            return self.list(bucket, query)
        if method == "POST" and "delete" in query:
            self.counts["delete"] += 1
            keys = [each.text for each in ElementTree.fromstring(body).iter() if each.tag.endswith("Key") and each.text]
            for key in keys:
                self.delete(f"{bucket}/{key}")
            gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
            return xml(f"<DeleteResult {XML}>{gone}</DeleteResult>")
        return Reply(200)

    def read(self, method: str, key: str, headers: dict[str, str]) -> Reply:
        self.counts[method.lower()] += 1
        found = self.objects.get(key)
        if found is None:
            return xml("<Error><Code>NoSuchKey</Code></Error>", 404)
        told: tuple[tuple[str, str], ...] = (
            ("ETag", found.tag),
            ("Last-Modified", found.date),
            ("Accept-Ranges", "bytes"),
        )
        if method == "HEAD":
            return Reply(200, headers=told, length=found.size)
        if headers.get("if-match", found.tag) != found.tag:
            return Reply(412)
        first, last = 0, found.size - 1
        span = headers.get("range", "").removeprefix("bytes=")
        if span:
            begin, _, end = span.partition("-")
            first, last = int(begin), min(last, int(end)) if end else last
            if first >= found.size:
                return Reply(416)
            told += (("Content-Range", f"bytes {first}-{last}/{found.size}"),)
        with open(found.file, "rb") as file:
            file.seek(first)
            return Reply(206 if span else 200, file.read(last - first + 1), told)

    def complete(self, key: str, upload: str) -> Reply:
        self.counts["put in parts"] += 1
        whole = self.folder / str(next(self.numbers))
        digest = hashlib.md5()
        with open(whole, "wb") as out:
            for _, part in sorted(self.parts.pop(upload).items()):
                data = part.read_bytes()
                digest.update(data)
                out.write(data)
                part.unlink()
        tag = self.store(key, whole, digest.digest()).tag
        return xml(f"<CompleteMultipartUploadResult {XML}><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>")

    def list(self, bucket: str, query: dict[str, str]) -> Reply:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        rows: list[str] = []
        tops: list[str] = []
        more = last = ""
        for name in sorted(self.objects):
            key = name.removeprefix(f"{bucket}/")
            if key == name or not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                top = prefix + rest.partition(delimiter)[0] + delimiter
                if top not in tops:
                    tops.append(top)
                continue
            if len(rows) >= PAGE_KEYS:
                more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
                break
            found, last = self.objects[name], escape(key)
            rows.append(
                f"<Contents><Key>{last}</Key><Size>{found.size}</Size><ETag>{escape(found.tag)}</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        shown = "".join(f"<CommonPrefixes><Prefix>{escape(top)}</Prefix></CommonPrefixes>" for top in tops)
        head = f"<Name>{bucket}</Name><KeyCount>{len(rows)}</KeyCount>"
        return xml(
            f"<ListBucketResult {XML}>{head}{more or '<IsTruncated>false</IsTruncated>'}{''.join(rows)}{shown}"
            "</ListBucketResult>"
        )

    def write(self, body: bytes) -> Path:
        path = self.folder / str(next(self.numbers))
        path.write_bytes(body)
        return path

    def store(self, key: str, file: Path, digested: bytes) -> Stored:
        self.delete(key)
        tag = f'"{hashlib.md5(digested).hexdigest()}"'
        self.objects[key] = stored = Stored(file, file.stat().st_size, tag, formatdate(usegmt=True))
        return stored

    def delete(self, key: str) -> None:
        gone = self.objects.pop(key, None)
        if gone is not None:
            gone.file.unlink()


def xml(text: str, status: int = 200) -> Reply:
    return Reply(
        status, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), (("Content-Type", "application/xml"),)
    )


class Connection(asyncio.Protocol):
    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.target, self.headers, self.body = b"", dict[str, str](), list[bytes]()

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()
        if name.lower() == b"expect":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        reply = self.objects.answer(method, self.target.decode(), self.headers, b"".join(self.body))
        length = len(reply.body) if reply.length is None else reply.length
        head = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        self.transport.write(
            f"HTTP/1.1 {reply.status} OK\r\n{head}Content-Length: {length}\r\n\r\n".encode() + reply.body
        )


async def serve(port: int, folder: Path) -> None:
    objects = Objects(folder)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(objects), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
