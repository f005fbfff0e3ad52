import assert from "node:assert/strict";
import { DEFAULT_LIMITS, DEFAULT_RETRY, type RetryPolicy } from "../../../src/model/mod.ts";
import {
  closedPort,
  connect,
  destination,
  forward,
  get,
  raw,
  type RawPeer,
  route,
  ScriptedBackend,
  virtualHost,
  withLab,
} from "./support.ts";

const retrying = (extra: Partial<RetryPolicy>): RetryPolicy => ({ ...DEFAULT_RETRY, backoffMs: 1, ...extra });
const toWeb = (retry: RetryPolicy, extra: object = {}) => [virtualHost([route(forward(["web"], { retry, ...extra }))])];

/** Answers requests of any connection in order; `null` ends the connection instead. */
function answering(answers: readonly (string | null)[], bodies: string[] = []): ScriptedBackend {
  let next = 0;
  return new ScriptedBackend(async (peer) => {
    for (let seen = 0;;) {
      await peer.until(({ received, ended }) => ended || complete(received.slice(seen)) > 0);
      const length = complete(peer.received.slice(seen));
      if (length === 0) return;
      bodies.push(peer.received.slice(seen, seen + length));
      seen += length;
      const answer = answers[next++];
      if (answer === null || answer === undefined) return void await peer.close();
      await peer.send(answer);
    }
  });
}

/** Length of the first whole request in `text`; 0 while it is not whole. */
function complete(text: string): number {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  const head = text.slice(0, end).toLowerCase();
  if (head.includes("transfer-encoding: chunked")) {
    const last = text.indexOf("0\r\n\r\n", end + 4);
    return last < 0 ? 0 : last + 5;
  }
  const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
  return text.length >= end + 4 + length ? end + 4 + length : 0;
}

const answer = (status: number, body = "") => `HTTP/1.1 ${status} X\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

const CASES: {
  name: string;
  retry: Partial<RetryPolicy>;
  answers: (string | null)[];
  status: number;
  attempts: number;
}[] = [
  { name: "5xx", retry: { on: ["5xx"] }, answers: [answer(500), answer(200)], status: 200, attempts: 2 },
  {
    name: "gateway-error takes 503",
    retry: { on: ["gateway-error"] },
    answers: [answer(503), answer(200)],
    status: 200,
    attempts: 2,
  },
  {
    name: "gateway-error leaves 500",
    retry: { on: ["gateway-error"] },
    answers: [answer(500)],
    status: 500,
    attempts: 1,
  },
  {
    name: "retriable-4xx takes 409",
    retry: { on: ["retriable-4xx"] },
    answers: [answer(409), answer(200)],
    status: 200,
    attempts: 2,
  },
  {
    name: "status codes",
    retry: { on: [], statusCodes: [418] },
    answers: [answer(418), answer(200)],
    status: 200,
    attempts: 2,
  },
  {
    name: "a bare code among the conditions",
    retry: { on: ["429"] },
    answers: [answer(429), answer(200)],
    status: 200,
    attempts: 2,
  },
  { name: "reset", retry: { on: ["reset"] }, answers: [null, answer(200)], status: 200, attempts: 2 },
  { name: "the default leaves an ended connection", retry: {}, answers: [null], status: 503, attempts: 1 },
  {
    name: "no more than retries",
    retry: { on: ["5xx"], retries: 2 },
    answers: [answer(500), answer(502), answer(503)],
    status: 503,
    attempts: 3,
  },
];

for (const { name, retry, answers, status, attempts } of CASES) {
  Deno.test(`retry: ${name}`, async () => {
    const seen: string[] = [];
    const backend = answering(answers, seen);
    try {
      await withLab(
        { resources: toWeb(retrying(retry)), destinations: [destination("web", [backend.port])] },
        async (lab) => {
          assert.match(await get(lab.port, "/"), new RegExp(`^HTTP/1.1 ${status} `));
          assert.equal(seen.length, attempts);
          seen.forEach((request, i) => assert.match(request, new RegExp(`x-envoy-attempt-count: ${i + 1}\\r\\n`)));
          if (status === 503 && attempts === 3) assert.match(lab.log[0], / 503 URX via_upstream /);
        },
      );
    } finally {
      await backend.close();
    }
  });
}

Deno.test("retry: another host is chosen than the one that failed", async () => {
  const backend = answering([answer(200, "here"), answer(200, "here"), answer(200, "here"), answer(200, "here")]);
  try {
    await withLab({
      resources: toWeb(retrying({})),
      destinations: [destination("web", [closedPort(), backend.port])],
    }, async (lab) => {
      for (let i = 0; i < 4; i++) assert.match(await get(lab.port, "/"), /here$/);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: a short body is sent again, whole", async () => {
  for (const chunked of [false, true]) {
    const seen: string[] = [];
    const backend = answering([answer(500), null, answer(200, "done")], seen);
    try {
      await withLab({
        resources: toWeb(retrying({ on: ["5xx"], retries: 3 })),
        destinations: [destination("web", [backend.port])],
      }, async (lab) => {
        const body = chunked
          ? "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
          : "content-length: 11\r\n\r\nhello world";
        const result = await raw(lab.port, `POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${body}`);
        assert.match(result, /done$/);
        assert.equal(seen.length, 3);
        for (const request of seen) {
          assert.equal(
            request.replace(/^[\s\S]*?\r\n\r\n/, "").replace(/^[0-9a-f]+\r\n/gm, "").replaceAll("\r\n", ""),
            "hello world",
            request,
          );
        }
        assert.match(lab.log[0], / 11 4 /);
      });
    } finally {
      await backend.close();
    }
  }
});

Deno.test("retry: a body that is still coming is sent on to the next attempt", async () => {
  const seen: string[] = [];
  let index = 0;
  const backend = new ScriptedBackend(async (peer: RawPeer) => {
    if (index++ === 0) {
      await peer.until(({ received }) => received.includes("first"));
      return void await peer.send(answer(503)), await peer.close();
    }
    await peer.until(({ received }) => received.includes("second"));
    seen.push(peer.received);
    await peer.send(answer(200, "both"));
  });
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["5xx"] })),
      destinations: [destination("web", [backend.port])],
    }, async (lab) => {
      const client = await connect(lab.port);
      await client.send("POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: 11\r\n\r\nfirst");
      const deadline = performance.now() + 5000;
      while (backend.peers.length < 2 && performance.now() < deadline) await new Promise((go) => setTimeout(go, 2));
      await client.send("second");
      await client.until(({ ended }) => ended);
      assert.match(client.received, /both$/);
      assert.match(seen[0], /firstsecond$/);
      await client.close();
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: a body beyond the buffer is not sent again", async () => {
  const body = "x".repeat(70_000);
  for (const framing of ["length", "chunked"]) {
    const seen: string[] = [];
    const backend = answering([answer(500, "no"), answer(200)], seen);
    try {
      await withLab({
        resources: toWeb(retrying({ on: ["5xx"] })),
        destinations: [destination("web", [backend.port])],
      }, async (lab) => {
        const rest = framing === "length"
          ? `content-length: ${body.length}\r\n\r\n${body}`
          : `transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
        const result = await raw(lab.port, `POST / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n${rest}`);
        assert.match(result, /^HTTP\/1.1 500 [\s\S]*no$/);
        assert.equal(seen.length, 1);
        assert.equal(seen[0].match(/x+(?=\r\n|$)/g)!.join("").length >= 70_000, true);
      });
    } finally {
      await backend.close();
    }
  }
});

