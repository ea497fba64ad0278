"""The proxy does to bytes what it is told to, and nothing else."""

import os
import pathlib
import select
import socket
import time
import unittest

from network import Network

BIN = pathlib.Path(os.environ["PBFT_BIN"])
LONG = 60  # seconds; bounds a broken run only


class Proxy(unittest.TestCase):
    def setUp(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(LONG)
        self.addCleanup(self.server.close)
        self.network = Network(BIN / "chaos_proxy", 7)
        self.addCleanup(self.network.close)
        self.port = self.network.link("a", "b", self.server.getsockname()[1])

    def connect(self):
        """Both ends of a connection of a to b."""
        near = socket.create_connection(("127.0.0.1", self.port), timeout=LONG)
        self.addCleanup(near.close)
        far, _ = self.server.accept()
        far.settimeout(LONG)
        self.addCleanup(far.close)
        return near, far

    def receive(self, end, size):
        got = b""
        while len(got) < size:
            piece = end.recv(size - len(got))
            self.assertTrue(piece, "the connection has ended")
            got += piece
        return got

    def silent(self, end):
        """Nothing is there now, after everything that was done before has been seen by the proxy."""
        self.network.counts()
        return not select.select([end], [], [], 0)[0]

    def until_ended(self, end):
        got = b""
        try:
            while piece := end.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        return got

    def test_bytes_pass_both_ways(self):
        near, far = self.connect()
        data = os.urandom(1_000_000)
        near.sendall(data[:1000])
        self.assertEqual(self.receive(far, 1000), data[:1000])
        far.sendall(data[:50_000])
        self.assertEqual(self.receive(near, 50_000), data[:50_000])

    def test_a_hold_is_one_way_and_ends_with_everything_in_order(self):
        near, far = self.connect()
        near.sendall(b"before")
        self.receive(far, 6)
        self.network.rule("a", "b", held=True)
        near.sendall(b"held")
        far.sendall(b"not held")
        self.assertEqual(self.receive(near, 8), b"not held")
        self.assertTrue(self.silent(far))
        near.sendall(b" up")
        self.network.heal()
        self.assertEqual(self.receive(far, 7), b"held up")
        self.assertEqual(self.network.counts()["held"], 1)

    def test_who_sends_into_a_hold_gets_to_feel_it(self):
        near, far = self.connect()
        self.network.rule("a", "b", held=True)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        near.setblocking(False)
        sent = 0
        while sent < 64 << 20:
            if not select.select([], [near], [], 1)[1]:
                break
            sent += near.send(bytes(65536))
        self.assertLess(sent, 16 << 20)

    def test_a_delay_is_at_least_as_long_as_it_was_told_to_be(self):
        near, far = self.connect()
        self.network.rule("b", "a", delay_ms=200)
        start = time.monotonic()
        far.sendall(b"late")
        self.assertEqual(self.receive(near, 4), b"late")
        self.assertGreaterEqual(time.monotonic() - start, 0.2)
        self.assertEqual(self.network.counts()["delayed"], 1)

    def test_connections_are_reset_and_come_back(self):
        near, far = self.connect()
        self.network.drop("b", "a")
        self.assertEqual(self.until_ended(near), b"")
        self.assertEqual(self.until_ended(far), b"")
        near, far = self.connect()
        near.sendall(b"x")
        self.assertEqual(self.receive(far, 1), b"x")
        self.assertEqual(self.network.counts()["reset"], 1)

    def test_a_refusal_lasts_until_it_is_healed(self):
        near, far = self.connect()
        self.network.refuse("a", "b")
        self.assertEqual(self.until_ended(near), b"")
        try:
            refused = socket.create_connection(("127.0.0.1", self.port), timeout=LONG)
            self.addCleanup(refused.close)
            self.assertEqual(self.until_ended(refused), b"")
        except ConnectionResetError:
            pass  # the refusal was there before the connection was told to stand
        self.assertEqual(self.network.counts()["refused"], 1)
        self.network.heal()
        near, far = self.connect()
        near.sendall(b"x")
        self.assertEqual(self.receive(far, 1), b"x")

    def test_a_torn_connection_has_brought_a_part(self):
        near, far = self.connect()
        self.network.rule("a", "b", tear_per_mille=1000)
        data = os.urandom(20_000)
        near.sendall(data)
        got = self.until_ended(far)
        self.assertLess(len(got), len(data))
        self.assertTrue(data.startswith(got))
        self.assertEqual(self.until_ended(near), b"")
        self.assertEqual(self.network.counts()["torn"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
