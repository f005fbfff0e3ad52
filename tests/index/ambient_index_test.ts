import assert from "node:assert/strict";
import {
  AmbientIndex,
  DEFAULT_SETTINGS,
  type IndexDelta,
  type IndexInputs,
  type MeshSettings,
  newInputs,
} from "../../src/index/mod.ts";
import { objectKey } from "../../src/kube/types.ts";
import { inputOf } from "../support/index_inputs.ts";

/** Puts objects in and takes them out, as informers do. */
class Harness {
  readonly inputs = newInputs();
  readonly index: AmbientIndex;

  constructor(settings?: MeshSettings) {
    this.index = new AmbientIndex(this.inputs, settings);
  }

  set(object: any): void {
    const name = inputOf(object), old = (this.inputs[name] as any).set(object);
    this.index.changed(name, [old ? { type: "updated", object, old } : { type: "added", object }]);
  }

  delete(object: any): void {
    const name = inputOf(object), old = (this.inputs[name] as any).delete(objectKey(object));
    if (old) this.index.changed(name, [{ type: "deleted", object: old }]);
  }

  /** Names that changed or went, by output. */
  flush(): Record<string, string[]> {
    return shown(this.index.flush());
  }
}

function shown(delta: IndexDelta): Record<string, string[]> {
  const result: Record<string, string[]> = {};
  for (const [output, { changed, removed }] of Object.entries(delta)) {
    const names = [...changed.map((name: string) => `+${name}`), ...removed.map((name: string) => `-${name}`)].sort();
    if (names.length > 0) result[output] = names;
  }
  return result;
}

function content(index: AmbientIndex): unknown {
  const table = ({ keys, get }: { keys: () => Iterable<string>; get: (name: string) => unknown }) =>
    [...keys()].sort().map((name) => [name, get(name)]);
  const tables = [index.workloads, index.services, index.policies, index.statuses].map((output) =>
    table({ keys: () => output.keys(), get: (name) => output.get(name) })
  );
  const attached = ["default", "other", "istio-system"].flatMap((namespace) =>
    ["w0", "w1"].map((name) => `${namespace}/${name}`)
  ).map((gateway) => [
    `attached to ${gateway}`,
    [...index.attachedServices(gateway)].sort(),
    [...index.attachedWorkloads(gateway)].sort(),
  ]);
  return [...tables, attached];
}

const pod = (name: string, ip: string, labels: Record<string, string>, extra: any = {}) => ({
  kind: "Pod",
  metadata: { name, namespace: extra.namespace ?? "default", uid: name, labels, annotations: extra.annotations },
  spec: { nodeName: extra.node ?? "n1", containers: [{ name: "c", ports: [{ name: "http", containerPort: 8080 }] }] },
  status: { phase: extra.phase ?? "Running", podIP: ip, conditions: [{ type: "Ready", status: "True" }] },
});
const service = (name: string, selector: Record<string, string> | undefined, ip: string, extra: any = {}) => ({
  kind: "Service",
  metadata: { name, namespace: extra.namespace ?? "default" },
  spec: { clusterIP: ip, selector, ports: extra.ports ?? [{ port: 80, targetPort: "http" }] },
  status: extra.status,
});
const policy = (name: string, spec: any, namespace = "default") => ({
  kind: "AuthorizationPolicy",
  metadata: { name, namespace },
  spec,
});
const peer = (name: string, spec: any, namespace = "default") => ({
  kind: "PeerAuthentication",
  metadata: { name, namespace, creationTimestamp: "2026-01-01T00:00:00Z" },
  spec,
});

const A = "Kubernetes//Pod/default/a", B = "Kubernetes//Pod/default/b";

