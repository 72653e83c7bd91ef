"""A web server on loopback for the tests of `models get`: the files below a folder, and the same folder as a hub.

usage: model_server.py FOLDER PORT_FILE

Files: /files/PATH, with ranges and an ETag; /slow/PATH sends the first half and then nothing more.
Hub: every folder FOLDER/OWNER/NAME is a repository, with the API's list and its files under /OWNER/NAME/resolve/.
The port is written to PORT_FILE.
"""

import hashlib
import http.server
import json
import os
import sys
import time

COMMIT = "0123456789abcdef0123456789abcdef01234567"
root = os.path.realpath(sys.argv[1])


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] in ("files", "slow"):
            return self.send_file("/".join(parts[1:]), parts[0] == "slow")
        if parts[:2] == ["api", "models"] and len(parts) == 6 and parts[4] == "revision":
            return self.send_list(parts[2], parts[3])
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.send_file("/".join(parts[:2] + parts[4:]), False)
        self.send_error(404)

    def send_list(self, owner, name):
        folder = os.path.join(root, owner, name)
        if not os.path.isdir(folder):
            return self.send_error(404)
        files = []
        for file in sorted(os.listdir(folder)):
            data = open(os.path.join(folder, file), "rb").read()
            lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            files.append({"rfilename": file, "size": len(data), "lfs": lfs})
        text = json.dumps({"sha": COMMIT, "gated": False, "cardData": {"license": "mit"}, "siblings": files}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_file(self, path, slow):
        file = os.path.join(root, path)
        if not os.path.isfile(file):
            return self.send_error(404)
        data = open(file, "rb").read()
        etag = '"' + hashlib.md5(data).hexdigest() + '"'
        begin = 0
        if "Range" in self.headers and self.headers.get("If-Range") == etag:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if slow and not begin:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            time.sleep(30)
            return
        self.wfile.write(data[begin:])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(sys.argv[2] + ".new", sys.argv[2])
server.serve_forever()
