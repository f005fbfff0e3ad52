// What clients see when backends fail: the table of gateways.md, section 4.

import assert from "node:assert/strict";
import { DEFAULT_LIMITS, DEFAULT_RETRY } from "../../../src/model/mod.ts";
import {
  closedPort,
  connect,
  destination,
  forward,
  get,
  raw,
  route,
  ScriptedBackend,
  virtualHost,
  withBackend,
  withLab,
} from "./support.ts";

/** Status line, body and log line of one GET. */
async function outcome(
  resources: Parameters<typeof withLab>[0]["resources"],
  destinations: Parameters<typeof withLab>[0]["destinations"],
  headers: Record<string, string> = {},
): Promise<{ answer: string; status: string; body: string; log: string }> {
  let result!: { answer: string; status: string; body: string; log: string };
  await withLab({ resources, destinations }, async (lab) => {
    const answer = await get(lab.port, "/x", headers);
    const cut = answer.indexOf("\r\n\r\n");
    result = { answer, status: answer.slice(9, 12), body: answer.slice(cut + 4), log: lab.log[0] };
  });
  return result;
}

const toWeb = (extra: object = {}) => [virtualHost([route(forward(["web"], extra))])];

Deno.test("failures: no route is 404 without body and type", async () => {
  const { status, body, answer, log } = await outcome([], []);
  assert.equal(status, "404");
  assert.equal(body, "");
  assert.doesNotMatch(answer, /content-type/);
  assert.match(log, / 404 NR route_not_found - "-" 0 0 .* - -?\d* ?-?/);
});

Deno.test("failures: an unknown cluster is 503 without body", async () => {
  const { status, body, log } = await outcome(toWeb(), []);
  assert.equal(status, "503");
  assert.equal(body, "");
  assert.match(log, / 503 NC cluster_not_found /);
});

Deno.test("failures: a backend that is not valid, and no weights at all, are 500", async () => {
  for (
    const destinations of [
      [{ destination: "gone", weight: 1, invalid: 500 }],
      [{ destination: "gone", weight: 0 }],
      [],
    ]
  ) {
    const { status, body, log } = await outcome([virtualHost([route(forward(destinations))])], []);
    assert.equal(status, "500");
    assert.equal(body, "");
    assert.match(log, / 500 - direct_response /);
  }
});

Deno.test("failures: no endpoints is 503 no healthy upstream", async () => {
  const { status, body, log } = await outcome(toWeb(), [destination("web", [])]);
  assert.equal(status, "503");
  assert.equal(body, "no healthy upstream");
  assert.match(log, / 503 UH no_healthy_upstream /);
});

Deno.test("failures: a refused connection is 503 UF", async () => {
  const { status, body, log, answer } = await outcome(toWeb(), [destination("web", [closedPort()])]);
  assert.equal(status, "503");
  assert.equal(
    body,
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
  );
  assert.match(answer, /content-type: text\/plain/);
  assert.match(log, / 503 UF upstream_reset_before_response_started\{remote_connection_failure\} /);
});

Deno.test("failures: retries used up say so", async () => {
  const { status, body, log } = await outcome(toWeb({ retry: DEFAULT_RETRY }), [destination("web", [closedPort()])]);
  assert.equal(status, "503");
  assert.equal(
    body,
    "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure",
  );
  assert.match(log, / 503 URX,UF /);
});

Deno.test("failures: a connection that ends before the answer is 503 UC", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.close();
  });
  try {
    const { status, body, log } = await outcome(toWeb(), [destination("web", [backend.port])]);
    assert.equal(status, "503");
    assert.equal(
      body,
      "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
    );
    assert.match(log, / 503 UC upstream_reset_before_response_started\{connection_termination\} /);
  } finally {
    await backend.close();
  }
});

Deno.test("failures: an answer that is no HTTP is 502 UPE", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send("SSH-2.0-OpenSSH_9.6\r\n\r\n");
  });
  try {
    const { status, log } = await outcome(toWeb(), [destination("web", [backend.port])]);
    assert.equal(status, "502");
    assert.match(log, / 502 UPE upstream_reset_before_response_started\{protocol_error\} /);
  } finally {
    await backend.close();
  }
});

Deno.test("failures: a full circuit breaker is 503 UO with x-envoy-overloaded", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ ended }) => ended);
  });
  try {
    const limits = { ...DEFAULT_LIMITS, maxRequests: 1 };
    await withLab(
      { resources: toWeb(), destinations: [destination("web", [backend.port], { limits })] },
      async (lab) => {
        const first = await connect(lab.port);
        await first.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        const deadline = performance.now() + 5000;
        while (backend.peers[0]?.received.includes("\r\n\r\n") !== true && performance.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        const answer = await get(lab.port, "/");
        assert.match(answer, /^HTTP\/1.1 503 /);
        assert.match(answer, /\r\nx-envoy-overloaded: true\r\n/);
        assert.ok(answer.endsWith("disconnect/reset before headers. reset reason: overflow"), answer);
        assert.match(lab.log[0], / 503 UO upstream_reset_before_response_started\{overflow\} /);
        await first.close();
      },
    );
  } finally {
    await backend.close();
  }
});