Deno.test("AmbientIndex announces what a change affects and nothing else", () => {
  const mesh = new Harness();
  mesh.set(pod("a", "10.0.0.1", { app: "a" }));
  mesh.set(pod("b", "10.0.0.2", { app: "b" }));
  mesh.set(service("web", { app: "a" }, "10.96.0.1"));
  const web = "default/web.default.svc.cluster.local";
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`, `+${B}`], services: [`+${web}`] });
  assert.deepEqual(mesh.flush(), {}, "nothing more without a change");

  mesh.set(service("web", { app: "a" }, "10.96.0.1", { status: { conditions: [] } }));
  assert.deepEqual(mesh.flush(), {}, "a status changes nothing");
  mesh.set(service("web", { app: "a" }, "10.96.0.9"));
  assert.deepEqual(mesh.flush(), { services: [`+${web}`] }, "another address concerns the service alone");
  mesh.set(service("web", { app: "b" }, "10.96.0.9"));
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`, `+${B}`] }, "another selector concerns old and new members");

  mesh.set(policy("p", { selector: { matchLabels: { app: "a" } }, rules: [{}] }));
  assert.deepEqual(mesh.flush(), {
    workloads: [`+${A}`],
    policies: ["+default/p"],
    statuses: ["+AuthorizationPolicy/default/p"],
  });
  mesh.set(policy("p", { selector: { matchLabels: { app: "a" } }, rules: [] }));
  assert.deepEqual(mesh.flush(), { policies: ["+default/p"] }, "other rules, same workloads");
  mesh.delete(policy("p", {}));
  assert.deepEqual(mesh.flush(), {
    workloads: [`+${A}`],
    policies: ["-default/p"],
    statuses: ["-AuthorizationPolicy/default/p"],
  });

  mesh.set(peer("p", { mtls: { mode: "STRICT" } }, "elsewhere"));
  assert.deepEqual(mesh.flush(), { policies: ["+istio-system/istio_converted_static_strict"] });
  mesh.set(peer("p", { mtls: { mode: "STRICT" } }));
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`, `+${B}`] });

  mesh.set(pod("a", "10.0.0.1", { app: "a" }, { annotations: { "ambient.istio.io/redirection": "enabled" } }));
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`] });
  mesh.set(pod("a", "10.0.0.1", { app: "a" }, { phase: "Failed" }));
  mesh.delete(pod("b", "", {}));
  assert.deepEqual(mesh.flush(), { workloads: [`-${A}`, `-${B}`] });
});

Deno.test("AmbientIndex follows nodes, namespaces and settings", () => {
  const mesh = new Harness();
  mesh.set(pod("a", "10.0.0.1", { app: "a" }, { node: "n1" }));
  mesh.set(pod("b", "10.0.0.2", { app: "b" }, { node: "n2" }));
  mesh.flush();
  const node = (labels: any) => ({ kind: "Node", metadata: { name: "n1", labels } });
  mesh.set(node({ "topology.kubernetes.io/zone": "z" }));
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`] });
  assert.equal(mesh.index.workloads.get(A)?.locality?.zone, "z");
  mesh.set({ ...node({ "topology.kubernetes.io/zone": "z" }), status: { heartbeat: 2 } });
  assert.deepEqual(mesh.flush(), {});
  mesh.set({ kind: "Namespace", metadata: { name: "istio-system", labels: { "topology.istio.io/network": "n" } } });
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`, `+${B}`] });
  mesh.index.configure({ ...DEFAULT_SETTINGS, clusterId: "other" });
  assert.deepEqual(mesh.flush().workloads?.length, 4, "both come under new names, both old names go");
});

Deno.test("AmbientIndex gives a pod one workload after it was made anew under the same name", () => {
  const mesh = new Harness();
  mesh.set(pod("a", "10.0.0.1", { app: "a" }));
  mesh.flush();
  mesh.delete(pod("a", "", {}));
  mesh.set(pod("a", "10.0.0.7", { app: "a" }));
  assert.deepEqual(mesh.flush(), { workloads: [`+${A}`] });
  assert.deepEqual(mesh.index.workloads.get(A)?.addresses, ["10.0.0.7"]);
});

