"""A server that records its calls: callers notice nothing, and the file is made again without a change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.system.server import attendant, serving

DRAWN = pb.Sampling(temperature=1)


def test_calls_are_recorded_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with serving(tmp_path / "log", "--record.file", path) as server:
        for text in ("Where is my order?", "Hello!", "I want my money back."):
            chat = pb.Chat(messages=[pb.ChatMessage(role="user", content=text)])
            request = pb.GenerateRequest(model="demo", chat=chat, sampling=DRAWN)
            *_, last = server.generation.Generate(request)
            assert not last.finish.HasField("receipt")
        stub: Any = encoding_pb2_grpc.EncodingStub(server.channel)
        classify = encoding_pb2.ClassifyRequest(inputs=[encoding_pb2.TextInput(text="fine")])
        assert not stub.Classify(classify).HasField("receipt")
        (streamed,) = stub.Stream(iter([encoding_pb2.EncodingRequest(id="1", classify=classify)]))
        assert not streamed.classify.HasField("receipt")
        done = attendant("replay", path, "--server", server.grpc, "--json", "--limit", 5)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["same"] == 5
        assert server.metrics()["recorded_calls_total{outcome=written}"] >= 5
        server.terminate()
        assert server.wait() == 0
        log = server.log()
    assert f"100 % of all calls are written to {path}, with the texts that callers send and get" in log
    calls = [KeptCall.parse(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [call.call for call in calls[:5]] == ["generate"] * 3 + ["classify"] * 2
    assert all(receipt.digest for call in calls for receipt in call.receipts)
    digests = [call.receipts[0].digest for call in calls]
    assert sorted(digests[5:]) == sorted(digests[:5]), "calls of a replay are recorded, too"


def test_a_file_that_cannot_be_written_is_an_error_of_settings(tmp_path: Path) -> None:
    done = attendant("serve", "--record.file", tmp_path, "--grpc.port", 0, "--http.port", 0)
    assert done.returncode == 2
    assert f"record.file: {tmp_path} cannot be written: Is a directory" in done.stderr
