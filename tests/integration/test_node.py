# SPDX-License-Identifier: Apache-2.0
"""A real node runs: code that it makes while it runs, threads, WebAssembly. Whatever a unit or
a filter says about memory that is written and then executed, dynos inherit."""

import json

from dynod_testing import http_get, time_factor

# What V8 compiled is called, and says so by itself (node --allow-natives-syntax).
JIT = """\
const add = (a, b) => a + b;
%PrepareFunctionForOptimization(add);
add(1, 2);
%OptimizeFunctionOnNextCall(add);
const sum = add(40, 2);
const optimized = 1 << 4;
module.exports = { sum, compiled: (%GetOptimizationStatus(add) & optimized) !== 0 };
"""
SERVER = """\
const http = require('http');
const { Worker } = require('worker_threads');
const jit = require('./jit.js');
// (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
const code = Buffer.from('0061736d0100000001070160027f7f017f03020100070701036164640000' +
                         '0a09010700200020016a0b', 'hex');
const wasm = new WebAssembly.Instance(new WebAssembly.Module(code)).exports.add(2, 3);
const worker = new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true });
worker.on('message', (answer) => http.createServer((request, response) => {
    response.end(JSON.stringify({ ...jit, wasm, worker: answer }));
}).listen(process.env.PORT));
"""


def test_node_runs(daemon, app, slug):
    daemon.ok("deploy", slug({"Procfile": "web: node --allow-natives-syntax server.js\n",
                              "server.js": SERVER, "jit.js": JIT}), "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    answer = http_get(daemon.dyno(app, "web.1"), timeout=30 * time_factor())
    assert answer == (200, {"sum": 42, "compiled": True, "wasm": 5, "worker": 42})
    # The control: without compiled code it says so.
    done = daemon.run(app, "node", "--allow-natives-syntax", "--jitless", "-p",
                      "JSON.stringify(require('/app/jit.js'))", timeout=60)
    assert json.loads(done.stdout) == {"sum": 42, "compiled": False}, done.stdout + done.stderr


def test_who_gives_way_runs_and_stays_as_it_was(daemon, app, slug):
    """nice(1) and os.setPriority() are told that they did, and all threads of a dyno weigh the same."""
    daemon.ok("deploy", slug({"Procfile": "worker: sleep 1000\n"}), "-a", app, timeout=120)
    script = "const os = require('os'); os.setPriority(19); console.log('node', os.getPriority())"
    done = daemon.run(app, "bash", "-c", f'echo nice $(nice -n 7 nice); nice -n 7 node -e "{script}"', timeout=60)
    assert done.stdout.split() == ["nice", "0", "node", "0"], done.stdout + done.stderr