/** A generator of numbers below `n` that gives the same sequence for the same seed. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

function waypointLabels(pick: (n: number) => number): Record<string, string> {
  const label: Record<string, string>[] = [
    {},
    { "istio.io/use-waypoint": "none" },
    { "istio.io/use-waypoint": `w${pick(2)}` },
    { "istio.io/use-waypoint": `w${pick(2)}`, "istio.io/use-waypoint-namespace": "other" },
  ];
  return label[pick(4)];
}

/** One random object; few names and labels, so that objects meet. */
function randomObject(pick: (n: number) => number): any {
  const namespace = ["default", "other", "istio-system"][pick(3)];
  const label = (): Record<string, string> => [{ app: "a" }, { app: "b" }, { app: "a", v: "1" }, {}][pick(4)] as any;
  const mode = () => ({ mode: ["STRICT", "PERMISSIVE", "UNSET", "DISABLE"][pick(4)] });
  switch (pick(12)) {
    case 7:
      return {
        kind: "Gateway",
        metadata: { name: `w${pick(2)}`, namespace, labels: { "istio.io/waypoint-for": ["service", "all"][pick(2)] } },
        spec: {
          gatewayClassName: "istio-waypoint",
          listeners: [{
            name: "mesh",
            port: 15008,
            protocol: "HBONE",
            allowedRoutes: { namespaces: { from: ["Same", "All"][pick(2)] } },
          }],
        },
        status: pick(4) ? { addresses: [{ type: "Hostname", value: `w.${namespace}.svc` }] } : {},
      };
    case 8:
    case 9:
      return {
        kind: "ServiceEntry",
        metadata: {
          name: `x${pick(3)}`,
          namespace,
          labels: waypointLabels(pick),
          creationTimestamp: `2026-01-0${1 + pick(3)}`,
        },
        spec: {
          hosts: [["a.example.com"], ["a.example.com", "b.example.com"], ["s0.default.svc.cluster.local"]][pick(3)],
          ports: [{ number: 80, name: "http", protocol: "HTTP" }],
          resolution: ["STATIC", "DNS", "NONE"][pick(3)],
          ...[{}, { workloadSelector: { labels: label() } }, {
            endpoints: [{ address: "192.0.2.9", labels: label() }, { address: "b.example.org" }],
          }][pick(3)],
        },
      };
    case 10:
      return {
        kind: "WorkloadEntry",
        metadata: { name: `v${pick(3)}`, namespace, labels: waypointLabels(pick) },
        spec: { address: `192.0.2.${pick(4)}`, labels: label(), ports: { http: 8000 + pick(2) } },
      };
    case 0:
    case 1: {
      const i = pick(6);
      return pod(`p${i}`, `10.0.0.${i}`, label(), {
        namespace,
        node: `n${pick(2)}`,
        phase: pick(5) === 0 ? "Failed" : "Running",
      });
    }
    case 2: {
      const ports = pick(2) ? [{ port: 80, targetPort: "http" }] : [{ name: "x", port: 81, targetPort: 8081 }];
      return service(`s${pick(3)}`, pick(4) === 0 ? undefined : label(), `10.96.0.${pick(3)}`, { namespace, ports });
    }
    case 3:
      return policy(`a${pick(3)}`, {
        ...(pick(2) ? { selector: { matchLabels: label() } } : {}),
        action: ["ALLOW", "DENY", "CUSTOM"][pick(3)],
        rules: [[], [{}], [{ to: [{ operation: { methods: ["GET"] } }] }]][pick(3)],
      }, namespace);
    case 4:
      return peer(`w${pick(3)}`, {
        ...(pick(2) ? { selector: { matchLabels: label() } } : {}),
        mtls: mode(),
        ...(pick(2) ? { portLevelMtls: { "80": mode() } } : {}),
      }, namespace);
    case 5:
      return {
        kind: "EndpointSlice",
        metadata: { name: `e${pick(3)}`, namespace, labels: { "kubernetes.io/service-name": `s${pick(3)}` } },
        addressType: "IPv4",
        ports: [{ name: pick(2) ? "x" : "", port: 9000 + pick(2) }],
        endpoints: [
          { addresses: [`192.0.2.${pick(3)}`] },
          { addresses: ["10.0.0.1"], targetRef: { kind: "Pod", name: `p${pick(6)}`, namespace } },
        ],
      };
    default:
      return pick(2)
        ? { kind: "Node", metadata: { name: `n${pick(2)}`, labels: { "topology.kubernetes.io/zone": `z${pick(2)}` } } }
        : {
          kind: "Namespace",
          metadata: {
            name: namespace,
            labels: { ...(pick(2) ? { "topology.istio.io/network": `net${pick(2)}` } : {}), ...waypointLabels(pick) },
            annotations: pick(2) ? { "networking.istio.io/traffic-distribution": "PreferClose" } : {},
          },
        };
  }
}

Deno.test("AmbientIndex kept up to date equals AmbientIndex built anew, whatever changes come", () => {
  for (let seed = 1; seed <= 25; seed++) {
    const settings = { ...DEFAULT_SETTINGS, autoAllowWaypointPolicy: seed % 2 === 0 };
    const pick = random(seed), mesh = new Harness(settings);
    for (let step = 0; step < 120; step++) {
      const object = randomObject(pick);
      if (pick(4) === 0) mesh.delete(object);
      else mesh.set(object);
      if (pick(3) !== 0) continue;
      const before = new Map((content(mesh.index) as any[][]).flat() as [string, unknown][]);
      const delta = mesh.index.flush();
      const fresh = new AmbientIndex(copy(mesh.inputs), settings);
      fresh.flush();
      assert.deepEqual(content(mesh.index), content(fresh), `seed ${seed}, step ${step}`);
      for (const { changed, removed } of Object.values(delta)) {
        for (const name of removed) assert.ok(before.has(name), `"${name}" was announced as gone without having been`);
        assert.equal(new Set([...changed, ...removed]).size, changed.length + removed.length);
      }
    }
  }
});

function copy(inputs: IndexInputs): IndexInputs {
  const result = newInputs();
  for (const name of Object.keys(inputs) as (keyof IndexInputs)[]) {
    for (const object of inputs[name].values()) (result[name] as any).set(object);
  }
  return result;
}
