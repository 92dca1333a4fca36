"""A client of WebSockets that is not ours: `ws_client.py PORT [CA]`, over TLS with an authority."""

import asyncio
import ssl
import sys

import websockets

PATIENCE = 20


async def talk(connect):
    async with connect(subprotocols=["other", "chat"]) as socket:
        assert socket.subprotocol == "chat"
        assert any(type(one).__name__ == "PerMessageDeflate" for one in socket.extensions)
        for message in ("", "ü" * 1000, b"", bytes(range(256)), b"x" * 3_000_000, "a" * 100_000):
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(["in ", "several ", "frames"])
        assert await socket.recv() == "in several frames"
        await (await socket.ping(b"there?"))


async def told(connect, scheme):
    async with connect(origin="https://shop.test", extra_headers={"Cookie": "a=b"}) as socket:
        await socket.send("headers")
        said = [await socket.recv() for _ in range(4)]
        assert said[1:] == ["https://shop.test", scheme, "a=b"], said
        # 3 MB that nobody reads while more are sent.
        for number in range(30):
            await socket.send(b"%d" % number * 100_000)
        for number in range(30):
            assert await socket.recv() == b"%d" % number * 100_000


async def ended(connect):
    async with connect(compression=None) as socket:
        await socket.send("close")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
        else:
            raise AssertionError("it goes on")
    socket = await connect()
    await socket.close(4002, "enough")
    assert socket.close_code == 4002


async def crowd(connect):
    async def one(number):
        async with connect() as socket:
            for turn in range(20):
                await socket.send(f"{number}.{turn}")
                assert await socket.recv() == f"{number}.{turn}"

    await asyncio.gather(*(one(number) for number in range(30)))


async def main(port, authorities):
    options, scheme, trust = {"max_size": 8 << 20, "ping_interval": None}, "ws", None
    if authorities:
        trust = ssl.create_default_context(cafile=authorities[0])
        scheme = "wss"
        options["server_hostname"] = "shop.test"
    options |= {"host": "127.0.0.1", "port": port, "ssl": trust}

    def connect(**more):
        return websockets.connect(f"{scheme}://shop.test:{port}/ws", **options, **more)

    await talk(connect)
    await told(connect, "https" if trust else "http")
    await ended(connect)
    await crowd(connect)
    print("done")


asyncio.run(asyncio.wait_for(main(int(sys.argv[1]), sys.argv[2:]), PATIENCE * 2))
