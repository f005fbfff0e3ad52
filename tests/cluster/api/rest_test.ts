import assert from "node:assert/strict";
import { CONFIG_MAPS, deployment, DEPLOYMENTS, pod, PODS, TestServer } from "./support.ts";

const BASE = "/api/v1/namespaces/default";
const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

Deno.test("objects are created, read, listed, changed and deleted over HTTPS", async () => {
  await using test = await TestServer.start();
  const created = await test.call("POST", `${BASE}/pods`, { body: pod("p", { app: "p" }) });
  assert.equal(created.code, 201);
  assert.equal(created.body.metadata.managedFields[0].operation, "Update");
  const read = await test.call("GET", `${BASE}/pods/p`);
  assert.deepEqual(read.body, created.body);
  const list = await test.call("GET", "/api/v1/pods?labelSelector=app%3Dp&fieldSelector=metadata.namespace%3Ddefault");
  assert.equal(list.body.kind, "PodList");
  assert.equal(list.body.items.length, 1);
  const replaced = await test.call("PUT", `${BASE}/pods/p`, {
    body: { ...read.body, metadata: { ...read.body.metadata, labels: { app: "q" } } },
  });
  assert.equal(replaced.code, 200);
  const patched = await test.call("PATCH", `${BASE}/pods/p`, {
    body: [{ op: "add", path: "/metadata/labels/x", value: "y" }],
    type: "application/json-patch+json",
  });
  assert.deepEqual(patched.body.metadata.labels, { app: "q", x: "y" });
  const deleted = await test.call("DELETE", `${BASE}/pods/p`, { body: { gracePeriodSeconds: 0 } });
  assert.equal(deleted.body.kind, "Pod");
  const gone = await test.call("GET", `${BASE}/pods/p`);
  assert.deepEqual(gone.body, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: 'pods "p" not found',
    reason: "NotFound",
    details: { name: "p", group: "", kind: "pods" },
    code: 404,
  });
});

Deno.test("lists come in pages whose tokens continue them", async () => {
  await using test = await TestServer.start();
  for (let i = 0; i < 25; i++) {
    test.api.create(CONFIG_MAPS, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `c${String(i).padStart(2, "0")}`, namespace: "default" },
    });
  }
  const names: string[] = [];
  let token = "";
  let pages = 0;
  do {
    const { body } = await test.call("GET", `${BASE}/configmaps?limit=10&continue=${token}`);
    names.push(...body.items.map((item: any) => item.metadata.name));
    token = body.metadata.continue ?? "";
    if (pages++ === 0) assert.equal(body.metadata.remainingItemCount, 15);
  } while (token);
  assert.equal(pages, 3);
  assert.equal(new Set(names).size, 25);
  assert.equal((await test.call("GET", `${BASE}/configmaps?limit=10&continue=bogus`)).code, 400);
  assert.equal((await test.call("GET", `${BASE}/configmaps?resourceVersion=x`)).code, 400);
  assert.equal((await test.call("GET", `${BASE}/configmaps?resourceVersion=99999999`)).code, 504);
  assert.equal((await test.call("GET", `${BASE}/configmaps?resourceVersion=1&resourceVersionMatch=Exact`)).code, 410);
});

Deno.test("deletecollection deletes what its selector chooses", async () => {
  await using test = await TestServer.start();
  for (const name of ["a", "b", "c"]) test.api.create(PODS, pod(name, { keep: name === "b" ? "yes" : "no" }));
  assert.equal((await test.call("DELETE", `${BASE}/pods?labelSelector=keep%3Dno`)).code, 200);
  assert.deepEqual(test.api.list(PODS).map(({ metadata }) => metadata.name), ["b"]);
});

Deno.test("field validation: strict refuses, warn warns, ignore is silent", async () => {
  await using test = await TestServer.start();
  const text = JSON.stringify({ ...deployment("d"), bogus: 1 }).replace('"replicas":2', '"replicas":2,"replicas":3');
  const create = (mode: string) =>
    test.call("POST", `/apis/apps/v1/namespaces/default/deployments?dryRun=All&fieldValidation=${mode}`, {
      body: text,
    });
  const strict = await create("Strict");
  assert.equal(strict.code, 400);
  assert.equal(
    strict.body.message,
    'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "bogus", duplicate field "spec.replicas"',
  );
  const warn = await create("Warn");
  assert.equal(warn.code, 201);
  assert.match(
    String(warn.headers.warning),
    /299 - "unknown field \\"bogus\\"", 299 - "duplicate field \\"spec.replicas\\""/,
  );
  const ignore = await create("Ignore");
  assert.equal(ignore.headers.warning, undefined);
  assert.equal((await create("Maybe")).code, 422);
});

