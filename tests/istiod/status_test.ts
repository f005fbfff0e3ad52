import assert from "node:assert/strict";
import type { Condition } from "../../src/kube/mod.ts";
import { RESOURCES } from "../../src/kube/resources.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab, IstiodProcess } from "../support/istiod_lab.ts";

Deno.test("istiod tells in a policy's status what ztunnel makes of it, and follows the policy", async () => {
  await using lab = await ApiLab.start();
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  await istiod.ready();
  const type = RESOURCES.authorizationPolicies, { client } = lab;
  const spec = (spec: object) => client.patch(type, "default", "p", "merge", { spec });
  const conditions = async (): Promise<Condition[]> =>
    (await client.get(type, "default", "p"))?.status?.conditions ?? [];
  const says = (conditionType: string, status: string, reason: string, message: RegExp) =>
    eventually(async () => {
      const all = await conditions();
      assert.deepEqual(all.map((c) => [c.type, c.status, c.reason]), [[conditionType, status, reason]]);
      assert.match(all[0].message!, message);
    });

  await client.create(type, {
    metadata: { namespace: "default", name: "p" },
    spec: { selector: { matchLabels: { app: "web" } }, rules: [{ from: [{ source: { namespaces: ["a"] } }] }] },
  });
  await says("ZtunnelAccepted", "True", "Accepted", /^attached to ztunnel$/);
  const [{ lastTransitionTime }] = await conditions();

  await spec({ rules: [{ to: [{ operation: { methods: ["GET"] } }] }] });
  await says("ZtunnelAccepted", "True", "UnsupportedValue", /HTTP attributes \(found: methods\).*rules matching HTTP/);
  const [changed] = await conditions();
  assert.equal(changed.lastTransitionTime, lastTransitionTime, "still True: no transition");
  assert.equal(Number(changed.observedGeneration), (await client.get(type, "default", "p"))?.metadata.generation);

  await spec({ action: "DENY" });
  await says("ZtunnelAccepted", "True", "UnsupportedValue", /denies all traffic/);
  await spec({ action: "AUDIT" });
  await says("ZtunnelAccepted", "False", "UnsupportedValue", /does not support the AUDIT action/);
  await spec({ action: "DENY", selector: null, targetRefs: [{ group: "", kind: "Service", name: "web" }] });
  await says("WaypointAccepted", "False", "TargetNotFound", /Service default\/web was not found/);
  await spec({ targetRefs: null, rules: [{}] });
  await says("ZtunnelAccepted", "True", "Accepted", /attached/);

  // What others write into the status stays theirs, and what istiod wrote is put back.
  const managers = (await client.get(type, "default", "p"))?.metadata as any;
  assert.deepEqual(
    managers.managedFields.filter(({ subresource }: any) => subresource === "status").map(({ manager }: any) =>
      manager
    ),
    ["istio-ambient-ztunnel-policy"],
  );
});

Deno.test("istiod writes no status when AMBIENT_ENABLE_STATUS is false", async () => {
  await using lab = await ApiLab.start();
  await using istiod = await IstiodProcess.start(await lab.kubeconfig(), { env: { AMBIENT_ENABLE_STATUS: "false" } });
  await istiod.ready();
  const type = RESOURCES.authorizationPolicies;
  await lab.client.create(type, { metadata: { namespace: "default", name: "p" }, spec: {} });
  // The root of a namespace made later comes from the same leader: by then the policy has been seen too.
  await lab.client.create(RESOURCES.namespaces, { metadata: { name: "later" } });
  await lab.root("later");
  assert.equal((await lab.client.get(type, "default", "p"))?.status, undefined);
});