Deno.test("retry: an attempt that takes too long is given up and made again", async () => {
  let index = 0;
  const backend = new ScriptedBackend(async (peer) => {
    if (index++ === 0) return void await peer.until(({ ended }) => ended);
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send(answer(200, "second"));
  });
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["5xx"], perTryTimeoutMs: 400 }), { timeoutMs: 10_000 }),
      destinations: [destination("web", [backend.port])],
    }, async (lab) => {
      assert.match(await get(lab.port, "/"), /second$/);
      assert.match(backend.peers[0].received, /x-envoy-expected-rq-timeout-ms: 400\r\n/);
      await backend.peers[0].until(({ ended }) => ended, "the first attempt to be given up");
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: per-try time-outs that use everything up are 504", async () => {
  const backend = new ScriptedBackend(async (peer) => void await peer.until(({ ended }) => ended));
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["gateway-error"], perTryTimeoutMs: 20, retries: 1 })),
      destinations: [destination("web", [backend.port])],
    }, async (lab) => {
      assert.match(await get(lab.port, "/"), /^HTTP\/1.1 504 [\s\S]*upstream request timeout$/);
      assert.match(lab.log[0], / 504 URX,UT upstream_per_try_timeout /);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: a destination with as many retries as it may have gets no more", async () => {
  const seen: string[] = [];
  const backend = answering([answer(503, "first"), answer(200)], seen);
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["5xx"] })),
      destinations: [destination("web", [backend.port], { limits: { ...DEFAULT_LIMITS, maxRetries: 0 } })],
    }, async (lab) => {
      assert.match(await get(lab.port, "/"), /^HTTP\/1.1 503 [\s\S]*first$/);
      assert.match(lab.log[0], / 503 UO via_upstream /);
      assert.equal(seen.length, 1);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: one attempt that may be made has a time, too", async () => {
  const backend = new ScriptedBackend(async (peer) => void await peer.until(({ ended }) => ended));
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["5xx"], perTryTimeoutMs: 50, retries: 0 })),
      destinations: [destination("web", [backend.port])],
    }, async (lab) => {
      assert.match(await get(lab.port, "/"), /^HTTP\/1.1 504 [\s\S]*upstream request timeout$/);
      assert.match(lab.log[0], / 504 UT upstream_per_try_timeout /);
    });
  } finally {
    await backend.close();
  }
});

Deno.test("retry: a request time-out ends waiting between attempts, too", async () => {
  const backend = answering([answer(503), answer(503), answer(503), answer(503)]);
  try {
    await withLab({
      resources: toWeb(retrying({ on: ["5xx"], retries: 3, backoffMs: 60_000 }), { timeoutMs: 50 }),
      destinations: [destination("web", [backend.port])],
      random: () => 0.9,
    }, async (lab) => {
      assert.match(await get(lab.port, "/"), /^HTTP\/1.1 504 /);
      assert.equal(lab.exchanges.active, 0);
    });
  } finally {
    await backend.close();
  }
});
