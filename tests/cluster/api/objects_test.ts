import assert from "node:assert/strict";
import { ApiError } from "../../../src/cluster/api_error.ts";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import {
  CONFIG_MAPS,
  deployment,
  DEPLOYMENTS,
  eventually,
  NAMESPACES,
  pod,
  PODS,
  SERVICE_ACCOUNTS,
  SERVICES,
  TestServer,
} from "./support.ts";

function refused(code: number, reason: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code, error.message);
    assert.equal(error.reason, reason);
    assert.match(error.message, text);
    return true;
  };
}

function service(name: string, spec: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80 }], ...spec },
  };
}

Deno.test("pods get the defaults and the token volume of a real cluster", async () => {
  await using test = await TestServer.start();
  const created = test.api.create(PODS, {
    ...pod(""),
    metadata: { name: "", generateName: "web-", namespace: "default" },
  });
  assert.match(created.metadata.name, /^web-[a-z0-9]{5}$/);
  assert.equal(created.spec.restartPolicy, "Always");
  assert.equal(created.spec.serviceAccountName, "default");
  assert.equal(created.spec.containers[0].imagePullPolicy, "IfNotPresent");
  assert.equal(created.status.phase, "Pending");
  assert.equal(created.status.qosClass, "BestEffort");
  const volume = created.spec.volumes[0];
  assert.match(volume.name, /^kube-api-access-/);
  assert.deepEqual(volume.projected.sources.map((source: object) => Object.keys(source)[0]), [
    "serviceAccountToken",
    "configMap",
    "downwardAPI",
  ]);
  assert.deepEqual(created.spec.containers[0].volumeMounts, [{
    name: volume.name,
    readOnly: true,
    mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
  }]);
});

Deno.test("invalid objects are refused with the paths of all their problems", async () => {
  await using test = await TestServer.start();
  const table: [KubeObject, typeof PODS, RegExp][] = [
    [
      { ...pod("Bad_Name") },
      PODS,
      /Pod "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain/,
    ],
    [{ ...pod("p"), spec: { containers: [] } }, PODS, /spec\.containers: Required value/],
    [{ ...pod("p"), spec: { containers: [{ image: "x" }] } }, PODS, /spec\.containers\[0\]\.name: Required value/],
    [
      { ...pod("p"), spec: { containers: [{ name: "a", image: "x" }, { name: "a", image: "y" }] } },
      PODS,
      /spec\.containers\[1\]\.name: Duplicate value: "a"/,
    ],
    [
      { ...pod("p"), spec: { restartPolicy: "Sometimes", containers: [{ name: "a", image: "x" }] } },
      PODS,
      /Unsupported value: "Sometimes": supported values: "Always"/,
    ],
    [
      {
        ...pod("p"),
        spec: { containers: [{ name: "a", image: "x", volumeMounts: [{ name: "v", mountPath: "/v" }] }] },
      },
      PODS,
      /volumeMounts\[0\]\.name: Not found: "v"/,
    ],
    [
      { ...pod("p"), metadata: { name: "p", namespace: "default", labels: { "-": "x y" } } },
      PODS,
      /metadata\.labels: Invalid value: "x y"/,
    ],
    [
      { ...deployment("d"), spec: { ...deployment("d").spec, selector: { matchLabels: { other: "x" } } } },
      DEPLOYMENTS,
      /`selector` does not match template `labels`/,
    ],
    [service("9bad"), SERVICES, /a DNS-1035 label/],
    [service("s", { ports: [{ port: 0 }] }), SERVICES, /must be between 1 and 65535/],
    [service("s", { ports: [{ port: 1 }, { port: 2 }] }), SERVICES, /spec\.ports\[0\]\.name: Required value/],
  ];
  for (const [object, type, text] of table) {
    assert.throws(() => test.api.create(type, object), refused(422, "Invalid", text));
  }
});

