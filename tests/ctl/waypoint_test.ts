import assert from "node:assert/strict";
import { parse } from "yaml";
import { gatewayApiDefinitions } from "../../manifests/crds/gateway_api/mod.ts";
import { applyAll } from "../../src/roles/ctl/apply.ts";
import { KubeClient } from "../../src/roles/ctl/kube.ts";
import { embeddedApi } from "../support/embedded_api.ts";
import { eventually } from "../support/eventually.ts";
import { ctl } from "./harness.ts";

const GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways";

Deno.test("ctl waypoint generate prints the Gateway without a cluster", async () => {
  const plain = await ctl(["waypoint", "generate"]);
  assert.equal(plain.code, 0, plain.err);
  assert.deepEqual(parse(plain.out), {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "waypoint" },
    spec: { gatewayClassName: "istio-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
  });
  const { out } = await ctl(["x", "waypoint", "generate", "--for", "all", "-r", "canary", "--name", "w", "-n", "shop"]);
  assert.deepEqual(parse(out).metadata, {
    labels: { "istio.io/waypoint-for": "all", "istio.io/rev": "canary" },
    name: "w",
    namespace: "shop",
  });
  assert.equal(parse((await ctl(["waypoint", "--name", "before", "generate"])).out).metadata.name, "before");
});

const WRONG: [name: string, args: string[], code: number, message: RegExp][] = [
  ["the reserved name", ["generate", "--name", "none"], 1, /'none' is a reserved value/],
  [
    "an unknown traffic type",
    ["generate", "--for", "everything"],
    1,
    /invalid traffic type: everything\. Valid options are:/,
  ],
  ["delete of nothing", ["delete"], 64, /must either specify a waypoint name or delete all/],
  ["delete by name and --all", ["delete", "a", "--all"], 64, /cannot specify waypoint names and also --all/],
  ["delete by name and revision", ["delete", "a", "-r", "b"], 64, /cannot specify waypoint names/],
  ["an unknown sub-command", ["frobnicate"], 64, /unknown command 'frobnicate'/],
];

for (const [name, args, code, message] of WRONG) {
  Deno.test(`ctl waypoint refuses ${name}`, async () => {
    const result = await ctl(["waypoint", ...args]);
    assert.match(result.err, message);
    assert.equal(result.code, code);
  });
}

