import assert from "node:assert/strict";
import { request as httpsRequest } from "node:https";
import { issueCertificate } from "../../../src/cluster/api/auth/certificates.ts";
import { startApiServer } from "../../../src/cluster/api/server.ts";
import { Logger, LogLevels } from "../../../src/telemetry/logger.ts";
import { pod, PODS, SERVICE_ACCOUNTS, TestServer } from "./support.ts";

const RBAC = "rbac.authorization.k8s.io";

/** Says who the server takes the bearer of a certificate for. */
function whoAmI(test: TestServer, cert?: { certPem: string; keyPem: string }): Promise<{ code: number; user?: any }> {
  const body = JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" });
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      host: "127.0.0.1",
      port: test.port,
      method: "POST",
      path: "/apis/authentication.k8s.io/v1/selfsubjectreviews",
      ca: test.caPem,
      cert: cert?.certPem,
      key: cert?.keyPem,
      agent: false,
      headers: { "content-type": "application/json" },
    }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ code: response.statusCode!, user: JSON.parse(text).status?.userInfo });
    });
    request.on("error", reject);
    request.end(body);
  });
}

Deno.test("client certificates of the cluster's authority name user and groups; others are refused", async () => {
  await using test = await TestServer.start();
  const admin = test.server.adminKubeconfig(test.url);
  const known = await whoAmI(test, { certPem: admin.clientCertPem, keyPem: admin.clientKeyPem });
  assert.deepEqual(known.user, { username: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] });
  const ca = {
    certPem: await Deno.readTextFile(`${test.dir}/pki/ca.crt`),
    keyPem: await Deno.readTextFile(`${test.dir}/pki/ca.key`),
    commonName: "kubernetes",
  };
  const issue = (days: number, issuer = ca) =>
    issueCertificate({ commonName: "eve", organizations: ["devs"], usage: "client", days, now: Date.now() }, issuer);
  assert.deepEqual((await whoAmI(test, issue(1))).user.groups, ["devs", "system:authenticated"]);
  assert.equal((await whoAmI(test, issue(-1))).code, 401, "expired");
  const rogue = {
    ...issueCertificate({ commonName: "kubernetes", usage: "authority", days: 1, now: Date.now() }),
    commonName: "kubernetes",
  };
  assert.equal((await whoAmI(test, issue(1, rogue))).code, 401, "an authority of the same name");
  assert.equal((await whoAmI(test)).code, 403, "nobody in particular");
});

Deno.test("anonymous requests see health and version only", async () => {
  await using test = await TestServer.start();
  for (const path of ["/healthz", "/livez", "/readyz", "/version"]) {
    assert.equal((await test.call("GET", path, { token: null })).code, 200, path);
  }
  for (const path of ["/api", "/apis", "/api/v1/pods", "/openapi/v2", "/metrics", "/bogus"]) {
    assert.equal((await test.call("GET", path, { token: null })).code, 403, path);
  }
  assert.equal((await test.call("GET", "/healthz", { token: "bogus" })).code, 401);
});

Deno.test("service-account tokens: issued, bound to pod and audience, refused when stale or forged", async () => {
  let now = Date.now();
  await using test = await TestServer.start({ now: () => now });
  const { metadata } = test.api.create(PODS, pod("p"));
  const path = "/api/v1/namespaces/default/serviceaccounts/default/token";
  const request = (spec: unknown) =>
    test.call("POST", path, { body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec } });
  const bound = await request({
    audiences: ["istio-ca"],
    expirationSeconds: 600,
    boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "p", uid: metadata.uid },
  });
  assert.equal(bound.code, 201);
  const review = async (token: string, audiences?: string[]) =>
    (await test.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } },
    })).body.status;
  const status = await review(bound.body.status.token, ["istio-ca", "other"]);
  assert.equal(status.authenticated, true);
  assert.deepEqual(status.audiences, ["istio-ca"]);
  assert.equal(status.user.username, "system:serviceaccount:default:default");
  assert.deepEqual(status.user.groups, [
    "system:serviceaccounts",
    "system:serviceaccounts:default",
    "system:authenticated",
  ]);
  assert.deepEqual(status.user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
  assert.deepEqual(status.user.extra["authentication.kubernetes.io/pod-uid"], [metadata.uid]);
  assert.match((await review(bound.body.status.token)).error, /audiences/, "not for the API itself");

  const [head, body, signature] = bound.body.status.token.split(".");
  const forge = (claims: object) =>
    new TextEncoder().encode(JSON.stringify(claims)).toBase64({ alphabet: "base64url", omitPadding: true });
  const claims = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(body, { alphabet: "base64url" })));
  for (
    const token of [
      `${head}.${forge({ ...claims, sub: "system:serviceaccount:kube-system:admin" })}.${signature}`,
      `${forge({ alg: "none" })}.${body}.`,
      `${forge({ alg: "HS256" })}.${body}.${signature}`,
      `${head}.${body}`,
      "a.b.c",
      "x".repeat(20_000),
    ]
  ) assert.ok((await review(token, ["istio-ca"])).error, token.slice(0, 30));

  now += 700_000;
  assert.match((await review(bound.body.status.token, ["istio-ca"])).error, /expired/);
  const fresh = await test.server.tokens.issue({
    namespace: "default",
    serviceAccount: "default",
    audiences: [],
    expirationSeconds: 3600,
    pod: { name: "p", uid: metadata.uid! },
  });
  assert.equal((await test.call("GET", "/api", { token: fresh.token })).code, 200);
  test.api.delete(PODS, "default", "p");
  assert.equal((await test.call("GET", "/api", { token: fresh.token })).code, 401, "the pod is gone");

  assert.equal((await request({ audiences: ["a"], expirationSeconds: 10 })).code, 422);
  assert.equal((await request({ boundObjectRef: { kind: "Pod", name: "missing" } })).code, 404);
  await assert.rejects(
    test.server.tokens.issue({ namespace: "default", serviceAccount: "nobody", audiences: [], expirationSeconds: 600 }),
    { code: 404 },
  );
});

