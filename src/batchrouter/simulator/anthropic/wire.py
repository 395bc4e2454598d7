"""A request to Messages as structs. Whatever they do not name is refused, as the real API does.

Members and literals: the types of the official client, 2.11. `temperature`, `top_p` and `top_k` are no longer among
those types; the older models still take them. Content of server tools and beta fields are not known here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Struct

from batchrouter.simulator.anthropic.errors import bad

Id = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]+$")]
ToolName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
T = TypeVar("T")


class CacheControl(Struct, tag_field="type", tag="ephemeral", forbid_unknown_fields=True):
    ttl: Literal["5m", "1h"] = "5m"


class Text(Struct, tag_field="type", tag="text", forbid_unknown_fields=True, omit_defaults=True):
    text: str
    cache_control: CacheControl | None = None
    citations: list[Any] | None = None


class ImageBytes(Struct, tag_field="type", tag="base64", forbid_unknown_fields=True):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class PdfBytes(Struct, tag_field="type", tag="base64", forbid_unknown_fields=True):
    media_type: Literal["application/pdf"]
    data: str


class PlainText(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    media_type: Literal["text/plain"]
    data: str


class Url(Struct, tag_field="type", tag="url", forbid_unknown_fields=True):
    url: str


class File(Struct, tag_field="type", tag="file", forbid_unknown_fields=True):
    file_id: str


class Image(Struct, tag_field="type", tag="image", forbid_unknown_fields=True, omit_defaults=True):
    source: ImageBytes | Url | File
    cache_control: CacheControl | None = None
    transformations: Any = None


class Inner(Struct, tag_field="type", tag="content", forbid_unknown_fields=True):
    content: str | list[Text | Image]


class Document(Struct, tag_field="type", tag="document", forbid_unknown_fields=True, omit_defaults=True):
    source: PdfBytes | PlainText | Inner | Url | File
    cache_control: CacheControl | None = None
    citations: Any = None
    context: str | None = None
    title: str | None = None


class SearchResult(Struct, tag_field="type", tag="search_result", forbid_unknown_fields=True, omit_defaults=True):
    content: list[Text]
    source: str
    title: str
    cache_control: CacheControl | None = None
    citations: Any = None


class Thinking(Struct, tag_field="type", tag="thinking", forbid_unknown_fields=True):
    thinking: str
    signature: str


class RedactedThinking(Struct, tag_field="type", tag="redacted_thinking", forbid_unknown_fields=True):
    data: str


class ToolUse(Struct, tag_field="type", tag="tool_use", forbid_unknown_fields=True, omit_defaults=True):
    id: Id
    name: ToolName
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: Any = None
    toolset_name: str | None = None


class ToolResult(Struct, tag_field="type", tag="tool_result", forbid_unknown_fields=True, omit_defaults=True):
    tool_use_id: Id
    content: str | list[Text | Image | Document | SearchResult] = ""
    is_error: bool = False
    cache_control: CacheControl | None = None
    toolset_name: str | None = None


Block = Text | Image | Document | SearchResult | Thinking | RedactedThinking | ToolUse | ToolResult


class Turn(Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[Block]


class Metadata(Struct, forbid_unknown_fields=True):
    user_id: Annotated[str, Meta(max_length=256)] | None = None


class Tool(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A custom tool. Of a server tool (its `type` ends in a date) only type and name are looked at."""

    name: ToolName
    input_schema: dict[str, Any]
    description: str = ""
    type: Literal["custom"] | None = None
    strict: bool = False
    cache_control: CacheControl | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool = False
    eager_input_streaming: bool | None = None
    input_examples: list[dict[str, Any]] | None = None


class ChooseAuto(Struct, tag_field="type", tag="auto", forbid_unknown_fields=True):
    disable_parallel_tool_use: bool = False


class ChooseAny(Struct, tag_field="type", tag="any", forbid_unknown_fields=True):
    disable_parallel_tool_use: bool = False