Deno.test("ctl waypoint against the API server", async (t) => {
  await using api = await embeddedApi();
  using client = new KubeClient(api.target);
  const run = (...args: string[]) => ctl(["x", "waypoint", ...args], { kubeconfig: api.kubeconfig });

  await t.step("needs the Gateway API", async () => {
    for (const args of [["apply"], ["list"], ["delete", "--all"]]) {
      const { code, err } = await run(...args);
      assert.equal(code, 1);
      assert.match(err, /Kubernetes Gateway API CRDs are not installed/);
    }
  });

  await t.step("names the versions of definitions that are too old", async () => {
    const old = gatewayApiDefinitions().find(({ spec }) => spec.names.kind === "Gateway")!;
    old.spec.versions = [{ ...old.spec.versions[0], name: "v1alpha2", storage: true }];
    await applyAll(client, [old]);
    const { code, err } = await run("apply");
    assert.equal(code, 1);
    assert.match(err, /are too old: they serve Gateway as v1alpha2, and a waypoint needs v1 or v1beta1/);
    await client.delete(old, { background: true });
    await eventually(async () =>
      assert.equal(await client.get(old.apiVersion, old.kind, undefined, old.metadata.name), undefined)
    );
  });

  await applyAll(client, gatewayApiDefinitions());

  await t.step("serves a user who may do nothing outside of one namespace", async () => {
    const api = (kind: string, plural: string, body: Record<string, unknown>) =>
      client.request("POST", `/apis/rbac.authorization.k8s.io/v1/namespaces/default/${plural}`, {
        body: { apiVersion: "rbac.authorization.k8s.io/v1", kind, metadata: { name: "tenant" }, ...body },
      });
    await api("Role", "roles", {
      rules: [
        { apiGroups: ["gateway.networking.k8s.io"], resources: ["gateways"], verbs: ["*"] },
        { apiGroups: [""], resources: ["namespaces"], verbs: ["get"] },
      ],
    });
    await api("RoleBinding", "rolebindings", {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "tenant" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "tenant" }],
    });
    const as = (...args: string[]) => run(...args, "--as=tenant", "--as-group=system:authenticated");
    assert.equal((await as("apply", "--name", "mine")).out, "✅ waypoint default/mine applied\n");
    assert.match((await as("list")).out, /^mine /m);
    assert.equal((await as("delete", "mine")).out, "waypoint default/mine deleted\n");
    assert.match((await as("list", "-A")).err, /is forbidden.*ask who runs the cluster for that permission/);
  });

  await t.step("lists none", async () => {
    assert.equal((await run("list")).out, "No waypoints found.\n");
    assert.equal((await run("status")).out, "No waypoints found.\n");
  });

  await t.step("refuses a namespace that is not there", async () => {
    const { code, err } = await run("apply", "-n", "nowhere");
    assert.equal(code, 1);
    assert.match(err, /namespace: nowhere not found/);
  });

  await t.step("times out when nobody programs it", async () => {
    const { code, out, err } = await run("apply", "--wait", "--waypoint-timeout", "1s");
    assert.equal(code, 1);
    assert.equal(out, "✅ waypoint default/waypoint applied\n");
    assert.match(err, /timed out while waiting for waypoint default\/waypoint: Waiting for controller/);
    const { code: status, out: rows } = await run("status", "--waypoint-timeout", "500ms");
    assert.equal(status, 1);
    assert.match(
      rows,
      /^NAME +STATUS +TYPE +REASON +MESSAGE\nwaypoint +Unknown +Programmed +Pending +Waiting for controller\n$/,
    );
    assert.equal((await run("status", "--wait=false")).code, 0);
  });

  const programmed = (name: string) =>
    client.request("PATCH", `${GATEWAYS}/${name}/status`, {
      contentType: "application/merge-patch+json",
      body: {
        status: {
          conditions: [{
            type: "Programmed",
            status: "True",
            reason: "Programmed",
            message: "Resource programmed",
            lastTransitionTime: "2026-01-01T00:00:00Z",
          }],
        },
      },
    });

  await t.step("enrols the namespace and waits", async () => {
    await programmed("waypoint");
    const { code, out, err } = await run("apply", "--enroll-namespace", "--wait");
    assert.equal(code, 0, err);
    assert.equal(err, "");
    assert.equal(
      out,
      "⚠️ Warning: namespace is not enrolled in ambient. Consider running " +
        "`kubectl label namespace default istio.io/dataplane-mode=ambient`\n" +
        "✅ waypoint default/waypoint applied\n✅ waypoint default/waypoint is ready!\n" +
        '✅ namespace default labeled with "istio.io/use-waypoint: waypoint"\n',
    );
    const namespace = await client.get("v1", "Namespace", undefined, "default");
    assert.equal(namespace!.metadata.labels["istio.io/use-waypoint"], "waypoint");
  });

  await t.step("keeps another waypoint of the namespace unless told otherwise", async () => {
    const before = (await client.get("gateway.networking.k8s.io/v1", "Gateway", "default", "waypoint"))!;
    // The same one, too: nothing is applied, not even a label that is new.
    for (const args of [["--for", "all"], ["--name", "second"], ["--name=", "--wait"]]) {
      const kept = await run("apply", "--enroll-namespace", ...args);
      assert.equal(kept.code, 0);
      assert.match(
        kept.out,
        /^⚠️ Warning: namespace \(default\) already has an enrolled waypoint, "waypoint", so nothing was applied\. .*--overwrite.*\n$/,
      );
      assert.equal(kept.err, "");
    }
    assert.equal(await client.get("gateway.networking.k8s.io/v1", "Gateway", "default", "second"), undefined);
    const after = await client.get("gateway.networking.k8s.io/v1", "Gateway", "default", "waypoint");
    assert.equal(after!.metadata.resourceVersion, before.metadata.resourceVersion);
    const replaced = await run("apply", "--enroll-namespace", "--name", "second", "--overwrite", "--for", "workload");
    assert.match(replaced.out, /labeled with "istio\.io\/use-waypoint: second"/);
  });

  await t.step("lists in columns", async () => {
    assert.equal(
      (await run("list")).out,
      "NAME         REVISION     TRAFFIC TYPE     PROGRAMMED\n" +
        "second       default      workload         Unknown\n" +
        "waypoint     default      none             True\n",
    );
    assert.match(
      (await run("list", "-A")).out,
      /^NAMESPACE +NAME +REVISION +TRAFFIC TYPE +PROGRAMMED\ndefault +second /,
    );
    assert.match((await run("status", "waypoint")).out, /waypoint +True +Programmed +Programmed +Resource programmed/);
  });

  await t.step("deletes waypoints and nothing else", async () => {
    await client.apply({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "ingress", namespace: "default" },
      spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
    });
    const named = await run("delete", "second", "ingress");
    assert.equal(named.out, "waypoint default/second deleted\nwaypoint default/ingress not found\n");
    assert.equal((await run("delete", "-r", "other")).out, "No waypoints found.\n");
    assert.equal((await run("delete", "--all")).out, "waypoint default/waypoint deleted\n");
    assert.equal((await run("list")).out, "No waypoints found.\n");
    assert.ok(await client.get("gateway.networking.k8s.io/v1", "Gateway", "default", "ingress"));
  });
});
