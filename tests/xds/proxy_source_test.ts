import assert from "node:assert/strict";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "../../src/gen/envoy/service/discovery/v3/discovery_pb.ts";
import type { L7Listener, ProxyResource } from "../../src/model/l7.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { DiscoveryServer, ProxyResourceSource, TYPE_URL, XdsServerMetrics } from "../../src/xds/server/mod.ts";
import { testLogger } from "../identity/support.ts";
import { settle, SettlingClock } from "../identity/settling_clock.ts";

const typeUrl = TYPE_URL.proxyResource;

function listener(name: string, origin = ""): L7Listener {
  return {
    kind: "listener",
    name,
    binding: { kind: "port", port: 80 },
    protocol: "HTTP",
    hostnames: [],
    httpsRedirect: false,
    origin,
  };
}

class Proxy {
  readonly responses: DeltaDiscoveryResponse[] = [];
  readonly #connection;

  constructor(server: DiscoveryServer, readonly pod: string) {
    this.#connection = server.open({
      send: (bytes, sent) => {
        this.responses.push(fromBinary(DeltaDiscoveryResponseSchema, bytes));
        queueMicrotask(sent);
      },
      close: () => {},
    }, { address: "10.0.0.9:4444" });
  }

  async ask(
    init: { resourceNamesSubscribe?: string[]; initialResourceVersions?: Record<string, string> } = {},
  ): Promise<void> {
    const node = { id: `waypoint~10.0.0.1~${this.pod}~default.svc.cluster.local` };
    this.#connection.receive(create(DeltaDiscoveryRequestSchema, { node, typeUrl, ...init }));
    await settle();
  }

  end(): void {
    this.#connection.ended();
  }

  /** What was sent since the last call: names, removed ones with a minus. */
  news(): string[] {
    return this.responses.splice(0).flatMap(({ resources, removedResources }) => [
      ...resources.map(({ name }) => name).sort(),
      ...removedResources.map((name) => `-${name}`).sort(),
    ]);
  }
}

/** A server of groups by the first letter of the pod; `configs` may be changed, then `changed` called. */
async function setup(configs: Record<string, readonly ProxyResource[]>) {
  const clock = new SettlingClock(), registry = new Registry(), asked: string[] = [];
  const server = new DiscoveryServer({ logger: testLogger(), clock, metrics: new XdsServerMetrics(registry) });
  const groups: Record<string, string | undefined> = {};
  const source = new ProxyResourceSource({
    groupOf: ({ podName }) => Object.hasOwn(groups, podName) ? groups[podName] : podName[0],
    configOf: (group) => {
      asked.push(group);
      return configs[group];
    },
  });
  server.register(source);
  await clock.advance(1000);
  const changed = async () => {
    source.refresh();
    await clock.advance(100);
  };
  return { server, source, clock, registry, groups, asked, changed };
}

Deno.test("each proxy gets its own resources, and hears only of what changes for it", async () => {
  const common = listener("common"),
    configs: Record<string, readonly ProxyResource[]> = {
      a: [common, listener("of-a")],
      b: [common, listener("of-b")],
    };
  const { server, source, registry, asked, changed } = await setup(configs);
  const a1 = new Proxy(server, "a1.default"), a2 = new Proxy(server, "a2.default"), b = new Proxy(server, "b.default");
  for (const proxy of [a1, a2, b]) await proxy.ask();
  assert.deepEqual(a1.news(), ["listener/common", "listener/of-a"]);
  assert.deepEqual(a2.news(), ["listener/common", "listener/of-a"]);
  assert.deepEqual(b.news(), ["listener/common", "listener/of-b"]);
  assert.deepEqual(asked, ["a", "b"], "replicas share one computation");

  // Equal by value is unchanged, whatever the object.
  configs.a = [{ ...common }, listener("of-a", "changed"), listener("new")];
  await changed();
  assert.deepEqual(a1.news(), ["listener/new", "listener/of-a"]);
  assert.deepEqual(a2.news(), ["listener/new", "listener/of-a"]);
  assert.deepEqual(b.news(), []);
  assert.match(registry.expose(), /pilot_proxy_convergence_time_count 2\n/);
  assert.match(registry.expose(), /pilot_xds_push_time_count\{type="type.ambientd.io[^"]*"\} 5\n/);

  configs.a = [common];
  await changed();
  assert.deepEqual([a1.news(), b.news()], [["-listener/new", "-listener/of-a"], []]);
  await changed();
  assert.deepEqual([a1.news(), a2.news().length, b.news()], [[], 2, []]);

  for (const proxy of [a1, a2, b]) proxy.end();
  assert.deepEqual([...source.clients()], []);
  assert.deepEqual(source.held("a"), []);
  server.close();
});

Deno.test("a client that is not known gets nothing; one that is known no more keeps what it has", async () => {
  const configs: Record<string, readonly ProxyResource[]> = { a: [listener("of-a")], b: [listener("of-b")] };
  const { server, groups, changed } = await setup(configs);
  groups["x.default"] = undefined;
  const x = new Proxy(server, "x.default"), a = new Proxy(server, "a.default");
  await x.ask();
  await a.ask();
  assert.equal(x.responses.length, 1, "answered, so that it knows");
  assert.deepEqual(x.news(), []);
  a.news();
  configs.a = [listener("of-a", "2"), listener("secret")];
  await changed();
  assert.deepEqual(x.news(), [], "not even the names of others' resources");
  assert.deepEqual(a.news(), ["listener/of-a", "listener/secret"]);
  // Asked for by name it is not there either.
  await x.ask({ resourceNamesSubscribe: ["listener/secret"] });
  assert.deepEqual(x.news(), ["-listener/secret"]);

  groups["x.default"] = "b";
  await changed();
  assert.deepEqual(x.news(), ["listener/of-b"]);

  // A proxy on its way out.
  groups["a.default"] = undefined;
  configs.a = [];
  await changed();
  assert.deepEqual(a.news(), []);
  // One that becomes another's.
  groups["a.default"] = "b";
  await changed();
  assert.deepEqual(a.news(), ["listener/of-b", "-listener/of-a", "-listener/secret"]);
  server.close();
});

Deno.test("a proxy that reconnects is sent what differs from what it holds", async () => {
  const configs: Record<string, readonly ProxyResource[]> = { a: [listener("one"), listener("two")] };
  const { server } = await setup(configs);
  const first = new Proxy(server, "a.default");
  await first.ask();
  const versions = Object.fromEntries(first.responses[0].resources.map(({ name, version }) => [name, version]));
  first.end();
  configs.a = [listener("one"), listener("two", "changed")];
  const again = new Proxy(server, "a.default");
  await again.ask({ initialResourceVersions: { ...versions, "listener/gone": "1" } });
  assert.deepEqual(again.news(), ["listener/two", "-listener/gone"]);
  server.close();
});
