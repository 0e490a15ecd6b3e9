"""Connections that a web process keeps."""

import select
from typing import Any

import psycopg


class PooledConnection(psycopg.Connection[Any]):
    """Asked whether it still stands before each request, by the pool's empty statement, it answers without a round trip
    while its socket has nothing to say: a server that ended, or ended it, says so there."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        if query == "" and self._silent():
            return self.cursor()
        return super().execute(query, *arguments, **options)

    def _silent(self) -> bool:
        if self.closed or self.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN | select.POLLPRI)
        return not poll.poll(0)