Deno.test("values of a wrong type are refused as Go's decoder does, unknown fields are dropped", async () => {
  await using test = await TestServer.start();
  const bad = structuredClone(deployment("d")) as any;
  bad.spec.replicas = "two";
  assert.throws(
    () => test.api.create(DEPLOYMENTS, bad),
    refused(
      400,
      "BadRequest",
      /cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32/,
    ),
  );
  const odd = structuredClone(deployment("d")) as any;
  odd.spec.bogus = 1;
  odd.spec.paused = null;
  const created = test.api.create(DEPLOYMENTS, odd);
  assert.ok(!("bogus" in created.spec) && !("paused" in created.spec));
});

Deno.test("updates: conflicts, immutable fields, generation, and writes that change nothing", async () => {
  await using test = await TestServer.start();
  const created = test.api.create(DEPLOYMENTS, deployment("d"));
  assert.equal(created.metadata.generation, 1);
  const scaled = test.api.update(DEPLOYMENTS, { ...created, spec: { ...created.spec, replicas: 3 } });
  assert.equal(scaled.metadata.generation, 2);
  assert.equal(test.api.update(DEPLOYMENTS, scaled), scaled, "no new revision");
  const labelled = test.api.patch(DEPLOYMENTS, "default", "d", "merge", { metadata: { labels: { x: "y" } } });
  assert.equal(labelled.metadata.generation, 2);
  const withStatus = test.api.update(DEPLOYMENTS, { ...labelled, status: { replicas: 3 }, spec: {} as any }, {
    subresource: "status",
  });
  assert.equal(withStatus.status.replicas, 3);
  assert.equal(withStatus.spec.replicas, 3, "the status subresource leaves the spec alone");
  assert.equal(
    test.api.update(DEPLOYMENTS, { ...withStatus, status: {} }).status.replicas,
    3,
    "and the other way round",
  );
  assert.throws(
    () => test.api.update(DEPLOYMENTS, created),
    refused(409, "Conflict", /the object has been modified; please apply your changes to the latest version/),
  );
  const other = structuredClone(withStatus) as KubeObject;
  other.spec.selector.matchLabels = { app: "other" };
  other.spec.template.metadata.labels = { app: "other" };
  assert.throws(
    () => test.api.update(DEPLOYMENTS, other),
    refused(422, "Invalid", /spec\.selector: Invalid value: .* field is immutable/),
  );
  assert.throws(
    () => test.api.update(DEPLOYMENTS, { ...withStatus, metadata: { ...withStatus.metadata, uid: "other" } }),
    refused(409, "Conflict", /Precondition failed: UID/),
  );
  assert.throws(
    () => test.api.update(DEPLOYMENTS, deployment("missing")),
    refused(404, "NotFound", /deployments\.apps "missing" not found/),
  );
  assert.throws(
    () => test.api.create(DEPLOYMENTS, deployment("d")),
    refused(409, "AlreadyExists", /deployments\.apps "d" already exists/),
  );
});

Deno.test("dryRun writes nothing", async () => {
  await using test = await TestServer.start();
  assert.ok(test.api.create(PODS, pod("p"), { dryRun: true }).metadata.uid);
  assert.equal(test.api.get(PODS, "default", "p"), undefined);
});

Deno.test("Services get addresses that are free, and keep them", async () => {
  await using test = await TestServer.start();
  const first = test.api.create(SERVICES, service("a"));
  assert.match(first.spec.clusterIP, /^10\.96\./);
  assert.deepEqual(first.spec.clusterIPs, [first.spec.clusterIP]);
  assert.deepEqual(first.spec.ports, [{ port: 80, protocol: "TCP", targetPort: 80 }]);
  assert.equal(first.spec.type, "ClusterIP");
  assert.throws(
    () => test.api.create(SERVICES, service("b", { clusterIP: first.spec.clusterIP })),
    refused(422, "Invalid", /provided IP is already allocated/),
  );
  assert.throws(
    () => test.api.create(SERVICES, service("b", { clusterIP: "1.2.3.4" })),
    refused(422, "Invalid", /not in the valid range/),
  );
  const headless = test.api.create(SERVICES, service("h", { clusterIP: "None" }));
  assert.deepEqual(headless.spec.clusterIPs, ["None"]);
  const kept = test.api.patch(SERVICES, "default", "a", "merge", {
    spec: { clusterIP: null, clusterIPs: null, type: "LoadBalancer" },
  });
  assert.equal(kept.spec.clusterIP, first.spec.clusterIP);
  assert.ok(kept.spec.ports[0].nodePort >= 30000);
  const back = test.api.patch(SERVICES, "default", "a", "merge", { spec: { type: "ClusterIP" } });
  assert.equal(back.spec.ports[0].nodePort, undefined);
  const external = test.api.create(
    SERVICES,
    service("e", { type: "ExternalName", externalName: "example.com", ports: undefined }),
  );
  assert.equal(external.spec.clusterIP, undefined);
});

