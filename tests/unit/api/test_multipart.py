"""The multipart reader: the same parts wherever the body is cut, and a 400 for everything that is no whole body."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.api.multipart import (
    MAX_PARTS,
    MultipartReader,
    PartBegin,
    PartData,
    boundary_of,
    disposition_parameters,
)
from batchrouter.errors import ApiError

BOUNDARY = b"XyZ-boundary.42"
Parts = list[tuple[str | None, str | None, bytes]]


def read(chunks: list[bytes], boundary: bytes = BOUNDARY) -> Parts:
    """Name, filename and bytes of each part."""
    reader = MultipartReader(boundary)
    parts: Parts = []
    for chunk in chunks:
        for event in reader.feed(chunk):
            if isinstance(event, PartBegin):
                parts.append((event.name, event.filename, b""))
            elif isinstance(event, PartData):
                name, filename, data = parts[-1]
                parts[-1] = (name, filename, data + event.data)
    reader.close()
    return parts


def body(parts: Parts) -> bytes:
    lines = []
    for name, filename, data in parts:
        head = b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data"
        if name is not None:
            head += b'; name="' + name.encode() + b'"'
        if filename is not None:
            head += b'; filename="' + filename.encode() + b'"'
        lines.append(head + b"\r\n\r\n" + data + b"\r\n")
    return b"".join(lines) + b"--" + BOUNDARY + b"--\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


# Bytes that look like the beginning of a boundary are what a scanner gets wrong.
tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"\r\n--" + BOUNDARY[:5], BOUNDARY, b"a", b"\x00\xff"])
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)
names = st.none() | st.sampled_from(["file", "purpose", "x y", "ü"])


@given(st.lists(st.tuples(names, names, tricky), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_of_a_body_gives_the_same_parts(parts: Parts, places: list[int]) -> None:
    parts = [part for part in parts if b"\r\n--" + BOUNDARY not in b"\r\n" + part[2] + b"\r\n"]
    if parts:
        whole = body(parts)
        assert read(cut(whole, places)) == parts
        assert read([bytes([byte]) for byte in whole]) == parts


@given(st.binary(max_size=300), st.lists(st.integers(0, 10_000), max_size=5))
def test_garbage_is_refused_and_never_a_fault(garbage: bytes, places: list[int]) -> None:
    with pytest.raises(ApiError) as caught:
        read(cut(garbage, places))
    assert caught.value.status == 400


@given(st.data())
def test_a_damaged_body_is_read_or_refused_and_never_a_fault(data: st.DataObject) -> None:
    whole = bytearray(body([("file", "a.jsonl", b"{}\r\n{}\n"), ("purpose", None, b"batch")]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ApiError):
        read([bytes(whole)])


def test_a_body_that_is_cut_off_anywhere_is_refused() -> None:
    whole = body([("file", "a.jsonl", b"{}\n"), ("purpose", None, b"batch")])
    for length in range(len(whole) - len(b"\r\n")):
        with pytest.raises(ApiError):
            read([whole[:length]])


def test_what_follows_the_last_boundary_means_nothing() -> None:
    parts: Parts = [("file", None, b"x")]
    assert read([body(parts), b"epilogue --" + BOUNDARY, b"\r\n"]) == parts


def test_another_boundary_than_the_one_announced_is_refused() -> None:
    with pytest.raises(ApiError):
        read([body([("file", None, b"x")])], b"another")


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(ApiError, match="more than"):
        read([body([("x", None, b"")] * (MAX_PARTS + 1))])


def test_a_head_of_a_part_without_an_end_is_refused() -> None:
    with pytest.raises(ApiError):
        read([b"--" + BOUNDARY + b"\r\nX: " + b"a" * 100_000])


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data;charset=utf-8; Boundary="a b:c"', b"a b:c"),
        ("multipart/form-data;boundary=----WebKitFormBoundaryx", b"----WebKitFormBoundaryx"),
    ],
)
def test_the_boundary_is_found_as_clients_write_it(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type", [None, "", "application/json", "multipart/form-data", "multipart/mixed; boundary=a"]
)
def test_a_body_of_another_kind_or_without_a_boundary_is_refused(content_type: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        boundary_of(content_type)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        (b'form-data; name="file"; filename="a.jsonl"', "a.jsonl"),
        (b"form-data; name=file; filename=a.jsonl", "a.jsonl"),
        (b'form-data; name="file"; filename="a;b=c.jsonl"', "a;b=c.jsonl"),
        (b'form-data; name="file"; filename="say \\"hi\\".jsonl"', 'say "hi".jsonl'),
        (b'form-data; name="file"; filename="say %22hi%22.jsonl"', 'say "hi".jsonl'),
        (b'form-data; name="file"; filename="C:\\data\\new.jsonl"', "C:\\data\\new.jsonl"),
        ('form-data; name="file"; filename="frühling.jsonl"'.encode(), "frühling.jsonl"),
        ('form-data; name="file"; filename="frühling.jsonl"'.encode("latin-1"), "frühling.jsonl"),
        (
            b'form-data; name="file"; filename="x"; filename*=UTF-8\'\'fr%C3%BChling%20%E2%82%AC.jsonl',
            "frühling €.jsonl",
        ),
        (b"form-data; name=\"file\"; filename*=utf-8'de'a.jsonl", "a.jsonl"),
        (b'form-data; name="file"; filename="plain"; filename*=utf-8\'\'%zz', "plain"),
        (b'form-data; name="file"; filename=""', ""),
        (b'form-data; name="file"', None),
        (b'form-data; name="file"; filename="unended', "unended"),
    ],
)
def test_filenames_are_read_in_every_form_that_clients_write(header: bytes, filename: str | None) -> None:
    found = disposition_parameters(header)
    assert (found.get("name"), found.get("filename")) == ("file", filename)


@given(st.binary(max_size=80))
def test_no_header_is_a_fault(header: bytes) -> None:
    disposition_parameters(b"form-data; " + header)
