#!/usr/bin/env python3
"""Draws the typewriter effect, docs/typewriter.svg: when each piece of one streamed answer reaches
a client through narrows, and through nginx as it is without `proxy_buffering off`.

    cargo build --release && benches/typewriter.py [--language en] [--output docs/typewriter.svg]

A stand-in for the API sends one answer over TLS, a token every 40 ms or so, in events as large as
those of real APIs. One client asks narrows and one asks nginx, one after the other, and notes when
each token comes. The picture plays those times, at their true speed. Needs Linux, Python 3, nginx.
"""

import argparse
import http.client
import http.server
import json
import os
import random
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from html import escape

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CERTIFICATE, KEY = f"{ROOT}/certs/authority.pem", f"{ROOT}/certs/authority.key"
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location /gpt/ {{
            proxy_pass https://localhost:{origin}/;
            proxy_ssl_server_name on;
            proxy_set_header Host localhost;
        }}
    }}
}}
"""
WORDS = {
    "en": dict(
        text="Where two coasts lean close to each other, the sea has to make up its mind. A whole "
        "ocean arrives, and what lets it through is a channel that a child could swim. Nothing is "
        "stored there and nothing is added: the water that enters is the water that leaves, in the "
        "same order, only faster. Sailors call such a place the narrows. They do not love it for "
        "its width. They love it because everything that is sent through it arrives.",
        narrows="narrows", nginx="nginx, as it comes", columns=44,
        title="One streamed answer, through narrows and through nginx as it comes",
        note="first text after {first:.1f} s, then {pieces} pieces, each as the API sends it",
        lumps="first text after {first:.1f} s, then {pieces} lumps",
    ),
    "zh": dict(
        text="两岸相望，海峡渐窄，浩荡的洋流到了这里，只剩一道孩子也能游过的水路。它不储存什么，也不添加什么："
        "流进来的水就是流出去的水，次序不变，只是更快。水手把这样的地方叫做海峡的咽喉。人们喜欢它，不是因为宽阔，"
        "而是因为每一样经过它的东西，都会到达。模型吐出一个字，读者就看见一个字，中间没有人攒着不发，"
        "也没有人替你删改。风从哪边来，浪就往哪边去；字从哪里来，就原样到你面前。",
        narrows="narrows", nginx="nginx 默认配置", columns=27,
        title="同一个流式回答：经过 narrows，经过默认配置的 nginx",
        note="{first:.1f} 秒后出第一个字，之后分 {pieces} 次到达，API 发一个到一个",
        lumps="{first:.1f} 秒后才有字，之后一共到达 {pieces} 次",
    ),
}
STYLE = """
  text { font: 13px ui-monospace, 'SF Mono', Menlo, Consolas, monospace; fill: #24292f; }
  .name { font: 600 15px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; }
  .note { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #6e7781; }
  .panel { fill: #8b949e; fill-opacity: 0.08; stroke: #8b949e; stroke-opacity: 0.4; }
  .bar { fill: #2f81f7; transform-origin: left; transform-box: fill-box; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .note { fill: #b7bfc8; } }
  @media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
"""
# Width and height of a panel, and the distance of lines, in pixels; and seconds of rest at the end.
WIDTH, HEIGHT, LINE, REST = 410, 292, 20, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", default=f"{ROOT}/target/release/narrows")
    parser.add_argument("--language", choices=WORDS, default="en")
    parser.add_argument("--output", default=f"{ROOT}/docs/typewriter.svg")
    arguments = parser.parse_args()
    words = WORDS[arguments.language]
    tokens = split(words["text"], arguments.language)
    with tempfile.TemporaryDirectory() as folder:
        with Origin(tokens) as origin:
            relay, other = free_port(), free_port()
            command = [arguments.narrows, "run", "--log-level=error", "--ca", CERTIFICATE,
                       "--listen", f"127.0.0.1:{relay}", f"/gpt/=https://localhost:{origin.port}/"]
            with Program(command, relay):
                through_narrows = arrivals(relay)
            with open(f"{folder}/conf", "w") as file:
                file.write(NGINX.format(folder=folder, port=other, origin=origin.port))
            with Program(["nginx", "-p", folder, "-c", f"{folder}/conf"], other):
                through_nginx = arrivals(other)
    with open(arguments.output, "w") as file:
        file.write(draw(words, through_narrows, through_nginx))
    for name, seen in [("narrows", through_narrows), ("nginx", through_nginx)]:
        print(f"{name}: first after {seen[0][0]:.2f} s, {pieces(seen)} pieces, "
              f"end after {seen[-1][0]:.2f} s")


def split(text, language):
    """What a model would send at a time: a word, or one to two characters."""
    if language == "zh":
        return [text[at:at + 2] for at in range(0, len(text), 2)]
    return [f"{it} " for it in text.split(" ")]


class Origin:
    """Sends the tokens as the chat completions of an API do, over TLS."""

    def __init__(self, tokens):
        self.tokens = tokens

    def __enter__(self):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                origin.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def answer(self, request):
        pace = random.Random(7)
        chunked = request.request_version == "HTTP/1.1"
        request.close_connection = not chunked
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream; charset=utf-8")
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        time.sleep(0.35)
        for part in [*map(event, self.tokens), b"data: [DONE]\n\n", b""]:
            time.sleep(pace.uniform(0.015, 0.075))
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)


def event(token):
    chunk = {"id": "chatcmpl-" + "9" * 29, "object": "chat.completion.chunk",
             "created": 1764200000, "model": "gpt-4o-mini-2024-07-18", "service_tier": "default",
             "system_fingerprint": "fp_0123456789",
             "choices": [{"index": 0, "delta": {"content": token}, "logprobs": None,
                          "finish_reason": None}], "usage": None, "obfuscation": "0" * 8}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


class Program:
    """A process that listens on `port`."""

    def __init__(self, command, port):
        self.command, self.port = command, port

    def __enter__(self):
        self.process = subprocess.Popen(self.command)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit(f"{self.command[0]} does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def arrivals(port):
    """Each token with the hundredths of a second from the request to its arrival."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    begun, buffer, seen = time.monotonic(), b"", []
    connection.request("GET", "/gpt/v1/chat/completions")
    response = connection.getresponse()
    while data := response.read1():
        at = round(time.monotonic() - begun, 2)
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                token = json.loads(line[6:])["choices"][0]["delta"]["content"]
                seen.append((at, token))
    return seen


def pieces(seen):
    return len({at for at, _ in seen})


def draw(words, through_narrows, through_nginx):
    end = max(through_narrows[-1][0], through_nginx[-1][0])
    period = end + REST
    frames, body = {}, []
    panels = [(words["narrows"], words["note"], through_narrows, 0),
              (words["nginx"], words["lumps"], through_nginx, WIDTH + 20)]
    for name, note, seen, left in panels:
        x = left + 16
        body.append(f"<rect x='{left + 1}' y='1' width='{WIDTH}' height='{HEIGHT}' rx='6' "
                    "class='panel'/>")
        body.append(f"<text x='{x}' y='27' class='name'>{name}</text>")
        body.append(f"<rect x='{x}' y='38' width='{WIDTH - 32}' height='2' class='bar'/>")
        for number, line in enumerate(lines(seen, words)):
            spans = "".join(span(at / period, text, frames) for at, text in line)
            body.append(f"<text x='{x}' y='{64 + LINE * number}'>{spans}</text>")
        shown = note.format(first=seen[0][0], pieces=pieces(seen))
        body.append(f"<text x='{x}' y='{HEIGHT - 12}' class='note'>{shown}</text>")
    width, height = 2 * WIDTH + 22, HEIGHT + 2
    return "\n".join([
        "<svg xmlns='http://www.w3.org/2000/svg' role='img' xml:space='preserve' "
        f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'>",
        f"<title>{words['title']}</title>",
        f"<style>{STYLE}", *rules(frames, end, period), "</style>", *body, "</svg>", ""])


def rules(frames, end, period):
    """The animations: a part appears at its share of the period, and the bar shows the time."""
    for share, name in frames.items():
        yield (f"  @keyframes {name} {{ 0% {{ fill-opacity: 0; }} "
               f"{share} {{ fill-opacity: 1; }} }}")
        yield f"  .{name} {{ animation: {name} {period:.2f}s step-end infinite; }}"
    full = 100 * end / period
    yield (f"  @keyframes bar {{ 0% {{ transform: scaleX(0); }} "
           f"{full:.2f}%, 100% {{ transform: scaleX(1); }} }}")
    yield f"  .bar {{ animation: bar {period:.2f}s linear infinite; }}"


def lines(seen, words):
    """The tokens in lines that fit a panel; what comes at the same time is one part."""
    found, used = [[]], 0
    for at, token in seen:
        if used + len(token.rstrip()) > words["columns"]:
            found.append([])
            used = 0
        if found[-1] and found[-1][-1][0] == at:
            found[-1][-1] = (at, found[-1][-1][1] + token)
        else:
            found[-1].append((at, token))
        used += len(token)
    return found


def span(share, text, frames):
    """A part of a line, which appears after this share of the period."""
    name = frames.setdefault(f"{100 * share:.2f}%", f"t{len(frames)}")
    return f"<tspan class='{name}'>{escape(text)}</tspan>"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