Deno.test("RBAC decides by roles, cluster roles and their aggregation", async () => {
  await using test = await TestServer.start();
  const create = (resource: string, object: any) =>
    test.api.create({ group: RBAC, resource }, { apiVersion: `${RBAC}/v1`, ...object });
  test.api.create(SERVICE_ACCOUNTS, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "bob", namespace: "default" },
  });
  const { token } = await test.server.tokens.issue({
    namespace: "default",
    serviceAccount: "bob",
    audiences: [],
    expirationSeconds: 600,
  });
  const get = async (path: string) => (await test.call("GET", path, { token })).code;
  assert.equal(await get("/api"), 200, "discovery is for everybody known");
  const refusal = await test.call("GET", "/api/v1/namespaces/default/pods/x", { token });
  assert.equal(
    refusal.body.message,
    'pods "x" is forbidden: User "system:serviceaccount:default:bob" cannot get resource "pods" in API group "" in the namespace "default"',
  );
  create("roles", {
    kind: "Role",
    metadata: { name: "r", namespace: "default" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] }, {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: ["one"],
      verbs: ["get", "list", "watch"],
    }],
  });
  create("rolebindings", {
    kind: "RoleBinding",
    metadata: { name: "r", namespace: "default" },
    roleRef: { kind: "Role", name: "r" },
    subjects: [{ kind: "ServiceAccount", name: "bob" }],
  });
  assert.equal(await get("/api/v1/namespaces/default/pods"), 200);
  assert.equal(await get("/api/v1/pods"), 403);
  assert.equal(await get("/api/v1/namespaces/default/pods/x/log"), 403);
  assert.equal(await get("/api/v1/namespaces/default/configmaps/one"), 404);
  assert.equal(await get("/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Done"), 200);
  assert.equal(await get("/api/v1/namespaces/default/configmaps"), 403);
  create("clusterrolebindings", {
    kind: "ClusterRoleBinding",
    metadata: { name: "v" },
    roleRef: { kind: "ClusterRole", name: "view" },
    subjects: [{ kind: "Group", name: "system:serviceaccounts" }],
  });
  assert.equal(await get("/api/v1/pods"), 200);
  assert.equal(await get("/api/v1/secrets"), 403);
  create("clusterroles", {
    kind: "ClusterRole",
    metadata: { name: "more", labels: { [`${RBAC}/aggregate-to-view`]: "true" } },
    rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }],
  });
  assert.equal(await get("/api/v1/secrets"), 200, "aggregated into view");

  const may = async (user: string, attributes: object) =>
    (await test.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
      body: {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        spec: { user, resourceAttributes: attributes },
      },
    })).body.status.allowed;
  assert.equal(
    await may("system:serviceaccount:default:bob", { verb: "get", resource: "pods", namespace: "default" }),
    true,
  );
  assert.equal(
    await may("system:serviceaccount:default:bob", { verb: "delete", resource: "pods", namespace: "default" }),
    false,
  );
  const impersonated = await test.call("GET", "/api/v1/secrets", { headers: { "impersonate-user": "eve" } });
  assert.equal(impersonated.code, 403);
  assert.match(impersonated.body.message, /User "eve"/);
  assert.equal(
    (await test.call("GET", "/api", { token, headers: { "impersonate-user": "kubernetes-admin" } })).code,
    403,
    "not everybody may act as others",
  );
});

Deno.test("startApiServer() keeps its keys over a restart, and says what is wrong with them", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "ambientd-api-" });
  const log = new Logger("apiserver", { levels: new LogLevels("off") });
  try {
    const first = await startApiServer({ dataDir, listen: [], log });
    const before = first.adminKubeconfig("https://x");
    await first.close();
    const second = await startApiServer({ dataDir, listen: [], log });
    assert.deepEqual(second.adminKubeconfig("https://x"), before);
    await second.close();
    await Deno.writeTextFile(`${dataDir}/pki/ca.key`, "garbage");
    await assert.rejects(startApiServer({ dataDir, listen: [], log }), {
      code: "PKI_UNREADABLE",
      message: /ca\.key.*--data-dir/s,
    });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("startApiServer() listens on Unix sockets, and names an address that is taken", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "ambientd-api-" });
  const log = new Logger("apiserver", { levels: new LogLevels("off") });
  try {
    const server = await startApiServer({
      dataDir,
      listen: [{ path: `${dataDir}/api.sock` }, { hostname: "127.0.0.1", port: 0 }],
      log,
    });
    const { caPem } = server.adminKubeconfig("https://x");
    const code = await new Promise<number>((resolve, reject) => {
      const request = httpsRequest({
        socketPath: `${dataDir}/api.sock`,
        servername: "localhost",
        path: "/healthz",
        ca: caPem,
        agent: false,
      }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode!));
      });
      request.on("error", reject);
      request.end();
    });
    assert.equal(code, 200);
    const taken = server.addresses[1] as { hostname: string; port: number };
    const other = await Deno.makeTempDir({ prefix: "ambientd-api-" });
    await assert.rejects(startApiServer({ dataDir: other, listen: [taken], log }), {
      code: "API_LISTEN_FAILED",
      message: new RegExp(`127\\.0\\.0\\.1:${taken.port}`),
    });
    await Deno.remove(other, { recursive: true });
    await server.close();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
