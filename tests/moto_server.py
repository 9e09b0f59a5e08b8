"""A moto server on a free port of loopback: AWS for the unit tests of adapters.

A process of its own, run by the desk's Python, because moto pulls in versions of shared libraries that the product
never meets on AWS. Prints one JSON line, `{"endpoint": …}`, once it answers, and ends when its standard input does.
"""

import json
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until the parent goes away."""
    aws = DomainDispatcherApplication(create_backend_app)
    server = make_server(LOOPBACK, 0, aws, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"endpoint": f"http://{LOOPBACK}:{server.server_port}"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
