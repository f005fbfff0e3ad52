import assert from "node:assert/strict";
import { Names } from "../../../src/http/upstream/names.ts";
import type { Destination } from "../../../src/model/mod.ts";
import type { HostResolver } from "../../../src/http/upstream/mod.ts";
import { Reactor } from "../../../src/net/mod.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { withReactor } from "../../hbone/support.ts";
import { testLogger } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { memberOf, service, workload } from "../../support/model.ts";
import { destination, endpoint, lab, LineServer, Recorder, send } from "./support.ts";

const NAME = "outbound|80||named";

/** A resolver that answers when it is told to. */
class ManualResolver implements HostResolver {
  readonly asked: { name: string; answer: (addresses: string[], ttlMs?: number) => void; fail: () => void }[] = [];
  resolve(name: string): Promise<{ addresses: string[]; ttlMs?: number }> {
    return new Promise((resolve, reject) => {
      this.asked.push({
        name,
        answer: (addresses, ttlMs) => resolve({ addresses, ttlMs }),
        fail: () => reject(new Error("SERVFAIL")),
      });
    });
  }
}

/** Lets promise chains take their steps. */
const steps = async () => {
  for (let i = 0; i < 10; i++) await undefined;
};

Deno.test("names: asked for once, refreshed by time to live, and an answer that fails changes nothing", async () => {
  const reactor = new Reactor();
  const clock = new FakeClock(), resolver = new ManualResolver();
  const names = new Names(resolver, clock, reactor, testLogger());
  let changes = 0;
  const one = { onNameChanged: () => changes++ }, two = { onNameChanged: () => changes++ };
  names.watch("a.example", one);
  names.watch("a.example", two);
  assert.equal(resolver.asked.length, 1);
  assert.equal(names.addresses("a.example"), undefined);
  resolver.asked[0].answer(["10.0.0.2", "10.0.0.1", "10.0.0.2", "nonsense"], 7_000);
  await steps();
  assert.deepEqual(names.addresses("a.example"), ["10.0.0.1", "10.0.0.2"]);
  assert.equal(changes, 2);
  clock.advance(6_999);
  assert.equal(resolver.asked.length, 1);
  clock.advance(1);
  resolver.asked[1].answer(["10.0.0.2", "10.0.0.1"], 1);
  await steps();
  assert.equal(changes, 2, "another order is no change");
  clock.advance(5_000);
  resolver.asked[2].fail();
  await steps();
  assert.deepEqual(names.addresses("a.example"), ["10.0.0.1", "10.0.0.2"]);
  clock.advance(5_000);
  // No answer at all, and one that comes too late.
  clock.advance(10_000);
  clock.advance(5_000);
  assert.equal(resolver.asked.length, 5);
  resolver.asked[3].answer(["10.0.0.9"]);
  await steps();
  assert.deepEqual(names.addresses("a.example"), ["10.0.0.1", "10.0.0.2"]);
  resolver.asked[4].answer(["10.0.0.3"], 3_600_000);
  await steps();
  assert.deepEqual(names.addresses("a.example"), ["10.0.0.3"]);
  clock.advance(29_999);
  assert.equal(resolver.asked.length, 5);
  clock.advance(1);
  assert.equal(resolver.asked.length, 6);
  names.unwatch("a.example", one);
  names.unwatch("a.example", two);
  assert.equal(names.addresses("a.example"), undefined);
  assert.equal(clock.pending, 0);
  await reactor.stop();
});

const named = (port: number): Destination =>
  destination(NAME, { endpoints: { kind: "dns", endpoints: [endpoint("a.example", port)] } });

Deno.test("DNS: requests wait for the first answer; hosts follow the answers", async () => {
  await withReactor(async (reactor) => {
    const resolver = new ManualResolver(), clock = new FakeClock();
    const first = new LineServer(reactor), second = new LineServer(reactor, () => 201, "127.0.0.2", first.port);
    const { clusters } = await lab(reactor, { resolver, clock });
    clusters.apply([named(first.port)], []);
    const early = new Recorder(), given = new Recorder();
    clusters.get(NAME)!.attempt(early, early).begin();
    const cancelled = clusters.get(NAME)!.attempt(given, given);
    cancelled.begin();
    cancelled.cancel();
    assert.equal(clusters.get(NAME)!.breakers.pending, 1);
    resolver.asked[0].answer(["127.0.0.1"]);
    await early.done;
    assert.equal(early.status, 200);
    assert.deepEqual(given.log, []);
    clock.advance(30_000);
    resolver.asked[1].answer(["127.0.0.2"]);
    await eventually(async () => assert.equal((await send(clusters, NAME))[0].status, 201));
    await eventually(() => assert.equal(first.openConnections, 0));
    clock.advance(30_000);
    resolver.asked[2].answer([]);
    await eventually(async () => assert.equal((await send(clusters, NAME))[0].error?.code, "no_healthy_upstream"));
    clusters.close();
    assert.equal(clock.pending, 0);
    first.close();
    second.close();
  });
});

Deno.test("DNS: a name that never resolves is nobody to send to", async () => {
  await withReactor(async (reactor) => {
    const resolver = new ManualResolver(), clock = new FakeClock();
    const { clusters } = await lab(reactor, { resolver, clock, logger: testLogger() });
    clusters.apply([named(1)], []);
    const recorder = new Recorder();
    clusters.get(NAME)!.attempt(recorder, recorder).begin();
    resolver.asked[0].fail();
    await recorder.done;
    assert.equal(recorder.error?.code, "no_healthy_upstream");
    clusters.close();
  });
});

