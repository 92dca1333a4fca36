"""A server of WebSockets that is not ours: says its port, answers what it gets."""

import asyncio
import sys

import websockets


async def serve(socket):
    async for message in socket:
        if message == "close":
            await socket.close(4001, "as you wish")
        elif message == "headers":
            for name in ("host", "origin", "x-forwarded-proto", "cookie"):
                await socket.send(socket.request_headers.get(name, "none"))
        else:
            await socket.send(message)


async def main():
    options = {"subprotocols": ["chat"], "max_size": 8 << 20, "ping_interval": None}
    async with websockets.serve(serve, "127.0.0.1", 0, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
