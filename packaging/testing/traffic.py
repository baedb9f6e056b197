"""An API on loopback, and its clients."""

import http.client
import http.server
import threading
import time

ORIGIN = 9000
# Of a stream, and the seconds between two of them: longer than any upgrade takes.
EVENTS = 100
PAUSE = 0.1


class Api(http.server.BaseHTTPRequestHandler):
    """Answers with a stream of events, or with one line."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        if self.path != "/stream":
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")
            return
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(EVENTS):
            event = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(PAUSE)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def start_api(port=ORIGIN):
    """Returns the port, which is another if it is 0."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def get(path, port=8080):
    """The status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def status(path, port=8080):
    """The status, or None while no one listens."""
    try:
        return get(path, port)[0]
    except OSError:
        return None


class Stream(threading.Thread):
    """A stream that runs while something else happens. `finish` says how it went."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.begun, self.body, self.fault = path, threading.Event(), b"", None
        self.start()
        assert self.begun.wait(10), "the stream did not begin"

    def run(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
            connection.request("GET", self.path)
            response = connection.getresponse()
            while data := response.read1():
                self.body += data
                self.begun.set()
        except (OSError, http.client.HTTPException) as error:
            self.fault = repr(error)

    def finish(self):
        self.join(60)
        events = self.body.count(b"data: ")
        assert self.fault is None and events == EVENTS, f"{events} events, {self.fault}"


class Visitors(threading.Thread):
    """Clients that connect anew all the time. `finish` says that each was served."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ended, self.served, self.faults = path, threading.Event(), 0, []
        self.start()

    def run(self):
        while not self.ended.wait(0.01):
            try:
                found = get(self.path)[0]
                assert found == 200, found
                self.served += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.faults.append(repr(error))

    def finish(self):
        self.ended.set()
        self.join(30)
        assert self.served > 0 and not self.faults, f"{self.served} served, {self.faults}"
        return self.served
