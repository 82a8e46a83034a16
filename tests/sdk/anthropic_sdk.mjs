// Checks of the unmodified @anthropic-ai/sdk package for Node against the provider at the address given.
//
// Each check is a function; it says `ok` and its name, and the script `all` at its end.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, apiKey, home] = process.argv.slice(2);
const { Anthropic, ...errors } = createRequire(`${home}/package.json`)("@anthropic-ai/sdk");
const client = new Anthropic({ baseURL: url, apiKey, timeout: 30_000 });
const TEXT = "You said: hello \u{1f994}";

const request = (content) => ({
  model: "m",
  max_tokens: 100,
  messages: [{ role: "user", content }],
});

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  assert.fail("nobody refused");
}

const checks = {
  async message() {
    const answer = await client.messages.create(request("hello"));
    assert.equal(answer.content[0].text, TEXT);
    assert.equal(answer.stop_reason, "end_turn");
    assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens], [11, 7]);
  },

  async streamed() {
    const kinds = [];
    for await (const event of await client.messages.create({ ...request("hello"), stream: true })) {
      kinds.push(event.type);
    }
    assert.deepEqual(kinds, [
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
  },

  async tools_by_the_stream_helper() {
    const answer = await client.messages.stream(request("use tools")).finalMessage();
    assert.deepEqual(answer.content[1].input, { city: "Rome" });
    assert.equal(answer.usage.output_tokens, 7);
    const whole = await client.messages.create(request("use tools"));
    assert.deepEqual(whole.content[1].input, { city: "Rome" });
  },

  async count_tokens() {
    const { model, messages } = request("hello");
    const count = await client.messages.countTokens({ model, messages });
    assert.equal(count.input_tokens, 14);
  },

  async refusals() {
    const once = { maxRetries: 0 };
    const slow = await refused(() => client.messages.create(request("too many"), once));
    assert.ok(slow instanceof errors.RateLimitError, String(slow));
    assert.equal(slow.headers.get("retry-after"), "2");
    const busy = await refused(() => client.messages.create(request("overloaded"), once));
    assert.equal(busy.status, 529);
    const wrong = await refused(() => client.messages.create(request("wrong")));
    assert.ok(wrong instanceof errors.BadRequestError, String(wrong));
  },

  async it_comes_back_by_itself() {
    const answer = await client.messages.create(request("overloaded once"));
    assert.equal(answer.stop_reason, "end_turn");
  },

  async error_inside_of_a_stream() {
    const error = await refused(async () => {
      const stream = await client.messages.create({ ...request("break the stream"), stream: true });
      for await (const event of stream) assert.ok(event.type);
    });
    assert.match(String(error), /overloaded_error/);
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log("ok", name);
}
console.log("all");
