import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as dns from "dns-packet";
import { dnsResolver } from "../../../src/http/upstream/mod.ts";
import { bindUdp, type UdpSocket } from "../../../src/net/mod.ts";
import { withReactor } from "../../hbone/support.ts";

type Answers = Record<string, { type: "A" | "AAAA"; data: string; ttl: number }[] | "refuse">;

/** Runs with a name server on loopback that knows these names. */
async function withServer(answers: Answers, run: (address: string) => Promise<void>): Promise<void> {
  await withReactor(async (reactor) => {
    const socket: UdpSocket = bindUdp(reactor, { address: "127.0.0.1", port: 0 }, (bytes, from) => {
      const query = dns.decode(Buffer.from(bytes)), [question] = query.questions!;
      const known = Object.hasOwn(answers, question.name) ? answers[question.name] : undefined;
      const code = known === "refuse" ? 5 : known === undefined ? 3 : 0;
      const records = Array.isArray(known) ? known.filter(({ type }) => type === question.type) : [];
      socket.send(
        dns.encode({
          type: "response",
          id: query.id,
          flags: 0x0180 | code,
          questions: query.questions,
          answers: records.map((record) => ({ ...record, name: question.name })),
        }),
        from,
      );
    });
    try {
      await run(`127.0.0.1:${socket.local.port}`);
    } finally {
      socket.close();
    }
  });
}

Deno.test("dnsResolver(): both families, the shorter time to live, names without addresses, and refusals", async () => {
  const answers: Answers = {
    "both.example": [{ type: "A", data: "192.0.2.1", ttl: 60 }, { type: "AAAA", data: "2001:db8::1", ttl: 7 }],
    "six.example": [{ type: "AAAA", data: "2001:db8::2", ttl: 20 }],
    "none.example": [],
    "refused.example": "refuse",
  };
  await withServer(answers, async (server) => {
    const resolver = dnsResolver([server]);
    assert.deepEqual(await resolver.resolve("both.example"), { addresses: ["192.0.2.1", "2001:db8::1"], ttlMs: 7000 });
    assert.deepEqual(await resolver.resolve("six.example"), { addresses: ["2001:db8::2"], ttlMs: 20_000 });
    for (const name of ["none.example", "unknown.example", "refused.example"]) {
      await assert.rejects(resolver.resolve(name), { code: "name_not_resolved" }, name);
    }
  });
});