Deno.test("tables hold kubectl's columns; metadata comes alone where asked", async () => {
  await using test = await TestServer.start();
  test.api.create(PODS, { ...pod("p"), spec: { ...pod("p").spec, nodeName: "n1" } });
  test.api.update(PODS, {
    ...test.api.get(PODS, "default", "p")!,
    status: {
      phase: "Running",
      podIP: "10.244.0.5",
      containerStatuses: [{
        name: "main",
        ready: false,
        restartCount: 2,
        image: "x",
        imageID: "",
        state: { waiting: { reason: "CrashLoopBackOff" } },
      }],
    },
  }, { subresource: "status" });
  const { body } = await test.call("GET", `${BASE}/pods`, { headers: { accept: TABLE } });
  assert.equal(body.kind, "Table");
  assert.deepEqual(body.columnDefinitions.map(({ name }: { name: string }) => name), [
    "Name",
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "IP",
    "Node",
    "Nominated Node",
    "Readiness Gates",
  ]);
  assert.deepEqual(body.rows[0].cells.toSpliced(4, 1), [
    "p",
    "0/1",
    "CrashLoopBackOff",
    "2",
    "10.244.0.5",
    "n1",
    "<none>",
    "<none>",
  ]);
  assert.equal(body.rows[0].object.kind, "PartialObjectMetadata");
  test.api.create(DEPLOYMENTS, deployment("d"));
  const deployments = await test.call("GET", "/apis/apps/v1/deployments", { headers: { accept: TABLE } });
  assert.deepEqual(deployments.body.rows[0].cells.toSpliced(4, 1), ["d", "0/2", 0, 0, "main", "sleep:1", "app=d"]);
  const partial = await test.call("GET", `${BASE}/pods`, {
    headers: { accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" },
  });
  assert.equal(partial.body.kind, "PartialObjectMetadataList");
  assert.equal(partial.body.items[0].spec, undefined);
});

Deno.test("content types: YAML in and out, protobuf falls back to JSON, others are refused", async () => {
  await using test = await TestServer.start();
  const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: 'yes'}\n";
  const created = await test.call("POST", `${BASE}/configmaps`, {
    body: yaml,
    type: "application/yaml",
    headers: { accept: "application/yaml" },
  });
  assert.equal(created.code, 201);
  assert.equal(created.headers["content-type"], "application/yaml");
  assert.match(created.text, /kind: ConfigMap/);
  const fallback = await test.call("GET", `${BASE}/configmaps/c`, {
    headers: { accept: "application/vnd.kubernetes.protobuf,application/json" },
  });
  assert.equal(fallback.body.data.a, "yes");
  assert.equal(
    (await test.call("GET", `${BASE}/configmaps/c`, { headers: { accept: "application/vnd.kubernetes.protobuf" } }))
      .body.reason,
    "NotAcceptable",
  );
  assert.equal((await test.call("POST", `${BASE}/configmaps`, { body: "x", type: "text/plain" })).code, 415);
  assert.equal((await test.call("PATCH", `${BASE}/configmaps/c`, { body: "{}", type: "application/json" })).code, 415);
});

Deno.test("scale reads and writes the replicas of a workload", async () => {
  await using test = await TestServer.start();
  test.api.create(DEPLOYMENTS, deployment("d"));
  const path = "/apis/apps/v1/namespaces/default/deployments/d/scale";
  const scale = await test.call("GET", path);
  assert.deepEqual(scale.body.status, { replicas: 0, selector: "app=d" });
  assert.equal(
    (await test.call("PUT", path, { body: { ...scale.body, spec: { replicas: 7 } } })).body.spec.replicas,
    7,
  );
  assert.equal(
    (await test.call("PATCH", path, { body: { spec: { replicas: 1 } }, type: "application/merge-patch+json" })).code,
    200,
  );
  assert.equal(test.api.get(DEPLOYMENTS, "default", "d")!.spec.replicas, 1);
  assert.equal(
    (await test.call("PUT", path, { body: { ...scale.body, metadata: { name: "d" }, spec: { replicas: -1 } } })).code,
    422,
  );
});

