"""Parts of a message's content: OpenAI's parts → Anthropic's blocks.

Media types: the literals of anthropic 2.11.0's `types/base64_image_source_param.py`, `base64_pdf_source_param.py` and
`plain_text_source_param.py`. Nothing is ever fetched here: a url goes on as a url.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from batchrouter.providers.anthropic.draft import Dict, Draft, as_dict, as_list, as_string, refuse

IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_SAME_IMAGE = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
_TEXTS = frozenset(("application/json", "application/xml", "application/x-yaml", "application/yaml"))
_PDF = "application/pdf"
_PDF_BASE64 = "JVBERi0"  # "%PDF-"


def blocks_of(content: Any, param: str, draft: Draft) -> list[Dict]:
    """The blocks of a content. Texts of nothing but whitespace are left out, because Anthropic refuses them."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    if content is None:
        return []
    blocks = []
    for number, part in enumerate(as_list(content, param)):
        where = f"{param}[{number}]"
        part = as_dict(part, where)
        kind = part.get("type")
        make = _PARTS.get(kind) if isinstance(kind, str) else None
        if make is None:
            refuse(f"'{where}' is of a type that this model's provider does not take.", where, "unsupported_value")
        block = make(part, where, draft)
        if block is not None:
            blocks.append(with_cache(block, part))
    return blocks


def with_cache(block: Dict, source: Dict) -> Dict:
    """`block` with the mark for the prompt cache that stood at `source`."""
    if isinstance(source.get("cache_control"), dict):
        block["cache_control"] = source["cache_control"]
    return block


def _text(part: Dict, where: str, draft: Draft) -> Dict | None:
    text = as_string(part.get("text"), f"{where}.text")
    return {"type": "text", "text": text} if text.strip() else None


def _refusal(part: Dict, where: str, draft: Draft) -> Dict | None:
    return _text({"text": part.get("refusal")}, where, draft)


def _image(part: Dict, where: str, draft: Draft) -> Dict:
    where += ".image_url"
    image = part.get("image_url")
    if isinstance(image, dict):
        if image.get("detail") not in (None, "auto"):
            draft.leave_out("image_url.detail")
        image = image.get("url")
    url = as_string(image, f"{where}.url")
    if url.startswith(("http://", "https://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, data = _data_url(url, where)
    return _image_block(media, data, where)


def _image_block(media: str, data: str, where: str) -> Dict:
    media = _SAME_IMAGE.get(media, media)
    if media not in IMAGES:
        refuse(f"'{where}': images may be JPEG, PNG, GIF or WebP.", where, "invalid_image_format")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": _base64(data, where)}}


def _file(part: Dict, where: str, draft: Draft) -> Dict:
    where += ".file"
    file = as_dict(part.get("file"), where)
    name = file.get("filename")
    if file.get("file_id") is not None:
        source = {"type": "file", "file_id": _file_id(file["file_id"], f"{where}.file_id")}
    elif file.get("file_url") is not None:
        source = {"type": "url", "url": as_string(file["file_url"], f"{where}.file_url")}
    else:
        data = as_string(file.get("file_data"), f"{where}.file_data")
        if data.startswith("data:"):
            media, data = _data_url(data, where)
        else:
            media = _PDF if data.startswith(_PDF_BASE64) else ""
        if media.startswith("image/"):
            return _image_block(media, data, where)
        source = _document(media, data, where)
    block: Dict = {"type": "document", "source": source}
    if isinstance(name, str) and name:
        block["title"] = name
    return block


def _document(media: str, data: str, where: str) -> Dict:
    if media == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": _base64(data, where)}
    if media.startswith("text/") or media in _TEXTS:
        try:
            text = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, ValueError):
            refuse(f"'{where}' is not text in UTF-8, as base64.", where)
        return {"type": "text", "media_type": "text/plain", "data": text}
    refuse(f"'{where}': files may be PDF, text or images.", where, "unsupported_value")


def _base64(data: str, where: str) -> str:
    """`data` without the line breaks that tools put in."""
    data = "".join(data.split())
    try:
        sound = len(data) % 4 == 0 and bool(binascii.a2b_base64(data, strict_mode=True))
    except ValueError:
        sound = False
    if not sound:
        refuse(f"'{where}' holds no data in base64.", where)
    return data


def _file_id(value: Any, where: str) -> str:
    file_id = as_string(value, where)
    if file_id.startswith("file-"):
        refuse(f"'{where}' names a file of OpenAI; Anthropic's own begin with 'file_'.", where)
    return file_id


def _audio(part: Dict, where: str, draft: Draft) -> Dict:
    refuse(f"'{where}': this model's provider takes no audio.", where, "unsupported_value")


def _data_url(url: str, where: str) -> tuple[str, str]:
    """Media type and base64 of `data:image/png;base64,…` (RFC 2397)."""
    head, comma, data = url.partition(",")
    words = head.removeprefix("data:").split(";")
    if not head.startswith("data:") or not comma or words[-1].strip().lower() != "base64":
        refuse(f"'{where}' must be an http(s) url or a data url in base64.", where)
    return words[0].strip().lower(), data


_PARTS: dict[str, Callable[[Dict, str, Draft], Dict | None]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "file": _file,
    "input_audio": _audio,
}
