// Checks of the unmodified openai package for Node against the provider at the address given.
//
// Each check is a function; it says `ok` and its name, and the script `all` at its end.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, apiKey, home] = process.argv.slice(2);
const { OpenAI, ...errors } = createRequire(`${home}/package.json`)("openai");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, timeout: 30_000 });
const TEXT = "You said: hello \u{1f994}";

const ask = (content, more = {}, options = {}) =>
  client.chat.completions.create(
    { model: "m", messages: [{ role: "user", content }], ...more },
    options,
  );

async function collect(stream) {
  const all = [];
  for await (const piece of stream) all.push(piece);
  return all;
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  assert.fail("nobody refused");
}

const checks = {
  async chat() {
    const answer = await ask("hello", { temperature: 0.5, x_vendor: { a: [1.5] } });
    assert.equal(answer.choices[0].message.content, TEXT);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, 18);
  },

  async chat_streamed() {
    const chunks = await collect(
      await ask("hello", { stream: true, stream_options: { include_usage: true } }),
    );
    const said = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "");
    assert.equal(said.join(""), TEXT);
    assert.equal(chunks.at(-1).usage.total_tokens, 18);
  },

  async usage_chunk_only_when_asked() {
    const chunks = await collect(await ask("hello", { stream: true }));
    assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1));
  },

  async tool_calls_by_the_stream_helper() {
    const messages = [{ role: "user", content: "use tools" }];
    const stream = client.chat.completions.stream({ model: "m", messages });
    const message = await stream.finalMessage();
    assert.equal(message.tool_calls.length, 2);
    assert.equal(message.tool_calls[1].function.arguments, '{"city": "Oslo"}');
    const whole = await ask("use tools");
    assert.equal(whole.choices[0].message.content, null);
    assert.equal(whole.choices[0].message.tool_calls[0].id, "call_1");
  },

  async completions() {
    const answer = await client.completions.create({ model: "m", prompt: "on" });
    assert.equal(answer.choices[0].text, "on and so on");
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: "m", input: ["a", "bcd"] });
    assert.deepEqual([...answer.data[1].embedding], [3, -0.5, 0.25]);
  },

  async responses() {
    const answer = await client.responses.create({ model: "m", input: "hello" });
    assert.equal(answer.output_text, "You said: hello");
    assert.equal(answer.usage.output_tokens, 7);
  },

  async responses_by_the_stream_helper() {
    const stream = client.responses.stream({ model: "m", input: "use tools" });
    const events = await collect(stream);
    const numbers = events.map((event) => event.sequence_number);
    assert.deepEqual(numbers, [...numbers.keys()]);
    const answer = await stream.finalResponse();
    assert.equal(answer.output[1].arguments, '{"city": "Rome"}');
  },

  async models() {
    const models = await collect(client.models.list());
    assert.equal(models[0].id, "model-1");
  },

  async too_many_requests() {
    const error = await refused(() => ask("too many", {}, { maxRetries: 0 }));
    assert.ok(error instanceof errors.RateLimitError, String(error));
    assert.equal(error.code, "rate_limit_exceeded");
    assert.equal(error.headers.get("retry-after"), "2");
  },

  async it_comes_back_by_itself() {
    const answer = await ask("too many once");
    assert.equal(answer.choices[0].finish_reason, "stop");
  },

  async bad_requests() {
    const error = await refused(() => ask("wrong"));
    assert.ok(error instanceof errors.BadRequestError, String(error));
    assert.equal(error.code, "context_length_exceeded");
  },

  async not_wanted_again() {
    const error = await refused(() => ask("broken"));
    assert.equal(error.status, 500);
  },

  async error_inside_of_a_stream() {
    const error = await refused(async () => collect(await ask("break the stream", { stream: true })));
    assert.match(String(error), /it broke/);
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log("ok", name);
}
console.log("all");
