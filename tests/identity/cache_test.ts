import assert from "node:assert/strict";
import { CertificateCache } from "../../src/identity/cache.ts";
import type { CertificateSource, WorkloadCertificate } from "../../src/identity/types.ts";
import type { SpiffeId } from "../../src/model/identity.ts";
import { settle, SettlingClock } from "./settling_clock.ts";
import { idOf, issueWorkload, LogLines, testCa, testLogger } from "./support.ts";

const HOUR = 3600_000, DAY = 24 * HOUR;

/** A CA whose answers the test gives one by one. */
class ManualSource implements CertificateSource {
  readonly calls: {
    id: SpiffeId;
    signal: AbortSignal;
    answer(ttlMs?: number): Promise<void>;
    refuse(why: string): Promise<void>;
  }[] = [];
  constructor(readonly clock: SettlingClock) {}

  fetch(id: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> {
    return new Promise((resolve, reject) => {
      this.calls.push({
        id,
        signal,
        answer: (ttlMs = DAY) => {
          resolve(certificate(id, this.clock, ttlMs, this.calls.length));
          return settle();
        },
        refuse: (why) => {
          reject(new Error(why));
          return settle();
        },
      });
    });
  }

  get ids(): SpiffeId[] {
    return this.calls.map(({ id }) => id);
  }
}

function certificate(id: SpiffeId, clock: SettlingClock, ttlMs: number, serial: number): WorkloadCertificate {
  return {
    id,
    chainPem: "",
    keyPem: "",
    rootsPem: "",
    leafDer: new Uint8Array(),
    notBefore: new Date(clock.now() - 120_000),
    notAfter: new Date(clock.now() + ttlMs),
    serial: String(serial),
  };
}

const A = idOf("ns", "a"), B = idOf("ns", "b");

function setup(options: { concurrency?: number } = {}) {
  const clock = new SettlingClock(), client = new ManualSource(clock), lines = new LogLines();
  const backoff = { initialMs: 1000, maxMs: 150_000, factor: 2, jitter: 0 };
  return {
    clock,
    client,
    lines,
    cache: new CertificateCache({ client, clock, backoff, logger: testLogger(lines), ...options }),
  };
}

Deno.test("CertificateCache.get() shares one request and then answers from memory", async () => {
  const { client, cache } = setup();
  const both = Promise.all([cache.get(A), cache.get(A)]);
  assert.equal(cache.current(A), undefined);
  assert.equal(client.calls.length, 1);
  await client.calls[0].answer();
  const [one, two] = await both;
  assert.equal(one, two);
  assert.equal(await cache.get(A), one);
  assert.equal(cache.current(A), one);
  assert.equal(client.calls.length, 1);
  cache.close();
});

Deno.test("CertificateCache renews at half of the life, counted from the backdated start", async () => {
  const { clock, client, cache } = setup();
  const seen: (string | undefined)[] = [];
  cache.onChange((_id, now) => seen.push(now?.serial));
  const first = cache.get(A);
  await client.calls[0].answer(DAY);
  await first;
  assert.equal(clock.nextIn, (DAY + 120_000) / 2 - 120_000);
  await clock.advance(clock.nextIn! - 1);
  assert.equal(client.calls.length, 1);
  await clock.advance(1);
  assert.equal(client.calls.length, 2);
  assert.equal(cache.current(A)?.serial, "1", "the old one serves meanwhile");
  await client.calls[1].answer();
  assert.equal(cache.current(A)?.serial, "2");
  assert.deepEqual(seen, ["1", "2"]);
  cache.close();
  assert.equal(clock.pending, 0);
});

Deno.test("CertificateCache serves an unexpired certificate while renewal fails, and retries no later than its end", async () => {
  const { clock, client, cache } = setup();
  const first = cache.get(A);
  await client.calls[0].answer(HOUR);
  const certificate = await first;
  for (let i = 1; cache.current(A); i++) {
    await clock.advance(clock.nextIn!);
    if (client.calls.length <= i) continue;
    assert.ok(clock.nextIn === undefined);
    await client.calls[i].refuse("down");
    if (cache.current(A)) {
      assert.equal(await cache.get(A), certificate);
      assert.ok(clock.now() + clock.nextIn! <= certificate.notAfter.getTime());
    }
  }
  assert.equal(clock.now(), certificate.notAfter.getTime());
  await assert.rejects(cache.get(A), /down/);
  assert.match(cache.dump()[0].state, /^Unavailable: down$/);
  cache.close();
});

Deno.test("CertificateCache backs off from 1 s to 150 s and answers waiting callers with the failure at once", async () => {
  const { clock, client, cache, lines } = setup();
  const waits: number[] = [];
  for (let attempt = 0; attempt < 10; attempt++) {
    const waiting = attempt === 0 ? cache.get(A) : undefined;
    const failed = waiting && assert.rejects(waiting, /no 0/);
    await client.calls[attempt].refuse(`no ${attempt}`);
    await failed;
    await assert.rejects(cache.get(A), new RegExp(`no ${attempt}`));
    assert.equal(client.calls.length, attempt + 1, "a caller does not shorten the wait");
    waits.push(clock.nextIn!);
    await clock.advance(clock.nextIn!);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000]);
  assert.ok(lines.has("no 3"));
  await client.calls[10].answer();
  assert.equal((await cache.get(A)).id, A);
  cache.close();
});

