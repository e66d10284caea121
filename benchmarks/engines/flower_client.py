"""The ClientApp of the bare rounds; it has a module of its own, so that it imports no more."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query("bare")
def echo(message: Message, context: Context) -> Message:
    """Return noise of the shape that came: what a silo without ledger or mechanism would do."""
    x = message.content.array_records["x"]["x"].numpy()
    noise = np.random.default_rng(1).standard_normal(x.shape)
    return Message(RecordDict({"x": ArrayRecord({"x": Array(noise)})}), reply_to=message)
