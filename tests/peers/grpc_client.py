"""A client of gRPC's own: `grpc_client.py WHAT PORT [CA]` does one thing and says how that went."""

import queue
import sys
import time

import grpc

# What no call takes; one that does is stuck.
PATIENCE = 20


def method(channel, kind, name):
    return getattr(channel, kind)("/test.Peer/" + name)


def unary(channel):
    echo = method(channel, "unary_unary", "Echo")
    for size in (0, 1, 5, 16_384, 3_000_000):
        message = bytes(number % 251 for number in range(size))
        for compression in (None, grpc.Compression.Gzip):
            answer, call = echo.with_call(
                message,
                timeout=PATIENCE,
                metadata=(("x-asked", "this"),),
                compression=compression,
            )
            assert answer == message, size
            assert dict(call.initial_metadata())["x-first"] == "this"
            assert dict(call.trailing_metadata())["x-last-bin"] == message[:4]
            assert call.code() == grpc.StatusCode.OK


def many(channel):
    echo = method(channel, "unary_unary", "Echo")
    calls = [echo.future(b"%d" % number, timeout=PATIENCE) for number in range(300)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]


def streams(channel):
    count = method(channel, "unary_stream", "Count")
    assert list(count(b"1000", timeout=PATIENCE)) == [b"%d" % number for number in range(1000)]
    assert list(count(b"0", timeout=PATIENCE)) == []
    add = method(channel, "stream_unary", "Add")
    assert add((b"%d" % number for number in range(1000)), timeout=PATIENCE) == b"499500"
    # Each word is said when the answer to the one before is there.
    words = queue.Queue()
    answers = method(channel, "stream_stream", "Chat")(iter(words.get, None), timeout=PATIENCE)
    for word in (b"a", b"b" * 100_000, b"c"):
        words.put(word)
        assert next(answers) == word.upper()
    words.put(None)
    assert list(answers) == []


def failed(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def errors(channel):
    why = "nothing there: 100 %, \u00fc\u4e2d"
    fail = method(channel, "unary_unary", "Fail")
    error = failed(lambda: fail(why.encode(), timeout=PATIENCE))
    assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == why, error
    assert dict(error.trailing_metadata())["x-why"] == "nobody knows"
    error = failed(lambda: method(channel, "unary_unary", "Other")(b"", timeout=PATIENCE))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    # The connection goes on.
    assert method(channel, "unary_unary", "Echo")(b"x", timeout=PATIENCE) == b"x"


def deadlines(channel):
    remaining = method(channel, "unary_unary", "Remaining")
    assert remaining(b"") == b"none"
    left = float(remaining(b"", timeout=15))
    assert 0 < left < 16, left
    hang, given_up = method(channel, "unary_stream", "Hang"), method(channel, "unary_unary", "GivenUp")
    error = failed(lambda: list(hang(b"", timeout=0.5)))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert given_up(b"1", timeout=PATIENCE) == b"1"
    # Who gives up a call half-way is heard at the other end.
    call = hang(b"", timeout=PATIENCE)
    assert next(call) == b"first"
    call.cancel()
    assert given_up(b"2", timeout=PATIENCE) == b"2"


def told_less(channel):
    """The balancer holds the second call back; the server is told of the time that is left."""
    remaining = method(channel, "unary_unary", "Remaining")
    remaining(b"", timeout=PATIENCE)
    begun = time.monotonic()
    left = float(remaining(b"", timeout=PATIENCE))
    took = time.monotonic() - begun
    assert took > 0.5 and left < PATIENCE - 0.5, (left, took)


def unavailable(channel):
    error = failed(lambda: method(channel, "unary_unary", "Echo")(b"", timeout=PATIENCE))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error


what, port, authorities = sys.argv[1], sys.argv[2], sys.argv[3:]
options = [
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
]
if authorities:
    credentials = grpc.ssl_channel_credentials(open(authorities[0], "rb").read())
    options.append(("grpc.ssl_target_name_override", "shop.test"))
    channel = grpc.secure_channel("127.0.0.1:" + port, credentials, options)
else:
    channel = grpc.insecure_channel("127.0.0.1:" + port, options)
with channel:
    globals()[what](channel)
print("done", what)