Deno.test("failures: a request that takes too long is 504 UT", async () => {
  const backend = new ScriptedBackend(async (peer) => void await peer.until(({ ended }) => ended));
  try {
    const { status, body, log } = await outcome(toWeb({ timeoutMs: 200 }), [destination("web", [backend.port])]);
    assert.equal(status, "504");
    assert.equal(body, "upstream request timeout");
    assert.match(log, / 504 UT response_timeout /);
    assert.match(backend.peers[0].received, /\r\nx-envoy-expected-rq-timeout-ms: 200\r\n/);
  } finally {
    await backend.close();
  }
});

Deno.test("failures: the same to gRPC clients is 200 with grpc-status", async () => {
  const headers = { "content-type": "application/grpc", te: "trailers" };
  const cases: [Parameters<typeof outcome>[0], string, string][] = [
    [[], "12", ""],
    [toWeb(), "14", "no healthy upstream"],
  ];
  for (const [resources, grpcStatus, message] of cases) {
    const { status, body, answer } = await outcome(resources, [destination("web", [])], headers);
    assert.equal(status, "200");
    assert.equal(body, "");
    assert.match(answer, new RegExp(`\\r\\ngrpc-status: ${grpcStatus}\\r\\n`));
    assert.match(answer, /\r\ncontent-type: application\/grpc\r\n/);
    if (message !== "") assert.match(answer, new RegExp(`\\r\\ngrpc-message: ${message}\\r\\n`));
  }
});

Deno.test("failures: a backend that breaks off its answer breaks off ours", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
    await peer.close();
  });
  try {
    await withLab({ resources: toWeb(), destinations: [destination("web", [backend.port])] }, async (lab) => {
      const answer = await raw(lab.port, "GET / HTTP/1.1\r\nhost: web\r\n\r\n");
      assert.ok(answer.endsWith("\r\n\r\nonly this"), answer);
      assert.match(lab.log[0], / 200 UC upstream_reset_after_response_started\{connection_termination\} /);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("failures: a client that goes away is DC, and its backend hears of it", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nsome");
    for (let i = 0; i < 1000 && !peer.ended; i++) {
      await new Promise((go) => setTimeout(go, 5));
      await peer.send("more");
    }
  });
  try {
    await withLab({ resources: toWeb(), destinations: [destination("web", [backend.port])] }, async (lab) => {
      const client = await Deno.connect({ hostname: "127.0.0.1", port: lab.port });
      await client.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: web\r\n\r\n"));
      const deadline = performance.now() + 5000;
      while (!([...lab.exchanges.records()][0]?.bytesSent >= 4) && performance.now() < deadline) {
        await new Promise((go) => setTimeout(go, 2));
      }
      client.close();
      await backend.peers[0].until(({ ended }) => ended, "the backend's connection to end");
      assert.match(lab.log[0], /"GET \/ HTTP\/1.1" 200 DC downstream_remote_disconnect /);
      assert.equal(lab.exchanges.active, 0);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("failures: a stream on which nothing moves is given up", async () => {
  const backend = new ScriptedBackend(async (peer) => void await peer.until(({ ended }) => ended));
  try {
    await withLab({
      resources: toWeb(),
      destinations: [destination("web", [backend.port])],
      idleTimeoutMs: 150,
    }, async (lab) => {
      const answer = await get(lab.port, "/");
      assert.match(answer, /^HTTP\/1.1 504 /);
      assert.ok(answer.endsWith("stream timeout"));
      assert.match(lab.log[0], / 504 SI stream_idle_timeout /);
      const upload = await raw(lab.port, "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 10\r\n\r\nabc");
      assert.match(upload, /^HTTP\/1.1 408 /);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("failures: paths that cannot be normalised are 400", async () => {
  await withBackend(() => new Response("reached"), async (port) => {
    await withLab({ resources: toWeb(), destinations: [destination("web", [port])] }, async (lab) => {
      for (const path of ["/a%00b", "/a#b"]) {
        assert.match(await get(lab.port, path), /^HTTP\/1.1 400 /, path);
      }
    });
  });
});

Deno.test("failures: what the codec refuses is logged and counted", async () => {
  await withLab({ resources: toWeb() }, async (lab) => {
    assert.match(await raw(lab.port, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"), /^HTTP\/1.1 400 /);
    assert.match(lab.log[0], /^\[[^\]]+\] "- - -" 400 DPE codec_error\{\w+\} /);
    assert.match(
      lab.registry.expose(),
      /istio_requests_total\{[^}]*response_code="400",grpc_response_status="",response_flags="DPE"/,
    );
  });
});