Deno.test("mesh: pods that come and go are seen by the next request, and only destinations of their service look again", async () => {
  await withReactor(async (reactor) => {
    const looked: string[] = [];
    class Spy extends MeshState {
      override endpoints(key: string) {
        looked.push(key);
        return super.endpoints(key);
      }
    }
    const mesh = new Spy();
    const servers = [new LineServer(reactor, () => 200), new LineServer(reactor, () => 201)];
    const { clusters } = await lab(reactor, { mesh });
    const keyOf = (name: string) => `default/${name}.default.svc.cluster.local`;
    const put = (name: string, at: number, extra: Parameters<typeof workload>[2] = {}) =>
      mesh.upsertWorkload(workload(`${name}-${at}`, "127.0.0.1", {
        services: memberOf({ [keyOf(name)]: { 80: servers[at].port } }),
        tunnelProtocol: "NONE",
        ...extra,
      }));
    const all = Array.from({ length: 50 }, (_, i) => `s${i}`);
    for (const name of all) mesh.upsertService(service(name, "", { 80: 8080 }));
    put("s7", 0);
    mesh.changed();
    clusters.apply(
      all.map((name) => destination(name, { endpoints: { kind: "service", service: keyOf(name) } })),
      [],
    );
    assert.equal((await send(clusters, "s7"))[0].status, 200);
    await eventually(() => assert.equal(new Set(looked).size, 50));
    looked.length = 0;
    put("s7", 1);
    put("s7", 0, { status: "UNHEALTHY" });
    mesh.changed();
    assert.equal((await send(clusters, "s7"))[0].status, 201, "at once");
    await eventually(() => assert.equal(servers[0].openConnections, 0, "its idle connection has ended"));
    assert.deepEqual([...new Set(looked)], [keyOf("s7")]);
    mesh.removeAddress("Kubernetes//Pod/default/s7-1");
    mesh.changed();
    assert.equal((await send(clusters, "s7"))[0].error?.code, "no_healthy_upstream");
    clusters.close();
    for (const server of servers) server.close();
  });
});

Deno.test("mesh: a host keeps its state while its description changes", async () => {
  await withReactor(async (reactor) => {
    const server = new LineServer(reactor);
    const { clusters, mesh } = await lab(reactor);
    const key = "default/web.default.svc.cluster.local";
    const put = (capacity: number) => {
      mesh.upsertWorkload(workload("web-1", "127.0.0.1", {
        services: memberOf({ [key]: { 80: server.port } }),
        tunnelProtocol: "NONE",
        capacity,
      }));
      mesh.changed();
    };
    mesh.upsertService(service("web", "", { 80: 8080 }));
    put(1);
    clusters.apply([destination("web", { endpoints: { kind: "service", service: key } })], []);
    const [, before] = await send(clusters, "web");
    put(5);
    const [, after] = await send(clusters, "web");
    assert.equal(before.host, after.host);
    assert.equal(after.host!.weight, 5);
    assert.equal(server.connections.length, 1);
    clusters.close();
    server.close();
  });
});

Deno.test("mesh: where we are decides what is near, even when we learn it late", async () => {
  await withReactor(async (reactor) => {
    const near = new LineServer(reactor, () => 200), far = new LineServer(reactor, () => 201);
    const mesh = new MeshState();
    const { clusters } = await lab(reactor, { mesh, self: () => mesh.workload("Kubernetes//Pod/default/self") });
    const key = "default/web.default.svc.cluster.local";
    const region = (name: string) => ({ region: name, zone: "", subzone: "" });
    for (const [server, locality] of [[near, region("r1")], [far, region("r2")]] as const) {
      mesh.upsertWorkload(workload(`web-${locality.region}`, "127.0.0.1", {
        services: memberOf({ [key]: { 80: server.port } }),
        tunnelProtocol: "NONE",
        locality,
      }));
    }
    mesh.upsertService(service("web", "", { 80: 8080 }));
    mesh.changed();
    clusters.apply([destination("web", {
      endpoints: { kind: "service", service: key },
      loadBalancer: { policy: "ROUND_ROBIN", locality: { failover: [], failoverEnabled: true, distribute: [] } },
    })], []);
    const statuses = async () => {
      const seen = new Set<number>();
      for (let i = 0; i < 8; i++) seen.add((await send(clusters, "web"))[0].status);
      return [...seen].sort();
    };
    assert.deepEqual(await statuses(), [200, 201]);
    mesh.upsertWorkload(workload("self", "127.0.0.9", { locality: region("r1") }));
    mesh.changed();
    assert.deepEqual(await statuses(), [200]);
    mesh.upsertWorkload(workload("self", "127.0.0.9", { locality: region("r2") }));
    mesh.changed();
    assert.deepEqual(await statuses(), [201]);
    clusters.close();
    near.close();
    far.close();
  });
});

Deno.test("original: the address that the client asked for", async () => {
  await withReactor(async (reactor) => {
    const one = new LineServer(reactor, () => 200), two = new LineServer(reactor, () => 201);
    const { clusters } = await lab(reactor);
    clusters.apply([destination("pass", { endpoints: { kind: "original" } })], []);
    for (const [server, status] of [[one, 200], [two, 201], [one, 200]] as const) {
      const recorder = new Recorder();
      recorder.originalDestination = { address: "127.0.0.1", port: server.port };
      assert.equal((await send(clusters, "pass", recorder))[0].status, status);
    }
    assert.deepEqual([one.connections.length, two.connections.length], [1, 1]);
    assert.equal((await send(clusters, "pass"))[0].error?.code, "no_healthy_upstream");
    clusters.close();
    one.close();
    two.close();
  });
});
