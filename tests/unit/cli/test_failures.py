"""The digest of an error file."""

from __future__ import annotations

import json

import pytest

from batchrouter.cli.failures import KINDS_MAX, OTHER, Failure, FailureDigest


def digest_of(*lines: object, cut: int = 7) -> list[Failure]:
    digest = FailureDigest(1 << 20)
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    for start in range(0, len(data), cut):
        digest.feed(data[start : start + cut])
    return digest.failures


def refused(custom_id: str, status: int, body: object) -> dict[str, object]:
    return {
        "id": "x",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": "r", "body": body},
        "error": None,
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": "too_long", "type": "invalid_request_error", "message": "m"}}, "400 too_long"),
        ({"error": {"code": None, "type": "invalid_request_error"}}, "400 invalid_request_error"),
        ({"error": {"code": 1301, "message": "m"}}, "400 1301"),
        ({"error": {"message": "m"}}, "400"),
        ({"error": "a string"}, "400"),
        ({"detail": "no error at all"}, "400"),
        ([{"error": {"code": "x"}}], "400"),
        ("text", "400"),
        (None, "400"),
    ],
)
def test_a_reply_is_told_by_status_and_code_whatever_its_shape(body: object, kind: str) -> None:
    assert digest_of(refused("a", 400, body)) == [Failure(kind, 1, "a")]


def test_kinds_are_counted_with_the_first_line_of_each_the_most_frequent_first() -> None:
    expired = {"id": "x", "custom_id": "c", "response": None, "error": {"code": "batch_expired", "message": "m"}}
    told = digest_of(refused("a", 400, {}), expired, expired | {"custom_id": "d"})
    assert told == [Failure("batch_expired", 2, "c"), Failure("400", 1, "a")]


def test_an_upstream_that_makes_up_codes_does_not_fill_the_memory() -> None:
    lines = [refused(str(number), 400, {"error": {"code": f"c{number}"}}) for number in range(KINDS_MAX + 50)]
    told = digest_of(*lines, cut=4096)
    assert len(told) == KINDS_MAX + 1
    assert told[0] == Failure(OTHER, 50, str(KINDS_MAX))
    assert len(digest_of(refused("a", 400, {"error": {"code": "x" * 5000}}), cut=4096)[0].kind) < 100
