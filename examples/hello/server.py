# SPDX-License-Identifier: Apache-2.0
"""A small web app: says hello, and which dyno it is."""

import http.server
import os
import socket


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = (f"{os.environ['GREETING']} from {os.environ['DYNO']}, "
                f"user {os.getuid()}, host {socket.gethostname()}\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format, *args):
        print(f"{self.command} {self.path} from {self.client_address[0]}", flush=True)


port = int(os.environ["PORT"])
print(f"listening on {port}", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", port), Hello).serve_forever()
