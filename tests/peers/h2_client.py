"""A client of HTTP/2 that is not ours (python3-h2): `h2_client.py WHAT PORT [CA]`.

The library raises an error for every frame, field and flow of windows that is not as RFC 9113 wants it.
"""

import os
import socket
import ssl
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

PATIENCE = 20


class Client:
    def __init__(self, port, authorities, window=None):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.scheme = "http"
        if authorities:
            context = ssl.create_default_context(cafile=authorities[0])
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname="shop.test")
            assert self.socket.selected_alpn_protocol() == "h2"
            self.scheme = "https"
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.streams = {}
        self.settings = None
        self.ended = None
        self.send()
        self.until(lambda: self.settings is not None)

    def send(self):
        self.socket.sendall(self.h2.data_to_send())

    def until(self, fact):
        """Reads until it is so. A socket that says nothing for long ends the test."""
        while not fact():
            data = self.socket.recv(65536)
            assert data, "the connection was closed"
            for event in self.h2.receive_data(data):
                self.take(event)
            self.send()

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings = event.changed_settings
        elif isinstance(event, h2.events.ResponseReceived):
            stream["head"] = dict(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream["interim"].append(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            stream["body"] += event.data
            if stream["reads"]:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                stream["owed"] += event.flow_controlled_length
        elif isinstance(event, h2.events.TrailersReceived):
            stream["trailers"] = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream["over"] = True
        elif isinstance(event, h2.events.StreamReset):
            stream["reset"] = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.ended = event.error_code

    def ask(self, path, *more, method="GET", end=True, reads=True, **pseudo):
        number = self.h2.get_next_available_stream_id()
        stream = {"body": b"", "over": False, "reset": None, "trailers": None, "interim": []}
        self.streams[number] = stream | {"reads": reads, "owed": 0}
        head = [(":method", method), (":scheme", self.scheme), (":authority", "shop.test")]
        head += [(":path", path), *((":" + name, value) for name, value in pseudo.items()), *more]
        self.h2.send_headers(number, head, end_stream=end)
        self.send()
        return number

    def write(self, number, data, end=False):
        """As much at a time as the windows allow."""
        while data:
            room = lambda: min(
                self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size
            )
            self.until(lambda: room() > 0)
            piece, data = data[: room()], data[room() :]
            self.h2.send_data(number, piece)
            self.send()
        if end:
            self.h2.end_stream(number)
            self.send()

    def over(self, number):
        self.until(lambda: self.streams[number]["over"] or self.streams[number]["reset"] is not None)
        assert self.streams[number]["reset"] is None, self.streams[number]
        return self.streams[number]


def much(client):
    """The origin answers with 1000 bytes of each."""
    numbers = [client.ask(f"/{number}") for number in range(90)]
    for number in numbers:
        stream = client.over(number)
        assert stream["head"][":status"] == "200" and stream["body"] == b"x" * 1000
    number = client.ask("/", ("x-crumb", "a" * 5000), ("cookie", "a=1"), ("cookie", "b=2"))
    assert client.over(number)["head"][":status"] == "200"
    number = client.ask("/", method="HEAD")
    stream = client.over(number)
    assert stream["head"]["content-length"] == "1000" and stream["body"] == b""


def upload(client):
    """Bodies that are larger than any window, two at once."""
    body = os.urandom(700_000)
    length = ("content-length", str(len(body)))
    first = client.ask("/first", length, method="PUT", end=False)
    second = client.ask("/second", method="PUT", end=False)
    client.write(second, body)
    client.write(first, body, end=True)
    client.h2.send_headers(second, [("x-sum", "7")], end_stream=True)
    client.send()
    for number in (first, second):
        assert client.over(number)["head"][":status"] == "200"


def windows(client):
    """Who does not read gets no more than the window; other streams go on."""
    stuck = client.ask("/", reads=False)
    client.until(lambda: len(client.streams[stuck]["body"]) == 600)
    for _ in range(3):
        assert len(client.over(client.ask("/"))["body"]) == 1000
    assert len(client.streams[stuck]["body"]) == 600
    client.streams[stuck]["reads"] = True
    client.h2.acknowledge_received_data(client.streams[stuck]["owed"], stuck)
    client.send()
    assert client.over(stuck)["body"] == b"x" * 1000


def trailers(client):
    """The origin sends `abc`, `def` and a trailer."""
    stream = client.over(client.ask("/", ("te", "trailers")))
    assert stream["body"] == b"abcdef" and stream["trailers"] == {"x-sum": "7"}, stream


def hints(client):
    stream = client.over(client.ask("/"))
    assert [interim[":status"] for interim in stream["interim"]] == ["103"], stream
    assert stream["interim"][0]["link"] == "</style.css>"


def given_up(client):
    """A stream that is reset does not harm the others."""
    for turn in range(20):
        numbers = [client.ask(f"/{turn}") for _ in range(3)]
        client.h2.reset_stream(numbers[1], 8)
        client.send()
        for number in (numbers[0], numbers[2]):
            assert client.over(number)["body"] == b"x" * 1000
    client.h2.ping(b"8 octets")
    client.send()
    assert client.ended is None


def websocket(client):
    """RFC 8441, and frames of RFC 6455 by hand."""
    setting = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
    assert client.settings[setting].new_value == 1
    version = ("sec-websocket-version", "13")
    number = client.ask("/ws", version, method="CONNECT", end=False, protocol="websocket")
    stream = client.streams[number]
    client.until(lambda: "head" in stream or stream["reset"] is not None)
    assert stream["head"][":status"] == "200", stream
    mask = b"\x01\x02\x03\x04"

    def frame(opcode, payload):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        return bytes([0x80 | opcode]) + length + mask + masked

    def told(size):
        client.until(lambda: len(stream["body"]) >= size)
        told, stream["body"] = stream["body"][:size], stream["body"][size:]
        return told

    client.write(number, frame(1, b"hello"))
    assert told(7) == b"\x81\x05hello"
    for _ in range(50):
        client.write(number, frame(2, b"y" * 10_000))
        assert told(10_004) == b"\x82\x7e" + struct.pack("!H", 10_000) + b"y" * 10_000
    client.write(number, frame(9, b"there?"))
    assert told(8) == b"\x8a\x06there?"
    # Requests go on beside it.
    other = client.ask("/ws")
    assert client.over(other)["head"][":status"] == "426"
    client.write(number, frame(8, struct.pack("!H", 1000)))
    assert told(4) == b"\x88\x02" + struct.pack("!H", 1000)
    client.over(number)


what, port, authorities = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
globals()[what](Client(port, authorities, window=600 if what == "windows" else None))
print("done", what)
