"""Checks of the unmodified autobatcher package against the mock of the Batch API at the address given.

Each check is a function; it says `ok` and its name, and the script `all` at its end.
"""

import asyncio
import inspect
import sys

import loguru
from autobatcher import BatchOpenAI

URL, KEY = sys.argv[1:]
loguru.logger.remove()


class Client:
    """A client, and the names of the events it has told."""

    def __init__(self, **more):
        self.events = []
        self.client = BatchOpenAI(
            base_url=URL + "/v1",
            api_key=KEY,
            batch_window_seconds=0.05,
            poll_interval_seconds=0.01,
            completion_window="24h",
            batch_event_handler=self.events.append,
            **more,
        )

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def chat(self, text):
        messages = [{"role": "user", "content": text}]
        answer = await self.client.chat.completions.create(model="m", messages=messages)
        return answer.choices[0].message.content

    def told(self):
        return [event["event"] for event in self.events]


async def many_calls_are_one_batch():
    async with Client(batch_metadata={"job": "nightly"}) as client:
        said = await asyncio.gather(*(client.chat(f"hello {n}") for n in range(50)))
        assert said == [f"hello {n}" for n in range(50)], said
        told = client.told()
        assert (told[0], told[-1]) == ("batch_submitted", "batch_completed"), told
        assert told.count("batch_submitted") == 1, told
        assert client.events[0]["request_count"] == 50, client.events[0]
        assert client.events[0]["metadata"] == {"job": "nightly"}, client.events[0]
        counts = client.events[-1]["counts"]
        assert counts == {"completed": 50, "failed": 0, "total": 50}, counts


async def results_come_while_the_batch_runs():
    async with Client(batch_metadata={"script": "half"}) as client:
        calls = [asyncio.ensure_future(client.chat(f"hello {n}")) for n in range(4)]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        # Half of it is there, and the batch stands still: only the half that is there can have been read.
        assert 1 <= len(done) <= 2, done
        said = await asyncio.gather(*calls[:2])
        assert said == ["hello 0", "hello 1"], said
        for call in calls[2:]:
            call.cancel()


async def embeddings():
    async with Client() as client:
        asked = client.client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        answer = await asked
        assert [vector.index for vector in answer.data] == [0, 1], answer


async def responses():
    async with Client() as client:
        answer = await client.client.responses.create(model="m", input="hello")
        assert answer.output_text == "hello", answer


async def open_batches_are_cancelled_at_its_end():
    client = Client(batch_metadata={"script": "stuck"}, cancel_active_batches_on_close=True)
    call = asyncio.ensure_future(client.chat("hello"))
    while "batch_progress" not in client.told():
        await asyncio.sleep(0.01)
    await client.client.close()
    await asyncio.gather(call, return_exceptions=True)
    assert "batch_cancelled_upstream" in client.told(), client.told()


async def too_many_requests_are_waited_for():
    async with Client(batch_metadata={"script": "busy"}) as client:
        assert await client.chat("busy") == "busy"


for name, check in list(globals().items()):
    if inspect.iscoroutinefunction(check) and check.__module__ == __name__:
        asyncio.run(asyncio.wait_for(check(), 60))
        print("ok", name, flush=True)
print("all")
