import assert from "node:assert/strict";
import { systemClock } from "../../src/core/clock.ts";
import { CertificateAuthority } from "../../src/identity/authority.ts";
import { type CaMaterial, newSelfSignedCa } from "../../src/identity/ca_material.ts";
import { KubeClient } from "../../src/kube/client.ts";
import { RESOURCES } from "../../src/kube/resources.ts";
import { readIstiodConfig } from "../../src/roles/istiod/config.ts";
import { RootCa } from "../../src/roles/istiod/root_ca.ts";
import { readRootSecret } from "../../src/roles/istiod/root_secret.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab } from "../support/istiod_lab.ts";

const KEY = { kind: "EC", curve: "P-256" } as const;
const DAY_MS = 24 * 3600_000;

interface Lab {
  lines: string[];
  changes: number;
  load(options?: { env?: Record<string, string>; ahead?: number; trustDomain?: string }): Promise<RootCa>;
}

function lab(client: KubeClient, directory = "/nonexistent"): Lab {
  const lines: string[] = [];
  const self: Lab = {
    lines,
    changes: 0,
    async load({ env = {}, ahead = 0, trustDomain = "cluster.local" } = {}) {
      const values: Record<string, string> = { ROOT_CA_DIR: directory, ...env };
      return await RootCa.load({
        client,
        config: readIstiodConfig([], (name) => values[name]),
        known: directory === "/nonexistent" ? await readRootSecret(client, "istio-system") : undefined,
        trustDomain: () => Promise.resolve(trustDomain),
        logger: new Logger("ca", { sink: { write: (line) => lines.push(line) } }),
        clock: { now: () => Date.now() + ahead, timer: systemClock.timer },
        onChange: () => self.changes++,
      });
    },
  };
  return self;
}

async function writeCa(directory: string, ca: CaMaterial): Promise<void> {
  await Deno.writeTextFile(`${directory}/ca-cert.pem`, ca.certPem);
  await Deno.writeTextFile(`${directory}/ca-key.pem`, ca.keyPem);
  await Deno.writeTextFile(`${directory}/root-cert.pem`, ca.rootPem);
}

Deno.test("RootCa renews a self-signed root near its end, and replicas take the renewed one over", async () => {
  await using api = await ApiLab.start();
  const one = lab(api.client), two = lab(api.client);
  const env = { CITADEL_SELF_SIGNED_CA_CERT_TTL: "240h" };
  const first = await one.load({ env }), other = await two.load({ env });
  const root = first.authority.rootPem;
  assert.equal(other.authority.rootPem, root, "one Secret, one root");
  await first.checkExpiry();
  assert.equal(first.authority.rootPem, root, "nothing to do yet");

  // Nine of its ten days later. Both see it; the first to write decides.
  const late = await one.load({ env, ahead: 9 * DAY_MS });
  await late.checkExpiry();
  assert.notEqual(late.authority.rootPem, root);
  assert.equal(one.changes, 1);
  await other.checkExpiry();
  assert.equal(other.authority.rootPem, late.authority.rootPem);
  assert.equal(two.changes, 1);
  assert.equal(
    late.authority.material.keyPem,
    first.authority.material.keyPem,
    "the key stays: old certificates stay good",
  );
});

Deno.test("RootCa keeps signing when the Secret is gone or damaged", async () => {
  await using api = await ApiLab.start();
  const mesh = lab(api.client), ca = await mesh.load({ trustDomain: "example.org" });
  const root = ca.authority.rootPem;
  await api.client.delete(RESOURCES.secrets, "istio-system", "istio-ca-secret");
  await ca.checkExpiry();
  await api.client.create(RESOURCES.secrets, {
    metadata: { namespace: "istio-system", name: "istio-ca-secret" },
    data: { "ca-cert.pem": btoa("nonsense"), "ca-key.pem": btoa("nonsense"), "root-cert.pem": btoa("nonsense") },
  });
  await ca.checkExpiry();
  assert.equal(ca.authority.rootPem, root);
  assert.ok(mesh.lines.some((line) => line.includes("cannot check the root certificate")));
  await assert.rejects(mesh.load(), { code: "invalid_ca" }, "a new istiod does not overwrite what it cannot read");
});

Deno.test("RootCa takes over a plugged-in CA's new certificate, and refuses another root or half a CA", async () => {
  const directory = await Deno.makeTempDir({ prefix: "ambientd-cacerts-" });
  using client = new KubeClient({ server: "https://127.0.0.1:1" });
  const make = (trustDomain: string) => newSelfSignedCa({ trustDomain, ttlMs: DAY_MS, key: KEY, now: Date.now() });
  const first = await make("one");
  const mesh = lab(client, directory);
  try {
    await writeCa(directory, first);
    const ca = await mesh.load();
    try {
      assert.equal(ca.plugged, true);
      ca.watch();
      await Deno.writeTextFile(`${directory}/cert-chain.pem`, first.certPem);
      await eventually(() => assert.equal(mesh.changes, 1));
      assert.equal(ca.authority.material.chainPem, first.certPem);

      await writeCa(directory, await make("two"));
      await eventually(() =>
        assert.ok(mesh.lines.some((line) => line.includes("another root now")), mesh.lines.join("\n"))
      );
      await Deno.remove(`${directory}/ca-key.pem`);
      await eventually(() => assert.ok(mesh.lines.some((line) => line.includes("the old one stays in use"))));
      assert.equal(ca.authority.rootPem, first.rootPem);
      assert.equal(mesh.changes, 1);
      assert.ok(new CertificateAuthority(ca.authority.material));
    } finally {
      ca.close();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
