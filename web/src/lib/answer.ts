/** What a line asked and was answered, as text that people can read, whatever the endpoint. */

type Json = unknown;

function member(value: Json, ...path: (string | number)[]): Json {
  return path.reduce<Json>(
    (at, name) => (at !== null && typeof at === "object" ? (at as Record<string | number, Json>)[name] : undefined),
    value,
  );
}

/** Text of a message's content: a string, or parts of which some are text. */
function textOf(content: Json): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  const parts = content.map((part: Json) => {
    const text = member(part, "text");
    if (typeof text === "string") return text;
    const type = member(part, "type");
    return typeof type === "string" ? `[${type}]` : "";
  });
  return parts.filter(Boolean).join("\n");
}

export interface Turn {
  role: string;
  text: string;
}

/** The turns of a line of the input file. */
export function turnsOf(request: Json): Turn[] {
  const body = member(request, "body");
  const turns: Turn[] = [];
  for (const name of ["system", "instructions"]) {
    const text = textOf(member(body, name));
    if (text) turns.push({ role: "system", text });
  }
  const messages = member(body, "messages") ?? member(body, "input") ?? member(body, "prompt");
  if (!Array.isArray(messages)) {
    const text = textOf(messages);
    return text === null ? turns : [...turns, { role: "user", text }];
  }
  for (const message of messages) {
    const text = typeof message === "string" ? message : textOf(member(message, "content"));
    const role = member(message, "role");
    if (text !== null) turns.push({ role: typeof role === "string" ? role : "user", text });
  }
  return turns;
}

/** The answer of a line of an output or error file; null where it has none that is text. */
export function answerOf(result: Json): string | null {
  const body = member(result, "response", "body");
  const message = member(body, "choices", 0, "message");
  const text = textOf(member(message, "content")) ?? textOf(member(body, "choices", 0, "text"));
  if (text) return text;
  const refusal = member(message, "refusal");
  if (typeof refusal === "string" && refusal) return refusal;
  const calls = member(message, "tool_calls");
  if (Array.isArray(calls) && calls.length > 0) {
    return calls.map((call) => `${member(call, "function", "name")}(${member(call, "function", "arguments")})`).join("\n");
  }
  const output = member(body, "output");
  if (Array.isArray(output)) {
    const said = output.map((item: Json) => textOf(member(item, "content"))).filter(Boolean);
    if (said.length > 0) return said.join("\n");
  }
  return textOf(member(body, "content")) || text || embeddings(body);
}

function embeddings(body: Json): string | null {
  const data = member(body, "data");
  if (!Array.isArray(data)) return null;
  const vector = member(data, 0, "embedding");
  if (Array.isArray(vector)) return `${data.length} × ${vector.length} numbers`;
  return null;
}

/** More than that would hold a browser up for minutes, and nobody reads it here. */
export const READ_CHARS = 100_000;

/** What is shown of a text that may have many millions of characters; no half of a pair is left at its end. */
export function beginning(text: string, most = READ_CHARS): string {
  if (text.length <= most) return text;
  const end = /[\uD800-\uDBFF]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return `${text.slice(0, end)}…`;
}

/** Why a line has no answer, in the words of whoever refused it. */
export function failureOf(result: Json): string | null {
  for (const path of [
    ["error", "message"],
    ["response", "body", "error", "message"],
  ]) {
    const message = member(result, ...path);
    if (typeof message === "string") return message;
  }
  return null;
}
