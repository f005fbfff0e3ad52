import assert from "node:assert/strict";
import { Discovery, KubeApiError, KubeClient, type Resource, RESOURCES, Store } from "../../src/kube/mod.ts";
import { status, WatchApi } from "../support/watch_api.ts";

Deno.test("KubeClient sends what Kubernetes expects for each kind of write", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  api.intercept = () => Response.json({ kind: "Pod", metadata: { name: "p" } });
  const pod = { metadata: { namespace: "n s", name: "p" }, spec: {} };
  await client.create(RESOURCES.pods, pod, { fieldManager: "me", dryRun: true });
  await client.update(RESOURCES.pods, pod, { subresource: "status" });
  await client.patch(RESOURCES.pods, "n", "p", "merge", { a: 1 }, { subresource: "status" });
  await client.patch(RESOURCES.pods, "n", "p", "json", []);
  await client.patch(RESOURCES.pods, "n", "p", "strategic", {});
  await client.apply(RESOURCES.authorizationPolicies, pod, { fieldManager: "me", subresource: "status" });
  await client.apply(RESOURCES.namespaces, { metadata: { name: "x" } }, { fieldManager: "me", force: false });
  await client.delete(RESOURCES.pods, "n", "p", { gracePeriodSeconds: 0, preconditions: { uid: "u" }, dryRun: true });
  assert.deepEqual(
    api.requests.map(({ method, path, query, contentType }) => [method, path, String(query), contentType]),
    [
      ["POST", "/api/v1/namespaces/n%20s/pods", "fieldManager=me&dryRun=All", "application/json"],
      ["PUT", "/api/v1/namespaces/n%20s/pods/p/status", "", "application/json"],
      ["PATCH", "/api/v1/namespaces/n/pods/p/status", "", "application/merge-patch+json"],
      ["PATCH", "/api/v1/namespaces/n/pods/p", "", "application/json-patch+json"],
      ["PATCH", "/api/v1/namespaces/n/pods/p", "", "application/strategic-merge-patch+json"],
      [
        "PATCH",
        "/apis/security.istio.io/v1/namespaces/n%20s/authorizationpolicies/p/status",
        "fieldManager=me&force=true",
        "application/apply-patch+yaml",
      ],
      ["PATCH", "/api/v1/namespaces/x", "fieldManager=me&force=false", "application/apply-patch+yaml"],
      ["DELETE", "/api/v1/namespaces/n/pods/p", "", "application/json"],
    ],
  );
  assert.deepEqual([api.requests[0].body.apiVersion, api.requests[0].body.kind], ["v1", "Pod"]);
  assert.deepEqual(api.requests.at(-1)!.body, {
    apiVersion: "v1",
    kind: "DeleteOptions",
    gracePeriodSeconds: 0,
    preconditions: { uid: "u" },
    dryRun: ["All"],
  });
  assert.ok(api.requests.every(({ authorization }) => authorization === "Bearer t"));
});

Deno.test("KubeClient turns a Status into an error with its reason", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  api.intercept = () => status(409, "AlreadyExists", 'pods "p" already exists');
  await assert.rejects(client.create(RESOURCES.pods, { metadata: { namespace: "n", name: "p" } }), (error) => {
    assert.ok(error instanceof KubeApiError);
    assert.deepEqual([error.status, error.reason, error.message], [409, "AlreadyExists", 'pods "p" already exists']);
    assert.equal(error.retryable, false);
    return true;
  });
  api.intercept = () => new Response("upstream went away", { status: 502 });
  await assert.rejects(client.list(RESOURCES.pods), { message: "upstream went away", retryable: true });
  api.intercept = () => new Response("", { status: 500 });
  await assert.rejects(client.list(RESOURCES.pods), {
    message: 'the Kubernetes API answered GET "/api/v1/pods" with status 500',
  });
  api.intercept = () => status(404, "NotFound", "none");
  assert.equal(await client.get(RESOURCES.pods, "n", "p"), undefined);
  assert.equal(await client.delete(RESOURCES.pods, "n", "p"), false);
});

Deno.test("KubeClient says that an API is unreachable, and why", async () => {
  const api = await WatchApi.start();
  using client = api.client({ timeoutMs: 200 });
  let release!: () => void;
  api.intercept = () => new Promise((resolve) => release = () => resolve(new Response("{}")));
  await assert.rejects(client.list(RESOURCES.pods), { code: "kube_unreachable", message: /no answer in time$/ });
  const stop = new AbortController();
  const listing = client.list(RESOURCES.pods, { signal: stop.signal });
  stop.abort(new Error("never mind"));
  await assert.rejects(listing, { message: "never mind" });
  api.intercept = undefined;
  release();
  await api[Symbol.asyncDispose]();
  await assert.rejects(client.list(RESOURCES.pods), { code: "kube_unreachable", retryable: true });
  using stranger = new KubeClient({ server: "https://127.0.0.1:1" });
  await assert.rejects(stranger.list(RESOURCES.pods), { code: "kube_unreachable" });
});

