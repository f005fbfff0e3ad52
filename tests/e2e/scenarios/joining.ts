import assert from "node:assert/strict";
import { SAMPLES } from "../../../manifests/samples/mod.ts";
import { awaitWire, readWire, startWiretap } from "../../../src/roles/tour/wiretap.ts";
import { enrol, podFacts, PRODUCTPAGE, type Scenario, served, TITLE } from "./scenario.ts";

const CALLERS = ["sleep", "notsleep", "ratings"];
const HBONE_PORT = "15008";

/** Journey S4 without its ingress gateway: plain requests, label, mutual TLS, and nobody restarts. */
export const joining: Scenario = async (cluster) => {
  const applied = [];
  for (const path of ["bookinfo/platform/kube/bookinfo.yaml", "sleep/sleep.yaml", "sleep/notsleep.yaml"] as const) {
    applied.push(...await cluster.apply(SAMPLES[path]));
  }
  const deployments = applied.filter(({ kind }) => kind === "Deployment");
  await cluster.until(async () => {
    for (const { metadata } of deployments) {
      const current = await cluster.client.get("apps/v1", "Deployment", "default", metadata.name);
      assert.equal(current?.status?.availableReplicas, 1, `${metadata.name} is not available`);
    }
  }, 90_000);
  // Istio's own sample has these, and its file applies unchanged.
  const names = deployments.map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(names, [
    "details-v1",
    "notsleep",
    "productpage-v1",
    "ratings-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "sleep",
  ]);

  await startWiretap(cluster.tour);
  for (const caller of CALLERS) await cluster.until(() => served(cluster, caller));
  const plain = await awaitWire(cluster.tour, (wire) => wire.plainText > 0, "no plain text was seen before enrolment");
  assert.equal(plain.hboneSegments, 0);

  const before = await podFacts(cluster);
  await enrol(cluster, true);
  for (const caller of CALLERS) await cluster.until(() => served(cluster, caller));
  // What the wire carries from here on: joined pods have no reason to fall back to plain text.
  const joined = await readWire(cluster.tour);
  const since = new Date();
  for (let i = 0; i < 10; i++) {
    for (const caller of CALLERS) await served(cluster, caller);
  }
  const enrolled = await awaitWire(
    cluster.tour,
    (wire) => wire.tlsRecords > joined.tlsRecords,
    `no TLS was seen on port ${HBONE_PORT}`,
  );
  assert.equal(enrolled.plainText, joined.plainText, "a request crossed the nodes in plain text");
  assert.deepEqual(await podFacts(cluster), before, "a pod was restarted or replaced");

  const productpage = await cluster.pod("productpage");
  for (const caller of ["sleep", "notsleep"]) {
    const pod = await cluster.pod(caller);
    await cluster.until(async () => {
      const lines = (await cluster.accessLines(since)).filter(({ fields }) =>
        fields["src.workload"] === pod.metadata.name && fields["dst.workload"] === productpage.metadata.name
      );
      for (const direction of ["inbound", "outbound"]) {
        const line = lines.find(({ fields }) => fields.direction === direction);
        assert.ok(line, `no ${direction} line tells of ${caller}`);
        assert.equal(line.fields["src.identity"], `spiffe://cluster.local/ns/default/sa/${caller}`);
        assert.equal(line.fields["dst.identity"], "spiffe://cluster.local/ns/default/sa/bookinfo-productpage");
        assert.ok(line.fields["src.addr"].startsWith(`${pod.status.podIP}:`), line.text);
        assert.ok(line.text.includes(`${productpage.status.podIP}:${HBONE_PORT}`), line.text);
      }
    });
  }
  const { stdout } = await cluster.curl("sleep", `${PRODUCTPAGE}productpage`);
  assert.ok(stdout.includes(TITLE));
};
