"""Checks of the unmodified anthropic package against the provider at the address given.

Each check is a function; it says `ok` and its name, and the script `all` at its end.
"""

import asyncio
import inspect
import sys

import anthropic

URL, KEY = sys.argv[1:]
# Without /v1, as the SDK wants it.
client = anthropic.Anthropic(base_url=URL, api_key=KEY, timeout=30)
once = client.with_options(max_retries=0)
TEXT = "You said: hello \N{HEDGEHOG}"


def ask(text, client=client, **more):
    return client.messages.create(
        model="m", max_tokens=100, messages=[{"role": "user", "content": text}], **more
    )


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def message():
    answer = ask("hello", system="Be kind.", extra_body={"temperature": 0.5, "x": [1.5]})
    assert (answer.id, answer.type, answer.role) == ("msg_1", "message", "assistant"), answer
    assert answer.content[0].type == "text" and answer.content[0].text == TEXT, answer
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None, answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7), answer


def streamed():
    events = list(ask("hello", stream=True))
    kinds = [event.type for event in events]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ], kinds
    assert events[0].message.usage.input_tokens == 11, events
    assert events[2].delta.text == TEXT, events
    assert events[4].usage.output_tokens == 7, events


def by_the_stream_helper():
    messages = [{"role": "user", "content": "hello"}]
    with client.messages.stream(model="m", max_tokens=100, messages=messages) as stream:
        assert "".join(stream.text_stream) == TEXT
        answer = stream.get_final_message()
    assert answer.stop_reason == "end_turn", answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7), answer


TOOLS = [
    {
        "name": "weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def check_use(answer):
    assert answer.stop_reason == "tool_use", answer
    use = answer.content[1]
    assert (use.type, use.id, use.name) == ("tool_use", "toolu_1", "weather"), use
    assert use.input == {"city": "Rome"}, use


def tools():
    check_use(ask("use tools", tools=TOOLS))


def tools_by_the_stream_helper():
    messages = [{"role": "user", "content": "use tools"}]
    with client.messages.stream(
        model="m", max_tokens=100, messages=messages, tools=TOOLS
    ) as stream:
        kinds = {event.type for event in stream}
        check_use(stream.get_final_message())
    assert "input_json" in kinds, kinds


def results_of_tools():
    answer = ask("use tools", tools=TOOLS)
    messages = [
        {"role": "user", "content": "use tools"},
        {"role": "assistant", "content": answer.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}],
        },
    ]
    client.messages.create(model="m", max_tokens=100, messages=messages)


def count_tokens():
    messages = [{"role": "user", "content": "hello"}]
    count = client.messages.count_tokens(model="m", messages=messages)
    assert count.input_tokens == 14, count


def too_many_requests():
    error = refused(anthropic.RateLimitError, lambda: ask("too many", once))
    assert error.status_code == 429, error
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    assert error.response.headers["retry-after"] == "2", error.response.headers
    assert error.request_id == "req_1", error


def overloaded():
    error = refused(anthropic.APIStatusError, lambda: ask("overloaded", once))
    assert error.status_code == 529, error
    assert error.body["error"]["type"] == "overloaded_error", error.body


def it_comes_back_by_itself():
    assert ask("overloaded once").content[0].text.startswith("You said"), "retried"


def bad_requests():
    error = refused(anthropic.BadRequestError, lambda: ask("wrong"))
    assert error.body["error"]["type"] == "invalid_request_error", error.body
    assert "max_tokens: too large" in str(error), error
    error = refused(anthropic.BadRequestError, lambda: ask("hello", extra_body={"model": 7}))
    assert "string" in str(error), error


def wrong_key():
    other = anthropic.Anthropic(base_url=URL, api_key="other", max_retries=0)
    refused(anthropic.AuthenticationError, lambda: ask("hello", other))


def error_inside_of_a_stream():
    def read():
        for event in ask("break the stream", stream=True):
            seen.append(event.type)

    seen = []
    error = refused(anthropic.APIStatusError, read)
    assert "overloaded_error" in str(error), error
    assert seen == ["message_start", "content_block_start", "content_block_delta"], seen


async def asynchronously():
    async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, timeout=30) as client:
        messages = [{"role": "user", "content": "hello"}]
        answer = await client.messages.create(model="m", max_tokens=9, messages=messages)
        async with client.messages.stream(model="m", max_tokens=9, messages=messages) as stream:
            said = [text async for text in stream.text_stream]
        assert answer.content[0].text == TEXT == "".join(said), (answer, said)


for name, check in list(globals().items()):
    own = inspect.isfunction(check) and check.__module__ == __name__
    if own and name not in ("ask", "refused", "check_use"):
        result = check()
        if inspect.iscoroutine(result):
            asyncio.run(result)
        print("ok", name, flush=True)
print(f"anthropic {anthropic.__version__}")
print("all")
