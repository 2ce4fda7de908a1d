#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server that shares no code with taio and misbehaves on request.

usage: peer.py BEHAVIOUR [ARGUMENT] [--port PORT] [--cert FILE --key FILE]

Writes its port as one line to standard output, serves 127.0.0.1 until standard input ends, then writes what it
has accepted and served as a line of JSON.

  echo                 sends back what it gets
  echo-stall SECONDS   the same, but the whole server sleeps once, a second after the first byte
  echo-corrupt N       changes a byte of the Nth message
  echo-close N         closes instead of answering the Nth message
  echo-reset N         resets instead of answering the Nth message
  echo-leave N         closes right after the Nth message of a connection
  slam                 closes every connection as soon as it is accepted
  mute                 reads and never answers
  extra                answers with one byte more than was sent
  idle SECONDS         closes a connection that long after its last byte
  stuck                accepts and never closes, not even after the peer's end
  full                 a listener whose backlog is full and that accepts nothing
  http                 200 with a Content-Length body
  http-chunked         200 with a chunked body, cut into single bytes
  http-eof             200 with a body that ends with the connection
  http-500 N           every Nth response is a 500
  http-close N         announces to close with the Nth response of a connection
  http-leave N         closes without notice right after the Nth response of a connection
  http-drop N          closes instead of the Nth response of a connection
  http-rst N           resets instead of the Nth response of a connection
  http-cut N           closes in the middle of the Nth response of a connection
  http-garbage         a response whose length is given twice, differently
"""
import argparse
import asyncio
import json
import os
import socket
import ssl
import struct
import sys
import time

BODY = b"x" * 1000


class Server:
    def __init__(self, behaviour, argument):
        self.behaviour = behaviour
        self.argument = argument
        self.messages = 0
        self.accepted = 0
        self.served = 0  # messages that were answered in full
        self.first = None
        self.stalled = False

    async def serve(self, reader, writer):
        self.accepted += 1
        try:
            if self.behaviour == "slam":
                return
            handler = self.http if self.behaviour.startswith("http") else self.stream
            await handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def due(self):
        self.messages += 1
        return self.argument and self.messages == int(self.argument)

    @staticmethod
    def reset(writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def stream(self, reader, writer):
        count = 0
        while True:
            timeout = self.argument if self.behaviour == "idle" else None
            try:
                data = await asyncio.wait_for(reader.read(65536), timeout)
            except asyncio.TimeoutError:
                return
            if not data and self.behaviour == "stuck":
                await asyncio.sleep(3600)
            if not data or not await self.respond(data, writer):
                return
            self.served += 1
            count += 1
            if self.behaviour == "echo-leave" and count == self.argument:
                return

    async def respond(self, data, writer):
        kind = self.behaviour
        if kind == "mute":
            return True
        if kind == "echo-stall":
            self.stall()
        due = kind in ("echo-corrupt", "echo-close", "echo-reset") and self.due()
        if due and kind == "echo-corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif due and kind == "echo-reset":
            self.reset(writer)
            return False
        elif due:
            return False
        writer.write(data + b"!" if kind == "extra" else data)
        await writer.drain()
        return True

    def stall(self):
        now = time.monotonic()
        self.first = self.first or now
        if not self.stalled and now - self.first >= 1:
            self.stalled = True
            time.sleep(self.argument)

    async def http(self, reader, writer):
        count = 0
        while True:
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            self.messages += 1
            if not await self.http_response(writer, count):
                return
            self.served += 1
            if self.behaviour == "http-leave" and count == self.argument:
                return

    async def http_response(self, writer, count):
        kind, nth = self.behaviour, int(self.argument or 0)
        if kind == "http-chunked":
            text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nT: t\r\n\r\n"
            for i in range(len(text)):
                writer.write(text[i:i + 1])
                await asyncio.sleep(0)
        elif kind == "http-eof":
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
            return False
        elif kind in ("http-drop", "http-rst", "http-cut") and count == nth:
            if kind == "http-rst":
                self.reset(writer)
            elif kind == "http-cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:-1])
            return False
        elif kind == "http-garbage":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
        else:
            bad = kind == "http-500" and self.messages % nth == 0
            last = kind == "http-close" and count == nth
            writer.write(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (
                b"500 Sorry" if bad else b"200 OK", b"Connection: close\r\n" if last else b"", len(BODY)) + BODY)
            if last:
                await writer.drain()
                self.served += 1
                return False
        await writer.drain()
        return True


def full_listener():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fill = []
    for _ in range(4):
        conn = socket.socket()
        conn.setblocking(False)
        conn.connect_ex(sock.getsockname())
        fill.append(conn)
    return sock, fill


async def wait_for_end():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def main(args):
    if args.behaviour == "full":
        sock, fill = full_listener()
        print(sock.getsockname()[1], flush=True)
        await wait_for_end()
        return
    context = None
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
    server = Server(args.behaviour, args.argument)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", args.port, ssl=context, backlog=1024)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await wait_for_end()
    print(json.dumps({"accepted": server.accepted, "served": server.served}), flush=True)
    os._exit(0)  # at once, so that nothing is served after it was counted


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    parser.add_argument("argument", nargs="?", type=float)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    asyncio.run(main(parser.parse_args()))
    # Handlers that are meant to hang must not keep the process.
    sys.exit(0)