class ChooseTool(Struct, tag_field="type", tag="tool", forbid_unknown_fields=True):
    name: str
    disable_parallel_tool_use: bool = False


class ChooseNone(Struct, tag_field="type", tag="none", forbid_unknown_fields=True):
    pass


Display = Literal["summarized", "omitted"]


class ThinkEnabled(Struct, tag_field="type", tag="enabled", forbid_unknown_fields=True):
    budget_tokens: Annotated[int, Meta(ge=1024)]
    display: Display | None = None


class ThinkAdaptive(Struct, tag_field="type", tag="adaptive", forbid_unknown_fields=True):
    display: Display | None = None


class ThinkDisabled(Struct, tag_field="type", tag="disabled", forbid_unknown_fields=True):
    pass


class ThinkBetweenTools(Struct, tag_field="type", tag="between_tools", forbid_unknown_fields=True):
    pass


class JsonFormat(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    schema: dict[str, Any]


class OutputConfig(Struct, forbid_unknown_fields=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class MessagesRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body. `tools` are looked at one by one, by `tools_of`."""

    model: Annotated[str, Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)]
    messages: list[Turn]
    system: str | list[Text] = ""
    stream: bool = False
    stop_sequences: list[str] = []
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: Metadata | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: ChooseAuto | ChooseAny | ChooseTool | ChooseNone | None = None
    thinking: ThinkEnabled | ThinkAdaptive | ThinkDisabled | ThinkBetweenTools | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard", "fast"] | None = None
    inference_geo: str | None = None
    container: Any = None
    diagnostics: Any = None


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises ApiError 400 in the API's words, with the dotted place of what does not fit."""
    try:
        body.decode()  # msgspec does not look at the text of members that it skips
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad("The request body is not valid JSON.") from error


def tools_of(request: MessagesRequest) -> list[Tool | dict[str, Any]]:
    """Custom tools as structs, server tools as they came."""
    tools: list[Tool | dict[str, Any]] = []
    for index, raw in enumerate(request.tools):
        if raw.get("type") in (None, "custom"):
            try:
                tools.append(msgspec.convert(raw, Tool))
            except msgspec.ValidationError as error:
                _refuse(str(error), f"tools.{index}.custom")
        elif isinstance(raw["type"], str) and re.search(r"_\d{8}$", raw["type"]) and isinstance(raw.get("name"), str):
            tools.append(raw)
        else:
            raise bad(f"tools.{index}: Input tag '{raw['type']}' found using 'type' does not match any expected tag")
    return tools


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?P<how>contains unknown|missing required) field `(?P<name>[^`]*)`$")
_PATTERN = re.compile(r"^Expected `str` matching regex '(?P<pattern>.*)'$")
_BOUND = re.compile(r"^Expected `\w+` (?P<how>[<>])= (?P<bound>\S+)$")
_KIND = re.compile(r"^Expected `(?P<kind>[^`]*)`, got `(?P<got>[^`]*)`$")


def _refuse(told: str, prefix: str = "") -> NoReturn:
    found = _AT.match(told)
    assert found is not None
    what, place = found["what"], dotted(found["path"] or "$")
    field = _FIELD.match(what)
    if field is not None:
        place = f"{place}.{field['name']}" if place else field["name"]
        what = "Extra inputs are not permitted" if field["how"] == "contains unknown" else "Field required"
    elif pattern := _PATTERN.match(what):
        what = f"String should match pattern '{pattern['pattern']}'"
    elif bound := _BOUND.match(what):
        how = "greater" if bound["how"] == ">" else "less"
        what = f"Input should be {how} than or equal to {bound['bound']}"
    elif kind := _KIND.match(what):
        what = f"Input should be a valid {kind['kind']}, not {kind['got']}"
    place = ".".join([part for part in (prefix, place) if part])
    raise bad(f"{place}: {what}" if place else what)


def dotted(path: str) -> str:
    """`$.messages[0].content` as `messages.0.content`."""
    return re.sub(r"\[([^\]]*)\]", r".\1", path).removeprefix("$").removeprefix(".")
