# SPDX-License-Identifier: Apache-2.0
"""One ARI application over one WebSocket that this side opens: its events and its requests.

Dialling in with the name of an application takes it from whoever had it; Asterisk tells the other `ApplicationReplaced`.
Requests go over the same socket and are answered by their request_id, so a reply may stand between two events.
"""
import asyncio
import base64
import itertools
import json
import socket

import aiohttp

REQUEST_LIMIT_S = 5


class AriError(Exception):
    """Asterisk's answer to a request, when it is not 2xx. status 0: the socket went first, so it ran once or never."""

    def __init__(self, status, text):
        super().__init__(f"{status} {text}")
        self.status = status


class Ari:
    def __init__(self, url, user, password, app):
        self.app = app
        self._url = url.replace("http://", "ws://") + f"/events?app={app}"
        self._auth = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._ids = itertools.count(1)
        self._waiting = {}  # request_id -> future of the answer
        self._socket = None

    async def open(self, session, on_event):
        """Dials in. on_event(event) is called on the loop for each event, on_event(None) once when the socket has gone."""
        self._socket = await session.ws_connect(self._url, headers={"Authorization": self._auth}, compress=0, max_msg_size=0)
        self._raw = self._socket.get_extra_info("socket")
        self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = asyncio.get_running_loop().create_task(self._read(on_event))

    async def _read(self, on_event):
        try:
            async for message in self._socket:
                # Asterisk has Nagle on: two frames in a row would wait 40 ms for our delayed acknowledgement.
                self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if message.type != aiohttp.WSMsgType.TEXT:
                    continue
                event = json.loads(message.data)
                if event["type"] == "RESTResponse":
                    answer = self._waiting.pop(event["request_id"], None)
                    if answer and not answer.done():
                        answer.set_result(event)
                else:
                    on_event(event)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(AriError(0, "the socket has gone"))
            self._waiting.clear()
            on_event(None)

    async def request(self, method, uri, query=None, body=None):
        """Returns the parsed body of the answer, None when it has none."""
        if self._socket is None or self._socket.closed:
            raise AriError(0, "the socket has gone")
        request_id = str(next(self._ids))
        message = {"type": "RESTRequest", "request_id": request_id, "method": method, "uri": uri}
        if query:
            message["query_strings"] = [{"name": name, "value": str(value)} for name, value in query.items()]
        if body is not None:
            message["content_type"] = "application/json"
            message["message_body"] = json.dumps(body)
        answer = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send_str(json.dumps(message))
            event = await asyncio.wait_for(answer, REQUEST_LIMIT_S)
        except (ConnectionError, asyncio.TimeoutError) as error:
            raise AriError(0, repr(error)) from error
        finally:
            self._waiting.pop(request_id, None)
        text = event.get("message_body") or ""
        if event["status_code"] // 100 != 2:
            raise AriError(event["status_code"], f"{method} {uri}: {text or event['reason_phrase']}")
        return json.loads(text) if text else None

    async def close(self):
        if self._socket is not None:
            await self._socket.close()
            await asyncio.wait([self._reader])
