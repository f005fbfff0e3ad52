import assert from "node:assert/strict";
import { certificatesOf } from "../../src/identity/pem.ts";
import { CaClient } from "../../src/identity/ca_client.ts";
import { RESOURCES } from "../../src/kube/resources.ts";
import { type SpiffeId, spiffeId } from "../../src/model/identity.ts";
import { peerSpiffeIds } from "../../src/identity/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab, IstiodProcess } from "../support/istiod_lab.ts";
import { controlPlane } from "./xds_view.ts";

const id = (serviceAccount: string, namespace = "default") =>
  spiffeId({ trustDomain: "cluster.local", namespace, serviceAccount });

/** Tries to get a certificate; its identities, or the refusal. */
async function tryFetch(
  port: number,
  root: string,
  token: string,
  wanted: SpiffeId,
  impersonate = true,
): Promise<string> {
  const client = new CaClient({ ...controlPlane(port, root, token), ttlMs: 3600_000, impersonate });
  try {
    const certificate = await client.fetch(wanted);
    return peerSpiffeIds(certificatesOf(certificate.chainPem)[0]).join();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  } finally {
    client.close();
  }
}

Deno.test("istiod gives a ztunnel certificates for the identities on its node, and nobody else", async () => {
  await using lab = await ApiLab.start();
  const here = await lab.pod("ztunnel-1", { namespace: "istio-system", ip: "10.244.0.2", serviceAccount: "ztunnel" });
  const gone = await lab.pod("ztunnel-0", { namespace: "istio-system", ip: "10.244.0.3", serviceAccount: "ztunnel" });
  const app = await lab.pod("sleep", { ip: "10.244.0.5", serviceAccount: "sleep" });
  await lab.pod("far", { ip: "10.244.1.5", serviceAccount: "far", node: "n2" });
  await lab.pod("failed", { ip: "10.244.0.9", serviceAccount: "failed", phase: "Failed" });
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc: port, monitoring } = await istiod.ready(), root = await lab.root();
  const token = await lab.token("istio-system", "ztunnel", { pod: here });
  const attempt = (token: string, wanted: SpiffeId, impersonate = true) =>
    tryFetch(port, root, token, wanted, impersonate);

  assert.equal(await attempt(token, id("sleep")), id("sleep"));
  assert.equal(await attempt(token, id("ztunnel", "istio-system"), false), id("ztunnel", "istio-system"), "its own");
  assert.equal(await attempt(token, id("far")), "ca_refused", "runs on another node");
  assert.equal(await attempt(token, id("failed")), "ca_refused", "has failed");
  assert.equal(await attempt(token, id("nobody")), "ca_refused", "runs nowhere");

  const sleepToken = await lab.token("default", "sleep", { pod: app });
  assert.equal(await attempt(sleepToken, id("sleep"), false), id("sleep"), "anyone may have their own");
  assert.equal(await attempt(sleepToken, id("far")), "ca_refused", "not a trusted node account");
  assert.equal(await attempt(await lab.token("istio-system", "ztunnel"), id("sleep")), "ca_refused", "bound to no pod");

  const [header, claims, signature] = token.split(".");
  const forged = btoa(atob(claims.replaceAll("-", "+").replaceAll("_", "/")).replace("ztunnel", "istiod!"))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  assert.equal(await attempt(`${header}.${forged}.${signature}`, id("sleep")), "ca_refused", "forged claims");
  const flipped = (signature[0] === "A" ? "B" : "A") + signature.slice(1);
  assert.equal(await attempt(`${header}.${claims}.${flipped}`, id("sleep")), "ca_refused", "forged signature");
  const none = `${btoa('{"alg":"none"}').replaceAll("=", "")}.${claims}.`;
  assert.equal(await attempt(none + "x", id("sleep")), "ca_refused", "unsigned");
  const other = await lab.token("istio-system", "ztunnel", { pod: here, audiences: ["somebody-else"] });
  assert.equal(await attempt(other, id("sleep")), "ca_refused", "meant for another");
  assert.equal(await attempt("", id("sleep")), "ca_refused", "no token");

  const goneToken = await lab.token("istio-system", "ztunnel", { pod: gone });
  await lab.client.delete(RESOURCES.pods, "istio-system", "ztunnel-0", { gracePeriodSeconds: 0 });
  await eventually(async () => assert.equal(await attempt(goneToken, id("sleep")), "ca_refused", "its pod is gone"));

  const metrics = await (await fetch(`http://127.0.0.1:${monitoring}/metrics`)).text();
  assert.match(metrics, /^citadel_server_success_cert_issuance_count 3$/m);
  assert.match(metrics, /^citadel_server_authentication_failure_count [1-9]\d*$/m);
  assert.match(metrics, /^citadel_server_root_cert_expiry_timestamp [1-9]\d{9}$/m);
  assert.ok(!istiod.lines.some((line) => line.includes(signature)), "tokens are not logged");
});