Deno.test("KubeClient refuses an API whose certificate it has no root for, and reads replaced roots again", async () => {
  await using api = await WatchApi.start("/api/v1/pods");
  const { newSelfSignedCa } = await import("../../src/identity/ca_material.ts");
  const other = await newSelfSignedCa({
    trustDomain: "other",
    ttlMs: 3600_000,
    key: { kind: "EC", curve: "P-256" },
    now: Date.now(),
  });
  const target = { server: api.url, caPem: other.rootPem };
  using stranger = new KubeClient(target);
  await assert.rejects(stranger.list(RESOURCES.pods), { code: "kube_unreachable" });
  using client = new KubeClient({ ...target, reload: () => Promise.resolve({ ...target, caPem: api.caPem }) });
  await assert.rejects(client.list(RESOURCES.pods), { code: "kube_unreachable" });
  assert.deepEqual((await client.list(RESOURCES.pods)).items, [], "the next attempt uses the new root");
});

Deno.test("KubeClient asks for the token each time and impersonates when told", async () => {
  await using api = await WatchApi.start("/api/v1/pods");
  const tokens = ["one", "two"];
  using client = new KubeClient({
    server: api.url,
    caPem: api.caPem,
    token: () => Promise.resolve(tokens.shift()!),
    impersonate: { user: "bob", groups: ["g", "h"] },
  });
  await client.list(RESOURCES.pods);
  await client.list(RESOURCES.pods);
  assert.deepEqual(api.requests.map(({ authorization }) => authorization), ["Bearer one", "Bearer two"]);
  assert.deepEqual(api.requests[0].impersonated, ["bob", "g, h"]);
});

Deno.test("KubeClient reviews tokens and access", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  api.intercept = ({ body }) =>
    Response.json({
      status: body.kind === "TokenReview"
        ? { authenticated: true, audiences: body.spec.audiences, user: { username: `user of ${body.spec.token}` } }
        : { allowed: body.spec.resourceAttributes.resource === "pods" },
    });
  assert.equal((await client.reviewToken("x", ["istio-ca"])).user?.username, "user of x");
  assert.equal(await client.canI("list", RESOURCES.pods, "default"), true);
  assert.equal(await client.canI("list", RESOURCES.secrets), false);
});

Deno.test("Discovery finds the type of a kind, without subresources, and forgets a failure", async () => {
  await using api = await WatchApi.start();
  using client = api.client();
  const discovery = new Discovery(client);
  let answers = 0;
  api.intercept = ({ path }) => {
    if (path === "/apis/none/v1") return undefined;
    if (answers++ === 0) return status(500, "InternalError", "not now");
    const type = { name: "pods", kind: "Pod", namespaced: true };
    return Response.json({ resources: [{ ...type, name: "pods/status" }, type] });
  };
  await assert.rejects(discovery.find("v1", "Pod"), { message: "not now" });
  const found: Resource | undefined = await discovery.find("v1", "Pod");
  assert.deepEqual(found, { group: "", version: "v1", resource: "pods", kind: "Pod", namespaced: true });
  assert.equal(await discovery.find("v1", "Nothing"), undefined);
  assert.equal(answers, 2, "remembered");
  assert.equal(await discovery.find("none/v1", "Pod"), undefined);
});

Deno.test("Store keeps its indexes in step with its objects", () => {
  const store = new Store();
  const object = (name: string, node?: string) => ({ metadata: { namespace: "n", name }, node });
  store.set(object("early", "n1"));
  store.addIndex("node", ({ node }) => node ? [node] : []);
  store.set(object("late", "n1"));
  const names = (node: string) => [...store.by("node", node)].map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(names("n1"), ["early", "late"]);
  store.set(object("early", "n2"));
  assert.deepEqual([names("n1"), names("n2")], [["late"], ["early"]]);
  store.delete("n/late");
  store.set(object("early"));
  assert.deepEqual([names("n1"), names("n2"), store.size], [[], [], 1]);
  assert.equal(store.delete("n/none"), undefined);
  assert.deepEqual([...store.by("no such index", "x")], []);
});