Deno.test("pods end gracefully: a mark, then the kubelet's deletion with no grace", async () => {
  await using test = await TestServer.start();
  const { metadata } = test.api.create(PODS, { ...pod("p"), spec: { ...pod("p").spec, nodeName: "n" } });
  test.api.delete(PODS, "default", "p");
  const marked = test.api.get(PODS, "default", "p")!;
  assert.equal(marked.metadata.deletionGracePeriodSeconds, 30);
  assert.ok(Date.parse(marked.metadata.deletionTimestamp!) > Date.now());
  test.api.delete(PODS, "default", "p", { gracePeriodSeconds: 60 });
  assert.equal(
    test.api.get(PODS, "default", "p")!.metadata.deletionGracePeriodSeconds,
    30,
    "a grace is never prolonged",
  );
  assert.throws(
    () => test.api.delete(PODS, "default", "p", { gracePeriodSeconds: 0, preconditions: { uid: "other" } }),
    refused(409, "Conflict", /Precondition failed/),
  );
  test.api.delete(PODS, "default", "p", { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } });
  assert.equal(test.api.get(PODS, "default", "p"), undefined);
  test.api.create(PODS, pod("unscheduled"));
  test.api.delete(PODS, "default", "unscheduled");
  assert.equal(test.api.get(PODS, "default", "unscheduled"), undefined, "nothing runs yet");
});

Deno.test("finalizers hold a deletion until the last one is gone", async () => {
  await using test = await TestServer.start();
  const config: KubeObject = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "c", namespace: "default", finalizers: ["a.io/x"] },
  };
  test.api.create(CONFIG_MAPS, config);
  test.api.delete(CONFIG_MAPS, "default", "c", { propagationPolicy: "Foreground" });
  const marked = test.api.get(CONFIG_MAPS, "default", "c")!;
  assert.deepEqual(marked.metadata.finalizers, ["a.io/x", "foregroundDeletion"]);
  assert.throws(
    () => test.api.patch(CONFIG_MAPS, "default", "c", "merge", { metadata: { finalizers: ["a.io/x", "b.io/y"] } }),
    refused(422, "Invalid", /no new finalizers can be added/),
  );
  test.api.patch(CONFIG_MAPS, "default", "c", "merge", { metadata: { finalizers: ["a.io/x"] } });
  assert.ok(test.api.get(CONFIG_MAPS, "default", "c"));
  test.api.patch(CONFIG_MAPS, "default", "c", "merge", { metadata: { finalizers: null } });
  assert.equal(test.api.get(CONFIG_MAPS, "default", "c"), undefined);
});

Deno.test("namespaces: finalize, no new content while they end, some stay", async () => {
  await using test = await TestServer.start();
  test.api.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "n" } });
  assert.throws(
    () => test.api.create(PODS, { ...pod("p"), metadata: { name: "p", namespace: "nowhere" } }),
    refused(404, "NotFound", /namespaces "nowhere" not found/),
  );
  test.api.delete(NAMESPACES, undefined, "n");
  const ending = test.api.get(NAMESPACES, undefined, "n")!;
  assert.equal(ending.status.phase, "Terminating");
  assert.throws(
    () =>
      test.api.create(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "n" } }),
    refused(403, "Forbidden", /because it is being terminated/),
  );
  test.api.update(NAMESPACES, { ...ending, spec: { finalizers: [] } }, { subresource: "finalize" });
  assert.equal(test.api.get(NAMESPACES, undefined, "n"), undefined);
  assert.throws(
    () => test.api.delete(NAMESPACES, undefined, "default"),
    refused(403, "Forbidden", /may not be deleted/),
  );
});

