"""A server of gRPC's own, with messages that are bytes: `grpc_server.py [CHAIN KEY]` says its port."""

import sys
import threading
from concurrent import futures

import grpc

cancelled = 0
seen = threading.Condition()


def echo(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-first", metadata.get("x-asked", "")),))
    context.set_trailing_metadata((("x-last-bin", request[:4]),))
    return request


def fail(request, context):
    context.set_trailing_metadata((("x-why", "nobody knows"),))
    context.abort(grpc.StatusCode.NOT_FOUND, request.decode())


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def add(requests, context):
    return b"%d" % sum(int(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request.upper()


def hang(request, context):
    """Answers once, and then waits until the client has had enough."""

    def over():
        global cancelled
        with seen:
            cancelled += 1
            seen.notify_all()

    gone = threading.Event()
    context.add_callback(over)
    context.add_callback(gone.set)
    yield b"first"
    gone.wait(30)


def given_up(request, context):
    """Waits until so many calls of `Hang` were given up."""
    with seen:
        seen.wait_for(lambda: cancelled >= int(request), timeout=15)
        return b"%d" % cancelled


def remaining(request, context):
    left = context.time_remaining()
    return b"none" if left is None or left > 1e6 else b"%f" % left


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Add": grpc.stream_unary_rpc_method_handler(add),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Hang": grpc.unary_stream_rpc_method_handler(hang),
    "GivenUp": grpc.unary_unary_rpc_method_handler(given_up),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=64),
    options=[("grpc.max_receive_message_length", 8 << 20), ("grpc.so_reuseport", 0)],
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", METHODS),))
if len(sys.argv) > 2:
    chain, key = (open(path, "rb").read() for path in sys.argv[1:3])
    credentials = grpc.ssl_server_credentials([(key, chain)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