Deno.test("CertificateCache asks for at most 8 at a time, connections before prefetches before renewals", async () => {
  const { clock, client, cache } = setup();
  const ids = Array.from({ length: 12 }, (_, i) => idOf("ns", `w${i}`));
  ids.forEach((id) => cache.prefetch(id));
  cache.prefetch(ids[0]);
  assert.deepEqual(client.ids, ids.slice(0, 8));
  const urgent = [cache.get(A), cache.get(ids[11])];
  await client.calls[0].answer();
  assert.equal(client.ids[8], A);
  await client.calls[1].answer();
  assert.equal(client.ids[9], ids[11], "a waiting prefetch moves forward when a connection needs it");
  await client.calls[2].answer();
  assert.equal(client.ids[10], ids[8]);
  for (let i = 3; i < client.calls.length; i++) await client.calls[i].answer();
  await Promise.all(urgent);
  assert.equal(cache.size, 13);
  assert.equal(new Set(client.ids).size, client.ids.length);

  // At half-life everything renews; a new connection's identity goes before those in line.
  await clock.advance(clock.nextIn!);
  const started = client.calls.length;
  assert.equal(started, 13 + 8);
  void cache.get(B);
  await client.calls[13].answer();
  assert.equal(client.ids[started], B);
  for (let i = 14; i < client.calls.length; i++) await client.calls[i].answer();
  cache.close();
});

Deno.test("CertificateCache.forget() drops a certificate, its renewal and a request under way", async () => {
  const { clock, client, cache } = setup();
  const held = cache.get(A);
  await client.calls[0].answer();
  await held;
  const gone: SpiffeId[] = [];
  cache.onChange((id, certificate) => certificate === undefined && gone.push(id));
  cache.forget(A);
  assert.equal(cache.current(A), undefined);
  assert.equal(clock.pending, 0);

  const waiting = cache.get(B);
  const failed = assert.rejects(waiting, { code: "certificate_forgotten" });
  cache.forget(B);
  await failed;
  assert.ok(client.calls[1].signal.aborted);
  await client.calls[1].answer();
  assert.equal(cache.current(B), undefined);
  assert.deepEqual(gone, [A, B]);
  cache.forget(B);
  assert.equal(cache.size, 0);
  cache.close();
  await assert.rejects(cache.get(A), { code: "cache_closed" });
});

Deno.test("CertificateCache with a short life renews at half of what is left, not in a loop", async () => {
  const { clock, client, cache } = setup();
  const first = cache.get(A);
  await client.calls[0].answer(60_000);
  await first;
  assert.equal(clock.nextIn, 30_000);
  cache.close();
});

Deno.test("CertificateCache.dump() shows chain and roots without the key", async () => {
  const ca = await testCa(), id = A;
  const cache = new CertificateCache({ client: { fetch: () => issueWorkload(ca, id) } });
  const { serial, notAfter } = await cache.get(id);
  const [entry] = cache.dump();
  assert.equal(entry.identity, id);
  assert.equal(entry.state, "Available");
  assert.equal(entry.certChain.length, 1);
  assert.equal(entry.rootCerts.length, 1);
  assert.equal(entry.certChain[0].serialNumber, serial);
  assert.equal(entry.certChain[0].expirationTime, notAfter.toISOString());
  assert.match(atob(entry.rootCerts[0].pem), /^-----BEGIN CERTIFICATE-----/);
  assert.ok(!JSON.stringify(cache.dump()).includes("PRIVATE"));
  cache.close();
});
