"""The node of kv.py as a small TCP server on asyncio: many clients, one event loop.

    kv_async.py DIR HOST:PORT CLIENT-PORT [first]

A client sends the lines that kv.py takes on standard input.
"""

import asyncio
import contextlib
import sys

import quorate
import quorate.aio
from kv import USAGE, Kv


async def run(service: quorate.aio.Service, kv: Kv, line: str) -> str:
    verb, _, rest = line.rstrip("\n").partition(" ")
    match verb:
        case "add":
            await service.add_node(rest, timeout=60)
            return "ok"
        case "remove":
            await service.remove_node(quorate.parse_node_id(rest), timeout=60)
            return "ok"
        case "set":
            return (await service.propose_wait(rest.encode(), timeout=5)).data.decode()
        case "get":
            await service.read_barrier(timeout=5)
            return kv.rows.get(rest, "(none)")
        case "status":
            me, leader = map(quorate.format_node_id, (service.my_id, service.leader_id))
            return f"{service.state} id={me} leader={leader} applied={service.last_applied}"
    return USAGE


async def answer(service: quorate.aio.Service, kv: Kv, line: str) -> str:
    try:
        return await run(service, kv, line)
    except quorate.OutcomeUnknown as error:
        return f"error: {error} (it may be done)"
    except quorate.QuorateError as error:
        return f"error: {error}"


async def main(data_dir: str, listen: str, port: str, *first: str) -> None:
    kv = Kv()
    async with await quorate.aio.Service.start(kv, data_dir=data_dir, listen=listen) as service:
        if first and service.state is quorate.State.STANDALONE:
            await service.initialize_cluster(listen, timeout=5)

        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for line in reader:
                writer.write((await answer(service, kv, line.decode())).encode() + b"\n")
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(client, "127.0.0.1", int(port))
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
