"""Checks of the unmodified openai package against the provider at the address given.

Each check is a function; it says `ok` and its name, and the script `all` at its end.
"""

import asyncio
import inspect
import sys

import openai

URL, KEY = sys.argv[1:]
# With /v1, as the SDK wants it.
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, timeout=30)
once = client.with_options(max_retries=0)
TEXT = "You said: hello \N{HEDGEHOG}"


def ask(text, client=client, **more):
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": text}], **more
    )


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def chat():
    answer = ask("hello", temperature=0.5, extra_body={"x_vendor": {"a": [1.5]}})
    assert answer.id == "chatcmpl-1" and answer.object == "chat.completion", answer
    assert answer.created == 1_700_000_000 and answer.model == "m", answer
    assert answer.system_fingerprint == "fp_1", answer
    (choice,) = answer.choices
    assert choice.message.content == TEXT and choice.message.role == "assistant", answer
    assert choice.finish_reason == "stop" and choice.index == 0, answer
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7), answer
    assert answer.usage.total_tokens == 18, answer


def chat_streamed():
    chunks = list(ask("hello", stream=True, stream_options={"include_usage": True}))
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks), chunks
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in said) == TEXT, chunks
    assert chunks[0].choices[0].delta.role == "assistant", chunks
    assert chunks[-2].choices[0].finish_reason == "stop", chunks
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 18, chunks


def usage_chunk_only_when_asked():
    chunks = list(ask("hello", stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks), chunks


def several_choices():
    assert [choice.index for choice in ask("hello", n=3).choices] == [0, 1, 2]
    texts = {}
    for chunk in ask("hello", n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == {0: TEXT, 1: TEXT, 2: TEXT}, texts


def check_calls(message):
    first, second = message.tool_calls
    assert message.content is None, message
    assert (first.id, first.type, first.function.name) == ("call_1", "function", "weather"), first
    assert first.function.arguments == '{"city": "Rome"}', first
    assert second.function.arguments == '{"city": "Oslo"}', second


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def tool_calls():
    answer = ask("use tools", tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls", answer
    check_calls(answer.choices[0].message)


def tool_calls_by_the_stream_helper():
    messages = [{"role": "user", "content": "use tools"}]
    with client.chat.completions.stream(model="m", messages=messages, tools=TOOLS) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds, kinds
    check_calls(answer.choices[0].message)


def results_of_tools():
    calls = ask("use tools", tools=TOOLS).choices[0].message
    messages = [
        {"role": "user", "content": "use tools"},
        calls,
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content.startswith("You said: sunny"), answer


def refusals():
    assert ask("refuse").choices[0].message.refusal == "I will not"
    said = [chunk.choices[0].delta.refusal for chunk in ask("refuse", stream=True)]
    assert "I will not" in said, said


def parts_of_content():
    part = {"type": "text", "text": "hello"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    answer = ask([part, image])
    assert answer.choices[0].message.content == TEXT, answer


def completions():
    answer = client.completions.create(model="m", prompt="on")
    assert answer.object == "text_completion", answer
    assert answer.choices[0].text == "on and so on", answer
    assert answer.choices[0].finish_reason == "length", answer
    pieces = list(
        client.completions.create(
            model="m", prompt="on", stream=True, stream_options={"include_usage": True}
        )
    )
    assert pieces[0].choices[0].text == "on and so on", pieces
    assert pieces[-1].usage.total_tokens == 6, pieces


def embeddings():
    # Nothing said: the SDK asks for base64 and decodes it.
    answer = client.embeddings.create(model="m", input=["a", "bcd"])
    assert [vector.index for vector in answer.data] == [0, 1], answer
    assert list(answer.data[1].embedding) == [3.0, -0.5, 0.25], answer
    assert answer.usage.prompt_tokens == 4, answer
    answer = client.embeddings.create(model="m", input="a", encoding_format="float")
    assert answer.data[0].embedding == [1.0, -0.5, 0.25], answer


def responses():
    answer = client.responses.create(model="m", input="hello")
    assert answer.output_text == "You said: hello", answer
    assert answer.status == "completed" and answer.object == "response", answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7), answer
    call = client.responses.create(model="m", input="use tools").output[1]
    assert (call.type, call.name, call.call_id) == ("function_call", "weather", "call_1"), call
    assert call.arguments == '{"city": "Rome"}', call


def responses_streamed_and_numbered():
    events = list(client.responses.create(model="m", input="use tools", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    assert events[0].type == "response.created", events
    assert events[-1].type == "response.completed", events
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(said) == "You said: use tools", events


def responses_by_the_stream_helper():
    with client.responses.stream(model="m", input="use tools") as stream:
        for _ in stream:
            pass
        answer = stream.get_final_response()
    assert answer.output_text == "You said: use tools", answer
    assert answer.output[1].arguments == '{"city": "Rome"}', answer
    assert answer.usage.total_tokens == 18, answer


def models():
    (model,) = client.models.list()
    assert (model.id, model.owned_by) == ("model-1", "us"), model
    assert client.models.retrieve("model-1").id == "model-1"
    error = refused(openai.NotFoundError, lambda: client.models.retrieve("none"))
    assert error.code == "model_not_found", error


def too_many_requests():
    error = refused(openai.RateLimitError, lambda: ask("too many", once))
    assert error.status_code == 429 and error.code == "rate_limit_exceeded", error
    assert error.type == "rate_limit_error" and error.param == "messages", error
    assert error.request_id == "req_1", error
    assert error.response.headers["retry-after"] == "2", error.response.headers
    assert error.response.headers["retry-after-ms"] == "1500", error.response.headers


def it_comes_back_by_itself():
    assert ask("too many once").choices[0].message.content.startswith("You said"), "retried"


def bad_requests():
    error = refused(openai.BadRequestError, lambda: ask("wrong"))
    assert error.code == "context_length_exceeded", error
    assert error.body["message"] == "as you wish", error
    error = refused(openai.BadRequestError, lambda: ask("hello", extra_body={"model": 7}))
    assert "string" in error.message, error


def wrong_key():
    other = openai.OpenAI(base_url=URL + "/v1", api_key="other", max_retries=0)
    refused(openai.AuthenticationError, lambda: ask("hello", other))


def not_wanted_again():
    refused(openai.InternalServerError, lambda: ask("broken"))


def error_inside_of_a_stream():
    def read():
        for chunk in ask("break the stream", stream=True):
            seen.append(chunk)

    seen = []
    error = refused(openai.APIError, read)
    assert error.message == "it broke" and len(seen) == 2, (error, seen)


async def asynchronously():
    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, timeout=30) as client:
        messages = [{"role": "user", "content": "hello"}]
        answer, stream = await asyncio.gather(
            client.chat.completions.create(model="m", messages=messages),
            client.chat.completions.create(model="m", messages=messages, stream=True),
        )
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert answer.choices[0].message.content == TEXT == "".join(said), (answer, said)


for name, check in list(globals().items()):
    own = inspect.isfunction(check) and check.__module__ == __name__
    if own and name not in ("ask", "refused", "check_calls"):
        result = check()
        if inspect.iscoroutine(result):
            asyncio.run(result)
        print("ok", name, flush=True)
print(f"openai {openai.__version__}")
print("all")
