"""Whether an input is still the one that a run was begun with: the same ids with the same bodies, line for line.

Told from the two line indexes, by hashes; blank lines, line ends and the order of members outside the body may differ.
"""

from __future__ import annotations

from itertools import zip_longest

from xxhash import xxh3_128

from batchrouter.cli.line_file import LocalIndex
from batchrouter.cli.source import Source
from batchrouter.cli.words import counted
from batchrouter.domain.line_index import IndexNames, IndexRecord


def difference(before: LocalIndex, now: LocalIndex, source: Source) -> str | None:
    """What differs first, in words; None when nothing does. `source` is the input as it is now."""
    for old, new in zip_longest(before.records(), now.records()):
        if new is None:
            return f"it has {counted(now.totals.lines, source.noun)}, where there were {before.totals.lines:,}"
        what = _what_differs(old, before.names, new, now.names)
        if what is not None:
            custom_id = source.custom_id_at(new)
            named = f"{source.noun} {new.line}" + (f" (custom_id {custom_id})" if custom_id else "")
            return f"{named} {what}"
    return None


def fingerprint(index: LocalIndex) -> str:
    """The same for two inputs between which there is no `difference`."""
    digest = xxh3_128()
    for record in index.records():
        digest.update(record.custom_id.to_bytes(8, "little") + record.body)
        digest.update("\0".join(_names_of(record, index.names)).encode())
    return digest.hexdigest()


def _what_differs(
    old: IndexRecord | None, old_names: IndexNames, new: IndexRecord, new_names: IndexNames
) -> str | None:
    if old is None:
        return "was not there"
    if old.custom_id != new.custom_id:
        return "has another custom_id"
    if old.body != new.body:
        return "has another body"
    if _names_of(old, old_names) != _names_of(new, new_names):
        return "has another url or provider"
    return None


def _names_of(record: IndexRecord, names: IndexNames) -> tuple[str, str]:
    return names.urls[record.url], names.providers[record.provider]
