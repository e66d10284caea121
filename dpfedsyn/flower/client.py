"""The ClientApp: it hands a message's bytes to this machine's silo, and its reply back.

It runs in a process that Flower starts for every message and whose code the server may choose. So
records, model and ledger belong to the silo's own process, and to a user of its own: where that is
the SuperNode's user too, the server's code could read them. Numpy and torch are not imported here,
for every message would wait for them.
"""

from __future__ import annotations

import os

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from dpfedsyn import reach

ACTION = "dpfedsyn"
MESSAGE_TYPE = f"query.{ACTION}"
RECORD, KEY = "bytes", "frame"
SOCKET = "socket"  # key of the SuperNode's configuration, which is the site's own
ENVIRONMENT = "DPFEDSYN_SOCKET"
UNNAMED = "this site names no silo: give its SuperNode --node-config 'socket=\"PATH\"'"
UNREACHED = "the silo cannot be reached from its site, or did not take the message"
LONGEST = 12 * 3600.0  # seconds after which Flower drops a message's reply, so nobody waits for it
FAILED = "failed"  # record that says why there is no reply

app = ClientApp()


@app.query(ACTION)
def forward(message: Message, context: Context) -> Message:
    """Forward one message to the silo that the SuperNode's configuration names."""
    return Message(replied(message.content, context), reply_to=message)


def replied(content: RecordDict, context: Context) -> RecordDict:
    """Return the silo's reply as a record, or why there is none.

    Guarantee:
        What goes back to the server is a reply of the silo's process, or a fixed sentence; no path
        and no error text of the site is.
    """
    path = context.node_config.get(SOCKET) or os.environ.get(ENVIRONMENT)
    if not path:
        return failed(UNNAMED)
    try:
        return packed(reach.call(str(path), unpacked(content), LONGEST))
    except OSError:
        return failed(UNREACHED)


def packed(data: bytes) -> RecordDict:
    """Return bytes as a record; large ones are sent in pieces by Flower."""
    array = Array(dtype="uint8", shape=(len(data),), stype="raw", data=data)
    return RecordDict({RECORD: ArrayRecord({KEY: array})})


def unpacked(content: RecordDict) -> bytes:
    """Return the bytes of a record; `ConnectionError` where there are none."""
    try:
        return bytes(content.array_records[RECORD][KEY].data)
    except KeyError:
        raise ConnectionError("a message without bytes for a silo") from None


def failed(reason: str) -> RecordDict:
    """Return a record that says why there is no reply."""
    return RecordDict({FAILED: ConfigRecord({"reason": reason})})
