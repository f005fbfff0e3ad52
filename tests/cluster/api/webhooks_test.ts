import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { issueCertificate } from "../../../src/cluster/api/auth/certificates.ts";
import { selects } from "../../../src/cluster/api/webhooks/match.ts";
import { eventually, pod, PODS, SERVICES, TestServer } from "./support.ts";

const ADMISSION = "admissionregistration.k8s.io";
const PATH = "/api/v1/namespaces/default/pods";

/** A webhook in the cluster: a Service, its endpoint on loopback, and what it was asked. */
class Webhook implements AsyncDisposable {
  readonly asked: any[] = [];
  answer: (request: any) => any = () => ({ allowed: true });

  private constructor(
    readonly test: TestServer,
    readonly caBundle: string,
    readonly server: ReturnType<typeof createServer>,
  ) {}

  static async start(test: TestServer): Promise<Webhook> {
    const now = Date.now();
    const ca = {
      ...issueCertificate({ commonName: "hook-ca", usage: "authority", days: 1, now }),
      commonName: "hook-ca",
    };
    const leaf = issueCertificate(
      { commonName: "hook", dnsNames: ["hook.default.svc"], usage: "server", days: 1, now },
      ca,
    );
    const server = createServer({ key: leaf.keyPem, cert: leaf.certPem });
    const hook = new Webhook(test, btoa(ca.certPem), server);
    server.on("request", async (request, response) => {
      let text = "";
      for await (const chunk of request) text += chunk;
      const review = JSON.parse(text);
      hook.asked.push(review.request);
      const answer = { uid: review.request.uid, ...hook.answer(review.request) };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: "AdmissionReview", response: answer }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    test.api.create(SERVICES, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "hook", namespace: "default" },
      spec: { ports: [{ name: "https", port: 443 }] },
    });
    test.api.create({ group: "discovery.k8s.io", resource: "endpointslices" }, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "hook", namespace: "default", labels: { "kubernetes.io/service-name": "hook" } },
      addressType: "IPv4",
      ports: [{ name: "https", port: (server.address() as AddressInfo).port }],
      endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
    });
    return hook;
  }

  configure(kind: "Mutating" | "Validating", overrides: Record<string, unknown> = {}): void {
    this.test.api.create({ group: ADMISSION, resource: `${kind.toLowerCase()}webhookconfigurations` }, {
      apiVersion: `${ADMISSION}/v1`,
      kind: `${kind}WebhookConfiguration`,
      metadata: { name: `test-${kind.toLowerCase()}` },
      webhooks: [{
        name: `${kind.toLowerCase()}.test.io`,
        clientConfig: { service: { namespace: "default", name: "hook", path: "/x" }, caBundle: this.caBundle },
        rules: [{
          apiGroups: [""],
          apiVersions: ["v1"],
          resources: ["pods"],
          operations: ["CREATE", "UPDATE", "DELETE"],
        }],
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
        ...overrides,
      }],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

Deno.test("validating webhooks see a write's outcome, refuse it, and warn", async () => {
  await using test = await TestServer.start();
  await using hook = await Webhook.start(test);
  hook.configure("Validating");
  hook.answer = ({ object }) =>
    object?.metadata.labels?.bad
      ? { allowed: false, status: { message: "no bad pods", code: 403, reason: "Forbidden" } }
      : { allowed: true, warnings: ["mind the gap"] };
  const refused = await test.call("POST", PATH, { body: pod("p", { bad: "yes" }) });
  assert.equal(refused.code, 403);
  assert.equal(refused.body.message, 'admission webhook "validating.test.io" denied the request: no bad pods');
  const { operation, object, userInfo, resource } = hook.asked[0];
  assert.equal(operation, "CREATE");
  assert.equal(object.spec.restartPolicy, "Always", "defaults are there");
  assert.equal(userInfo.username, "kubernetes-admin");
  assert.deepEqual(resource, { group: "", version: "v1", resource: "pods" });
  const created = await test.call("POST", PATH, { body: pod("p") });
  assert.equal(created.code, 201);
  assert.match(String(created.headers.warning), /mind the gap/);
  const patched = await test.call("PATCH", `${PATH}/p`, {
    body: { metadata: { labels: { bad: "1" } } },
    type: "application/merge-patch+json",
  });
  assert.equal(patched.code, 403);
  assert.equal(hook.asked.at(-1).operation, "UPDATE");
  assert.equal(hook.asked.at(-1).oldObject.metadata.labels, undefined);
  hook.answer = () => ({ allowed: false });
  assert.match((await test.call("DELETE", `${PATH}/p`)).body.message, /denied the request without explanation/);
  assert.ok(test.api.get(PODS, "default", "p"));
});

Deno.test("mutating webhooks change what is written", async () => {
  await using test = await TestServer.start();
  await using hook = await Webhook.start(test);
  hook.configure("Mutating");
  const patch = [{ op: "add", path: "/spec/containers/-", value: { name: "side", image: "side:1" } }];
  hook.answer = ({ operation }) =>
    operation === "CREATE"
      ? { allowed: true, patchType: "JSONPatch", patch: btoa(JSON.stringify(patch)) }
      : { allowed: true };
  const { body } = await test.call("POST", PATH, {
    body: { ...pod(""), metadata: { generateName: "p-", namespace: "default" } },
  });
  assert.deepEqual(body.spec.containers.map(({ name }: { name: string }) => name), ["main", "side"]);
  assert.equal(body.spec.containers[1].imagePullPolicy, "IfNotPresent", "defaults come after the change");
  assert.equal(hook.asked[0].object.metadata.name, body.metadata.name);
});

Deno.test("selectors, conditions and failure policies decide whether a webhook counts", async () => {
  await using test = await TestServer.start();
  const hook = await Webhook.start(test);
  hook.configure("Validating", {
    objectSelector: { matchLabels: { check: "me" } },
    matchConditions: [{
      name: "not-x",
      expression: "!has(object.metadata.labels) || !('x' in object.metadata.labels)",
    }],
  });
  hook.answer = () => ({ allowed: false });
  assert.equal((await test.call("POST", PATH, { body: pod("a") })).code, 201);
  assert.equal((await test.call("POST", PATH, { body: pod("b", { check: "me" }) })).code, 400);
  await hook[Symbol.asyncDispose]();
  const failed = await test.call("POST", PATH, { body: pod("c", { check: "me" }) });
  assert.equal(failed.code, 500);
  assert.match(failed.body.message, /failed calling webhook "validating\.test\.io": failed to call webhook/);
  test.api.patch(
    { group: ADMISSION, resource: "validatingwebhookconfigurations" },
    undefined,
    "test-validating",
    "json",
    [{ op: "replace", path: "/webhooks/0/failurePolicy", value: "Ignore" }],
  );
  assert.equal((await test.call("POST", PATH, { body: pod("d", { check: "me" }) })).code, 201);
  await eventually(() => test.api.get(PODS, "default", "d"), "the pod");
});

Deno.test("selects() knows the operators of label selectors", () => {
  const labels = { a: "1" };
  const table: [any, boolean][] = [
    [undefined, true],
    [{}, true],
    [{ matchLabels: { a: "1" } }, true],
    [{ matchLabels: { a: "2" } }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, true],
    [{ matchExpressions: [{ key: "b", operator: "NotIn", values: ["1"] }] }, true],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, false],
    [{ matchExpressions: [{ key: "b", operator: "Exists" }] }, false],
    [{ matchExpressions: [{ key: "a", operator: "Bogus" }] }, false],
  ];
  for (const [selector, expected] of table) assert.equal(selects(selector, labels), expected, JSON.stringify(selector));
});