Deno.test("istiod refuses an expired token although it was good a moment ago", async () => {
  await using lab = await ApiLab.start();
  const pod = await lab.pod("ztunnel-1", { namespace: "istio-system", ip: "10.244.0.2", serviceAccount: "ztunnel" });
  await lab.pod("sleep", { ip: "10.244.0.5", serviceAccount: "sleep" });
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc: port } = await istiod.ready(), root = await lab.root();
  const token = await lab.token("istio-system", "ztunnel", { pod, expirationSeconds: 600 });
  assert.equal(await tryFetch(port, root, token, id("sleep")), id("sleep"));
  lab.clock.ahead = 700_000;
  await eventually(async () => assert.equal(await tryFetch(port, root, token, id("sleep")), "ca_refused"));
});

Deno.test("istiod keeps its root over a restart, and replicas that start together agree on one", async () => {
  await using lab = await ApiLab.start();
  const kubeconfig = await lab.kubeconfig();
  const replicas = await Promise.all(["one", "two"].map((name) => IstiodProcess.start(kubeconfig, { name })));
  await using _one = replicas[0];
  await using _two = replicas[1];
  const ports = await Promise.all(replicas.map((replica) => replica.ready()));
  const root = await lab.root("default");
  const token = await lab.token("istio-system", "ztunnel");
  for (const { secureGrpc } of ports) {
    const got = await tryFetch(secureGrpc, root, token, id("ztunnel", "istio-system"), false);
    assert.equal(got, id("ztunnel", "istio-system"), "each serves with a certificate of the one root");
  }
  const leaders = () => replicas.filter((replica) => replica.lines.some((line) => line.includes("\tleading\t")));
  await eventually(() => assert.equal(leaders().length, 1));

  // The leader goes: the other takes over at once, since a leader that ends gives its Lease back.
  const [leader] = leaders(), other = replicas.find((replica) => replica !== leader)!;
  assert.equal(await leader.stop(), 0);
  await lab.client.create(RESOURCES.namespaces, { metadata: { name: "fresh" } });
  await other.line("leading");
  assert.equal(await lab.root("fresh"), root);
  await other.stop();
  await using again = await IstiodProcess.start(kubeconfig, { name: "three" });
  await again.ready();
  await lab.client.delete(RESOURCES.configMaps, "fresh", "istio-ca-root-cert");
  assert.equal(await lab.root("fresh"), root);
});

Deno.test("istiod puts its root into every namespace and undoes changes to it", async () => {
  await using lab = await ApiLab.start();
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  await istiod.ready();
  const root = await lab.root("kube-system"), name = "istio-ca-root-cert";
  await lab.client.create(RESOURCES.namespaces, { metadata: { name: "later" } });
  assert.equal(await lab.root("later"), root);
  const patched = await lab.client.patch(RESOURCES.configMaps, "later", name, "merge", {
    data: { "root-cert.pem": "tampered", extra: "kept" },
  });
  assert.equal(patched.data["root-cert.pem"], "tampered");
  await eventually(async () => {
    const map = await lab.client.get(RESOURCES.configMaps, "later", name);
    assert.deepEqual(map?.data, { "root-cert.pem": root, extra: "kept" });
  });
  await lab.client.delete(RESOURCES.configMaps, "later", name);
  assert.equal(await lab.root("later"), root);
});

Deno.test("istiod uses a plugged-in CA and refuses half of one", async () => {
  await using lab = await ApiLab.start();
  const kubeconfig = await lab.kubeconfig();
  const { newSelfSignedCa } = await import("../../src/identity/ca_material.ts");
  const ca = await newSelfSignedCa({
    trustDomain: "x",
    ttlMs: 3600_000,
    key: { kind: "EC", curve: "P-256" },
    now: Date.now(),
  });
  const directory = `${lab.dataDir}/cacerts`;
  await Deno.mkdir(directory);
  await Deno.writeTextFile(`${directory}/ca-cert.pem`, ca.certPem);
  await using half = await IstiodProcess.start(kubeconfig, { env: { ROOT_CA_DIR: directory } });
  const { error } = await half.line("istiod cannot go on");
  assert.match(error, /cannot use the plugged-in CA: "ca-key.pem", "root-cert.pem" missing/);
  await eventually(() => assert.ok(half.ended));
  assert.equal(await half.stop(), 1);

  await Deno.writeTextFile(`${directory}/ca-key.pem`, ca.keyPem);
  await Deno.writeTextFile(`${directory}/root-cert.pem`, ca.rootPem);
  await using istiod = await IstiodProcess.start(kubeconfig, { env: { ROOT_CA_DIR: directory } });
  const { secureGrpc } = await istiod.ready();
  assert.equal(await lab.root("default"), ca.rootPem);
  assert.equal(await lab.client.get(RESOURCES.secrets, "istio-system", "istio-ca-secret"), undefined);
  const got = await tryFetch(
    secureGrpc,
    ca.rootPem,
    await lab.token("istio-system", "ztunnel"),
    id("ztunnel", "istio-system"),
    false,
  );
  assert.equal(got, id("ztunnel", "istio-system"));
});
