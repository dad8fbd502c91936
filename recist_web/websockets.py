"""Uvicorn's WebSockets, with one compression for all sockets that are sent the same.

Hundreds of dashboards show the same rows. A message that depends on nothing but its text (RFC 7692's
``server_no_context_takeover``) is the same bytes for each of them: it is compressed once. Used by
``uvicorn --ws recist_web.websockets:SharedProtocol``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

#: Compressed messages kept: those of the last rounds of all filters that are open.
_KEPT = 64
#: A longer one belongs to one page that has just come.
_MAX_KEPT_BYTES = 200_000
_kept: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()


class SharedDeflate(PerMessageDeflate):
    """Compresses a message that was compressed a moment ago for another socket not again."""

    def encode(self, frame: Frame) -> Frame:
        """Encode an outgoing frame."""
        if frame.opcode is not Opcode.TEXT or not frame.fin or len(frame.data) > _MAX_KEPT_BYTES:
            return super().encode(frame)
        key = (self.local_max_window_bits, bytes(frame.data))
        if (found := _kept.get(key)) is None:
            found = bytes(super().encode(frame).data)
            _kept[key] = found
            if len(_kept) > _KEPT:
                _kept.popitem(last=False)
        return Frame(frame.opcode, found, frame.fin, True, frame.rsv2, frame.rsv3)


class _Factory(ServerPerMessageDeflateFactory):
    def process_request_params(
        self, params: Sequence[tuple[str, str | None]], accepted_extensions: Sequence[Any]
    ) -> tuple[list[Any], SharedDeflate]:
        answer, made = super().process_request_params(params, accepted_extensions)
        shared = SharedDeflate(
            made.remote_no_context_takeover,
            True,
            made.remote_max_window_bits,
            made.local_max_window_bits,
            self.compress_settings,
        )
        return answer, shared


def factory() -> ServerPerMessageDeflateFactory:
    """What a server offers."""
    return _Factory(
        server_no_context_takeover=True,
        server_max_window_bits=13,
        client_max_window_bits=12,
        compress_settings={"memLevel": 6},
    )


class SharedProtocol(WebSocketsSansIOProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.config.ws_per_message_deflate:
            self.conn.available_extensions = [factory()]
