"""What client and worker say to each other: length-prefixed JSON messages.

A connection carries one request. Every message is a 4-byte big-endian length and that many bytes of UTF-8 JSON, an
object with a "type". Client and worker say hello, each with the version of the protocol that it speaks; the client also
says the secret that stands beside the socket's address in endpoint.json:

    {"type": "hello", "protocol", "secret"}
    {"type": "hello", "protocol", "version", "pid"}

Then the client asks:

    {"type": "recolor", ...}        and the fields of `options.Request`, as its `to_dict` has them
    {"type": "files", "pixels": FILE, "limits": [FILE, ...]}
    {"type": "stop"}

and the worker answers with any number of {"type": "progress", "fraction", "text"} and then one
{"type": "result", "device", "notices", "shade", "share", "people"} or {"type": "error", "kind", "message"}.

`options.Request` says what can be asked for, and which results go to how many files. FILEs are names in the private
directory that also holds the socket: raw RGBA or RGB pixels in, raw masks of float32 that limit the matte, raw masks and raw
RGBA pixels out. Where each of the people gets a mask, the files are filled in order, from left to right, and the result
says how many "people" there are. Pictures show the photo with its new hair color, blended as in the layer modes Normal or
LCh Color.

Before it writes its files, a client announces them: then the worker knows what to remove if the client ends before it
has asked. Their request follows on the same connection. A client keeps its connection open until it has read the
results; closing it earlier cancels the request. Once it is closed, whatever way the client ended, the worker removes the
request's files.
"""

from __future__ import annotations

import json
import socket
import struct

from ..errors import RequestError

LARGEST_MESSAGE = 1 << 20  # bytes; nobody needs so many to say what is wanted


def send_message(connection: socket.socket, message: dict) -> None:
    """Send one length-prefixed JSON message. Raises OSError if the other side has gone."""
    # File names that are no UTF-8 come as lone surrogates, which GIMP cannot show: it gets a question mark for each.
    body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    connection.sendall(struct.pack(">I", len(body)) + body)


def receive_message(connection: socket.socket) -> dict:
    """Receive one message. Raises RequestError if what arrives is not a message, OSError if the stream ends."""
    (length,) = struct.unpack(">I", _receive_exactly(connection, 4))
    if length > LARGEST_MESSAGE:
        raise RequestError(f"A message of {length} bytes is too long: update the plug-in.")
    try:
        message = json.loads(_receive_exactly(connection, length))
    except (ValueError, RecursionError) as error:
        raise RequestError("A message was not JSON: update the plug-in.") from error
    if not isinstance(message, dict):
        raise RequestError("A message was not a JSON object: update the plug-in.")
    return message


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 65536))
        if not part:
            raise ConnectionResetError("the other side closed the connection")
        data += part
    return bytes(data)
