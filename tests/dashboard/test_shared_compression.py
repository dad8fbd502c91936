"""One compression for all sockets that are sent the same: each can read it, and whatever else it is sent."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode

from recist_web import websockets as ours


def client(max_window_bits: int | None) -> tuple[PerMessageDeflate, PerMessageDeflate]:
    """A server's and a client's end, as they agree on it."""
    asks = ClientPerMessageDeflateFactory(client_max_window_bits=True, server_max_window_bits=max_window_bits)
    answer, server = ours.factory().process_request_params(asks.get_request_params(), [])
    return server, asks.process_response_params(answer, [])


@given(messages=st.lists(st.text(max_size=500), max_size=8), bits=st.sampled_from([None, 9, 12, 15]))
def test_every_socket_can_read_what_it_is_sent(messages: list[str], bits: int | None) -> None:
    pairs = [client(bits), client(None)]
    for message in messages:
        for server, reader in pairs:
            sent = server.encode(Frame(Opcode.TEXT, message.encode()))
            assert sent.rsv1
            assert reader.decode(sent).data == message.encode()


def test_the_second_socket_costs_no_compression(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [client(None)[0] for _ in range(20)]
    made: list[int] = []
    compressobj = zlib.compressobj
    monkeypatch.setattr(zlib, "compressobj", lambda *a, **kw: made.append(1) or compressobj(*a, **kw))
    text = Frame(Opcode.TEXT, b"the same row for everybody, once" * 50)
    answers = {bytes(server.encode(text).data) for server in servers}
    assert len(answers) == 1
    assert len(made) == 1
