"""Answers of /v1/chat/completions, streamed or whole, and of /v1/completions."""

from __future__ import annotations

import msgspec

from batchrouter.simulator.answers.common import (
    CREATED,
    REASONING_TOKENS,
    Answer,
    Message,
    choices,
    count_tokens,
    cut,
    decode,
    echo,
    last_user_text,
    prompt_usage,
    require,
    tokens,
)


class StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, gc=False):
    model: str = ""
    messages: list[Message] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    reasoning_effort: str | None = None


class CompletionRequest(msgspec.Struct, gc=False):
    model: str = ""
    prompt: str | list[str | int | list[int]] = ""
    max_tokens: int | None = None
    n: int | None = None


class Said(msgspec.Struct, gc=False):
    """What the model says to a chat, before it has a wire form."""

    key: str
    model: bytes
    text: str
    finish: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int

    def usage(self) -> bytes:
        return _USAGE % (
            self.prompt_tokens,
            self.completion_tokens,
            self.prompt_tokens + self.completion_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
        )


_json = msgspec.json.Encoder().encode
_chat = msgspec.json.Decoder(ChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)

_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)
_CHAT = (
    b'{"id":"chatcmpl-%b","object":"chat.completion","created":%d,"model":%b,"choices":[%b],"usage":%b,'
    b'"service_tier":"default","system_fingerprint":"fp_simulator"}'
)
_CHOICE = (
    b'{"index":%d,"message":{"role":"assistant","content":%b,"refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"%b"}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,"model":%b,'
    b'"system_fingerprint":"fp_simulator","choices":[%b]%b}\n\n'
)
_DELTA = b'{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}'
_COMPLETION = b'{"id":"cmpl-%b","object":"text_completion","created":%d,"model":%b,"choices":[%b],"usage":%b}'
_COMPLETION_CHOICE = b'{"text":%b,"index":%d,"logprobs":null,"finish_reason":"%b"}'


def answer_chat(key: str, body: bytes) -> Answer:
    request = decode(_chat, body)
    require(request.model, "model")
    require(request.messages, "messages")
    count = choices(request.n)
    said = _say(key, request, count)
    if request.stream:
        wants_usage = bool(request.stream_options and request.stream_options.include_usage)
        content = _events(said, count, wants_usage)
    else:
        text, finish = _json(said.text), said.finish.encode()
        listed = b",".join([_CHOICE % (index, text, finish) for index in range(count)])
        content = _CHAT % (key.encode(), CREATED, said.model, listed, said.usage())
    return Answer(200, content, request.model, said.prompt_tokens, said.completion_tokens, bool(request.stream))


def answer_completion(key: str, body: bytes) -> Answer:
    request = decode(_completion, body)
    require(request.model, "model")
    require(request.prompt, "prompt")
    texts, prompt_tokens = _prompts(request.prompt)
    listed: list[bytes] = []
    completion_tokens = 0
    for text in texts:
        said, was_cut = cut(echo(key, text), request.max_tokens)
        for _ in range(choices(request.n)):
            listed.append(_COMPLETION_CHOICE % (_json(said), len(listed), b"length" if was_cut else b"stop"))
            completion_tokens += tokens(said)
    usage = _USAGE % (prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, 0, 0)
    content = _COMPLETION % (key.encode(), CREATED, _json(request.model), b",".join(listed), usage)
    return Answer(200, content, request.model, prompt_tokens, completion_tokens)


def _say(key: str, request: ChatRequest, count: int) -> Said:
    prompt_tokens, cached_tokens = prompt_usage(request.messages)
    budget = request.max_completion_tokens or request.max_tokens
    reasoning = REASONING_TOKENS if request.reasoning_effort not in (None, "none") else 0
    if budget is not None:
        reasoning = min(reasoning, budget)
        budget -= reasoning
    text, was_cut = cut(echo(key, last_user_text(request.messages)), budget)
    return Said(
        key=key,
        model=_json(request.model),
        text=text,
        finish="length" if was_cut else "stop",
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=count * (tokens(text) + reasoning),
        reasoning_tokens=count * reasoning,
    )


def _events(said: Said, count: int, wants_usage: bool) -> bytes:
    """Server-sent events: a role, the words, the end, perhaps the usage, and the mark of the end."""
    no_usage = b',"usage":null' if wants_usage else b""
    words = said.text.split(" ")
    pieces = [word if index == 0 else " " + word for index, word in enumerate(words)]
    finish = b'"%b"' % said.finish.encode()
    events: list[bytes] = []

    def add(listed: bytes, usage: bytes) -> None:
        events.append(_CHUNK % (said.key.encode(), CREATED, said.model, listed, usage))

    for index in range(count):
        add(_DELTA % (index, b'{"role":"assistant","content":"","refusal":null}', b"null"), no_usage)
        for piece in pieces:
            add(_DELTA % (index, b'{"content":%b}' % _json(piece), b"null"), no_usage)
        add(_DELTA % (index, b"{}", finish), no_usage)
    if wants_usage:
        add(b"", b',"usage":%b' % said.usage())
    events.append(b"data: [DONE]\n\n")
    return b"".join(events)


def _prompts(prompt: str | list[str | int | list[int]]) -> tuple[list[str], int]:
    """The texts to answer and the tokens of them all; a prompt made of token numbers has no text."""
    if isinstance(prompt, str):
        return [prompt], tokens(prompt)
    if isinstance(prompt[0], int):
        return [""], len(prompt)
    texts = [item if isinstance(item, str) else "" for item in prompt]
    return texts, count_tokens(prompt)
