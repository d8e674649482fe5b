"""What client and worker say to each other: length-prefixed JSON messages.

Protocol 5. A connection carries one request. Every message is a 4-byte big-endian length and that
many bytes of UTF-8 JSON, an object with a "type". Client and worker say hello; then the client asks:

    {"type": "recolor", "width": W, "height": H, "format": "u8" | "u16" | "float",
     "pixels": FILE, "limits": [FILE, ...], "mask_format": "u8" | "float",
     "shade": SHADE or {"photo": PATH} or null, "tips": SHADE or null, "strength": 0…1, "force": bool,
     "engine": "whole" | "texture", "model": NAME or null, "device": "auto" | "cpu" | …,
     "quality": "fast" | "best", "step": 1…35, "refined": bool,
     "people": "together" | "each", "output": "layer" | "mask" | "picture" | "lch picture",
     "layer_out": [FILE, ...], "mask_out": [FILE, ...]}
    {"type": "files", "pixels": FILE, "limits": [FILE, ...]}
    {"type": "stop"}

and the worker answers with any number of {"type": "progress", "fraction", "text"} and then one
{"type": "result", "device", "notices", "shade", "share", "people"} or {"type": "error", "kind", "message"}.
A SHADE is a NAME, "#rrggbb", or [r, g, b] in sRGB, each 0…1; {"photo": PATH} means the hair in that photo.
FILEs are names in the private directory that also holds the socket: raw RGBA pixels in (`format`),
raw masks of float32 that limit the matte, raw RGBA pixels and raw masks out. "mask_out" names one file, or
eight where each of the people gets a mask, from left to right; the result says how many "people" there are. For the
output "layer", "layer_out" names as many, for the recolored pixels; for "mask", which needs no shade, it names none;
and for the pictures, which show the photo with its new hair color, blended as in the layer modes Normal or LCh Color,
it names one.
Before it writes its files, a client announces them: then the worker knows what to remove if the client ends before it
has asked. Their request follows on the same connection. A client keeps its connection open until it has read the results; closing it earlier cancels the request. Once it is
closed, whatever way the client ended, the worker removes the request's files.
"""

from __future__ import annotations

import json
import socket
import struct

from ..errors import RequestError

PROTOCOL = 5  # raised with every change that an older client or server would not understand
LARGEST_MESSAGE = 1 << 20  # bytes; nobody needs so many to say what is wanted


def send_message(connection: socket.socket, message: dict) -> None:
    """Send one length-prefixed JSON message. Raises OSError if the other side has gone."""
    body = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(body)) + body)


def receive_message(connection: socket.socket) -> dict:
    """Receive one message. Raises RequestError for anything that is none, OSError if the stream ends."""
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