Deno.test("discovery: classic, aggregated, OpenAPI", async () => {
  await using test = await TestServer.start();
  const groups = await test.call("GET", "/apis");
  assert.ok(
    groups.body.groups.some((group: any) => group.name === "apps" && group.preferredVersion.groupVersion === "apps/v1"),
  );
  const core = await test.call("GET", "/api/v1");
  const names = core.body.resources.map(({ name }: { name: string }) => name);
  for (const name of ["pods", "pods/log", "pods/exec", "pods/status", "serviceaccounts/token", "namespaces/finalize"]) {
    assert.ok(names.includes(name), name);
  }
  const aggregated = await test.call("GET", "/apis", {
    headers: { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json" },
  });
  assert.equal(
    aggregated.headers["content-type"],
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
  );
  const index = await test.call("GET", "/openapi/v3");
  assert.ok(index.body.paths["apis/apps/v1"].serverRelativeURL.startsWith("/openapi/v3/apis/apps/v1"));
  const { body } = await test.call("GET", "/openapi/v3/apis/apps/v1");
  const { patch } = body.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
  assert.ok(patch.parameters.some(({ name }: { name: string }) => name === "fieldValidation"));
  const container = body.components.schemas["io.k8s.api.core.v1.Container"];
  assert.equal(container.properties.env["x-kubernetes-patch-merge-key"], "name");
  assert.equal(container.properties.lifecycle.allOf[0].$ref, "#/components/schemas/io.k8s.api.core.v1.Lifecycle");
  for (const reference of JSON.stringify(body).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    assert.ok(body.components.schemas[reference[1]], reference[1]);
  }
  assert.equal((await test.call("GET", "/openapi/v2")).body.swagger, "2.0");
  assert.equal((await test.call("GET", "/apis/bogus")).code, 404);
  assert.equal((await test.call("GET", "/openapi/v3/apis/bogus/v1")).code, 404);
  assert.match((await test.call("GET", "/version")).body.gitVersion, /^v1\.32/);
});

Deno.test("hostile requests get a Status and leave the server alive", async () => {
  await using test = await TestServer.start();
  const configs = `${BASE}/configmaps`;
  const named = (extra: string, name = "x") =>
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"}${extra}}`;
  const table: [name: string, method: string, path: string, body: unknown, code: number, type?: string][] = [
    ["not JSON", "POST", configs, "{", 400],
    ["not YAML", "POST", configs, "a: [", 400, "application/yaml"],
    [
      "YAML bomb",
      "POST",
      configs,
      `a: &a [x,x,x,x,x,x,x,x,x]\n${
        Array.from(
          { length: 9 },
          (_, i) => `${"bcdefghij"[i]}: &${"bcdefghij"[i]} [${Array(9).fill(`*${"abcdefghij"[i]}`).join()}]`,
        ).join("\n")
      }`,
      400,
      "application/yaml",
    ],
    ["no kind", "POST", configs, "{}", 400],
    ["a list", "POST", configs, "[]", 400],
    ["null", "POST", configs, "null", 400],
    ["another kind", "POST", configs, JSON.stringify(pod("p")), 400],
    ["deep nesting", "POST", configs, "[".repeat(100_000) + "]".repeat(100_000), 400],
    ["deep object", "POST", configs, named(`,"data":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`), 400],
    ["bytes that are not UTF-8", "POST", configs, Uint8Array.of(0xff, 0xfe, 0x00), 400],
    ["too large", "POST", configs, named(`,"data":{"a":"${"x".repeat(3 * 1024 * 1024)}"}`), 413],
    [
      "a ConfigMap of more than 1 MiB",
      "POST",
      configs,
      named(`,"data":{"a":"${"x".repeat(1024 * 1024 + 1)}"}`, "big"),
      422,
    ],
    ["path traversal", "GET", `${BASE}/configmaps/..%2f..%2fsecrets`, undefined, 400],
    ["an escape that is none", "GET", `${BASE}/configmaps/%zz`, undefined, 400],
    ["a NUL in a name", "GET", `${BASE}/configmaps/a%00b`, undefined, 400],
    ["an unknown type", "GET", "/api/v1/bogus", undefined, 404],
    ["an unknown version", "GET", "/apis/apps/v9/deployments", undefined, 404],
    ["an unknown subresource", "GET", `${BASE}/configmaps/x/bogus`, undefined, 404],
    ["an unknown path", "GET", "/bogus", undefined, 404],
    ["an unknown method", "PUT", configs, "{}", 404],
    ["a bad selector", "GET", `${configs}?labelSelector=a%20b%20c`, undefined, 400],
    ["a huge selector", "GET", `${configs}?labelSelector=${"a,".repeat(30_000)}`, undefined, 400],
    ["a huge URL", "GET", `${configs}?x=${"a".repeat(70_000)}`, undefined, 414],
    ["a bad patch", "PATCH", `${configs}/x`, "{}", 400, "application/json-patch+json"],
    ["an apply without manager", "PATCH", `${configs}/x`, named(""), 400, "application/apply-patch+yaml"],
    ["protobuf that is none", "POST", configs, "k8s\0garbage", 400, "application/vnd.kubernetes.protobuf"],
    ["protobuf without magic", "POST", configs, "garbage", 400, "application/vnd.kubernetes.protobuf"],
    [
      "an object in another namespace",
      "POST",
      configs,
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"kube-system"}}`,
      400,
    ],
    [
      "a revision on creation",
      "POST",
      configs,
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","resourceVersion":"1"}}`,
      400,
    ],
    [
      "a prototype",
      "POST",
      configs,
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"__proto__"},"__proto__":{"a":1}}`,
      422,
    ],
  ];
  test.api.create(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x", namespace: "default" } });
  for (const [name, method, path, body, code, type] of table) {
    // Node's own limit on a request's head may answer before the server does.
    const answer = await test.call(method, path, { body, type }).catch((error) => ({
      code: -1,
      body: undefined,
      text: String(error),
    }));
    if (name === "a huge URL" || name === "a huge selector") {
      assert.ok([code, 431, -1].includes(answer.code), `${name}: ${answer.code}`);
    } else {
      assert.equal(answer.code, code, `${name}: ${answer.text.slice(0, 300)}`);
      assert.equal(answer.body?.kind, "Status", name);
    }
  }
  assert.equal((await test.call("GET", "/healthz")).text, "ok");
  assert.equal(({} as any).a, undefined);
});
