"""Checks of the unmodified openai package against the mock of the Batch API at the address given.

Each check is a function; it says `ok` and its name, and the script `all` at its end.
"""

import asyncio
import inspect
import io
import json
import sys
import time

import openai

URL, KEY = sys.argv[1:]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, timeout=30)
once = client.with_options(max_retries=0)
CHAT = "/v1/chat/completions"


def row(number, said):
    messages = [{"role": "user", "content": said}]
    body = {"model": "m", "messages": messages}
    return json.dumps({"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body})


def upload(*said):
    lines = [row(number, text) for number, text in enumerate(said)]
    content = io.BytesIO("\n".join(lines).encode())
    return client.files.create(file=("rows.jsonl", content, "application/jsonl"), purpose="batch")


def create(*said, **more):
    more.setdefault("completion_window", "24h")
    return client.batches.create(input_file_id=upload(*said).id, endpoint=CHAT, **more)


def wait(batch):
    """Polls it to its end, and gives all that it has been."""
    seen = [batch]
    while seen[-1].status in ("validating", "in_progress", "finalizing", "cancelling"):
        seen.append(client.batches.retrieve(batch.id))
        time.sleep(0.001)
    return seen


def lines(file):
    return {line["custom_id"]: line for line in map(json.loads, client.files.content(file).text.splitlines())}


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def files():
    file = upload("a", "b")
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "rows.jsonl"), file
    assert client.files.retrieve(file.id) == file
    assert file.bytes == len(client.files.content(file.id).content), file
    assert file.id in [each.id for each in client.files.list(purpose="batch")]
    gone = client.files.delete(file.id)
    assert gone.deleted and gone.id == file.id, gone
    error = refused(openai.NotFoundError, lambda: client.files.retrieve(file.id))
    assert error.body["type"] == "invalid_request_error", error.body


def streamed_download():
    file = upload(*["x" * 1000] * 500)
    with client.files.with_streaming_response.content(file.id) as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) == file.bytes


def a_batch_from_file_to_answers():
    batch = create("hello", "hello \N{HEDGEHOG}", metadata={"job": "nightly"})
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", CHAT), batch
    assert batch.metadata == {"job": "nightly"} and batch.completion_window == "24h", batch
    assert batch.expires_at - batch.created_at == 86400, batch
    seen = wait(batch)
    statuses = list(dict.fromkeys(each.status for each in seen))
    assert statuses == ["validating", "in_progress", "finalizing", "completed"], statuses
    done = seen[-1]
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (2, 2, 0), done
    assert done.error_file_id is None and done.errors is None, done
    answers = lines(done.output_file_id)
    said = answers["row-1"]["response"]["body"]["choices"][0]["message"]["content"]
    assert said == "hello \N{HEDGEHOG}" and answers["row-0"]["error"] is None, answers
    client.files.delete(done.input_file_id)
    client.files.delete(done.output_file_id)


def rows_that_fail():
    done = wait(create("hello", "wrong"))[-1]
    assert done.status == "completed" and done.request_counts.failed == 1, done
    assert list(lines(done.output_file_id)) == ["row-0"]
    error = lines(done.error_file_id)["row-1"]["response"]
    assert error["status_code"] == 400 and error["body"]["error"]["message"] == "wrong", error


def a_file_that_is_refused():
    batch = client.batches.create(
        input_file_id=client.files.create(file=io.BytesIO(b"{\n"), purpose="batch").id,
        endpoint=CHAT,
        completion_window="24h",
    )
    done = wait(batch)[-1]
    assert done.status == "failed" and done.failed_at, done
    (error,) = done.errors.data
    assert (error.code, error.line) == ("invalid_json_line", 1), done


def cancelled():
    batch = create("hello", "world", metadata={"script": "stuck"})
    assert client.batches.retrieve(batch.id).status == "in_progress"
    assert client.batches.cancel(batch.id).status == "cancelling"
    done = wait(batch)[-1]
    assert done.status == "cancelled" and done.cancelled_at, done
    assert lines(done.error_file_id)["row-1"]["error"]["code"] == "batch_cancelled"
    error = refused(openai.ConflictError, lambda: once.batches.cancel(batch.id))
    assert "cancelled" in str(error), error


def expired():
    done = wait(create("a", "b", metadata={"script": "expires"}))[-1]
    assert done.status == "expired" and done.expired_at, done
    assert list(lines(done.output_file_id)) == ["row-0"]
    assert lines(done.error_file_id)["row-1"]["error"]["code"] == "batch_expired"


def lists():
    made = [create("a", metadata={"n": str(n)}).id for n in range(5)]
    listed = [batch for batch in client.batches.list(limit=2)]
    assert [batch.id for batch in listed[:5]] == made[::-1], listed
    assert [batch.metadata["n"] for batch in listed[:5]] == list("43210"), listed
    assert len({batch.id for batch in listed}) == len(listed) > 5


def refusals():
    refused(openai.NotFoundError, lambda: client.batches.retrieve("batch_x"))
    refused(openai.BadRequestError, lambda: create("a", completion_window="1h"))
    other = openai.OpenAI(base_url=URL + "/v1", api_key="other", max_retries=0)
    refused(openai.AuthenticationError, lambda: other.batches.list())


def it_comes_back_after_too_many_requests():
    batch = create("a", metadata={"script": "busy"})
    assert batch.status == "validating", batch


def the_synchronous_endpoints():
    messages = [{"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content == "hello", answer
    assert client.completions.create(model="m", prompt="p").choices[0].text == "p"
    assert client.responses.create(model="m", input="i").output_text == "i"
    vectors = client.embeddings.create(model="m", input=["a", "b"], encoding_format="float").data
    assert [vector.embedding for vector in vectors] == [[0.5, -0.25, 0.0], [0.5, -0.25, 1.0]]
    assert client.models.retrieve("m").id == "m"


async def asynchronously():
    async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, timeout=30) as client:
        content = ("rows.jsonl", row(0, "hello").encode())
        file = await client.files.create(file=content, purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h"
        )
        while batch.status != "completed":
            batch = await client.batches.retrieve(batch.id)
        content = await client.files.content(batch.output_file_id)
        assert json.loads(content.text)["custom_id"] == "row-0", content.text


HELPERS = ("row", "upload", "create", "wait", "lines", "refused")
for name, check in list(globals().items()):
    own = inspect.isfunction(check) and check.__module__ == __name__
    if own and name not in HELPERS:
        result = check()
        if inspect.iscoroutine(result):
            asyncio.run(result)
        print("ok", name, flush=True)
print(f"openai {openai.__version__}")
print("all")
