"""How a transfer whose bytes are all there gets its name."""

from __future__ import annotations

from functools import partial

from p2pim.peer.transfer_context import Lane
from p2pim.peer.transfer_sink import Sink
from p2pim.storage.transfers import TransferRecord, TransferStore


async def give_name(record: TransferRecord, sink: Sink, lane: Lane, store: TransferStore) -> None:
    """The name is committed before it is given, so that a crash between the two is understood afterwards."""
    record.position, record.digest = sink.position, sink.digest
    await store.checkpoint(record.id, record.position, record.digest)
    record.final = await lane.run(partial(sink.complete, record.name))
    await store.save(record)
    while not await lane.run(partial(sink.finish, record.final)):
        record.final = await lane.run(partial(sink.free_name, record.name))
        await store.save(record)