Deno.test("bindings place a pod once; evictions respect budgets", async () => {
  await using test = await TestServer.start();
  test.api.create(PODS, pod("p", { app: "p" }));
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "p", namespace: "default" },
    target: { kind: "Node", name: "n1" },
  };
  test.api.create(PODS, binding, { subresource: "binding" });
  assert.equal(test.api.get(PODS, "default", "p")!.spec.nodeName, "n1");
  assert.throws(
    () => test.api.create(PODS, binding, { subresource: "binding" }),
    refused(409, "Conflict", /already assigned to node "n1"/),
  );
  test.api.update(PODS, { ...test.api.get(PODS, "default", "p")!, status: { phase: "Running" } }, {
    subresource: "status",
  });
  const budgets = { group: "policy", resource: "poddisruptionbudgets" };
  test.api.create(budgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "b", namespace: "default" },
    spec: { minAvailable: 1, selector: { matchLabels: { app: "p" } } },
  });
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "p", namespace: "default" } };
  assert.throws(
    () => test.api.create(PODS, eviction, { subresource: "eviction" }),
    refused(429, "TooManyRequests", /would violate the pod's disruption budget/),
  );
  test.api.delete(budgets, "default", "b");
  test.api.create(PODS, eviction, { subresource: "eviction" });
  assert.ok(test.api.get(PODS, "default", "p")!.metadata.deletionTimestamp);
});

Deno.test("watch() shows what exists, then every change in order, with filters as transitions", async () => {
  await using test = await TestServer.start();
  test.api.create(CONFIG_MAPS, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "old", namespace: "default", labels: { app: "x" } },
  });
  const seen: string[] = [];
  const stop = test.api.watch(
    CONFIG_MAPS,
    (event, object, previous) => seen.push(`${event} ${object.metadata.name}${previous ? " (was)" : ""}`),
    { namespace: "default", labelSelector: "app=x" },
  );
  assert.deepEqual(seen, ["ADDED old"]);
  const make = (name: string, labels: Record<string, string>) =>
    test.api.create(CONFIG_MAPS, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", labels },
    });
  make("a", { app: "x" });
  make("b", { app: "y" });
  assert.equal(seen.length, 1, "events come on a later microtask");
  test.api.patch(CONFIG_MAPS, "default", "b", "merge", { metadata: { labels: { app: "x" } } });
  test.api.patch(CONFIG_MAPS, "default", "a", "merge", { metadata: { labels: { app: "y" } } });
  test.api.delete(CONFIG_MAPS, "default", "b");
  test.api.delete(CONFIG_MAPS, "default", "a");
  await eventually(() => seen.length >= 5, "the events");
  assert.deepEqual(seen.slice(1), ["ADDED a", "ADDED b (was)", "DELETED a (was)", "DELETED b (was)"]);
  stop();
  make("c", { app: "x" });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(seen.length, 5);
});

Deno.test("accounts that are missing keep pods out; pull secrets come along", async () => {
  await using test = await TestServer.start();
  const wanting = { ...pod("p"), spec: { ...pod("p").spec, serviceAccountName: "bob" } };
  assert.throws(() => test.api.create(PODS, wanting), refused(403, "Forbidden", /serviceaccount "bob" not found/));
  test.api.create(SERVICE_ACCOUNTS, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "bob", namespace: "default" },
    imagePullSecrets: [{ name: "s" }],
    automountServiceAccountToken: false,
  });
  const created = test.api.create(PODS, wanting);
  assert.deepEqual(created.spec.imagePullSecrets, [{ name: "s" }]);
  assert.equal(created.spec.volumes, undefined);
});
