import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { MeshError } from "../../src/core/errors.ts";
import { CertificateAuthority, istiodDnsNames } from "../../src/identity/authority.ts";
import {
  caFromData,
  caFromDirectory,
  type CaMaterial,
  caToSecretData,
  nearExpiry,
  newSelfSignedCa,
  refusesReplacement,
  renewSelfSignedCa,
  SELF_SIGNED_DEFAULTS,
} from "../../src/identity/ca_material.ts";
import { altNames, parseCertificate, peerSpiffeIds } from "../../src/identity/certificate.ts";
import { createCsr, parseCsr } from "../../src/identity/csr.ts";
import { EMPTY_NAME, keyIdOf, nameOf, signCertificate } from "../../src/identity/issue.ts";
import { newKeyPair } from "../../src/identity/keys.ts";
import { certificatesOf, decodePem, encodePem } from "../../src/identity/pem.ts";
import { privateKeyFrom } from "../../src/identity/signature.ts";
import { SettlingClock } from "./settling_clock.ts";
import { idOf, testCa, testCaMaterial } from "./support.ts";

const HOUR = 3600_000, DAY = 24 * HOUR;

const hasOpenssl = await new Deno.Command("openssl", { args: ["version"], stdout: "null", stderr: "null" }).output()
  .then(
    ({ success }) => success,
    () => false,
  );

async function openssl(args: string[], files: Record<string, string>): Promise<{ ok: boolean; text: string }> {
  const dir = await Deno.makeTempDir({ prefix: "ambientd-openssl-" });
  try {
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${dir}/${name}`, text);
    const { success, stdout, stderr } = await new Deno.Command("openssl", { args, cwd: dir }).output();
    return { ok: success, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** An intermediate CA under a root, with the files that `cacerts` holds. */
async function pluggedCa(): Promise<CaMaterial> {
  const root = await testCaMaterial(), rootCertificate = parseCertificate(certificatesOf(root.certPem)[0]);
  const keys = await newKeyPair({ kind: "EC", curve: "P-384" });
  const der = signCertificate({
    subject: nameOf({ commonName: "Intermediate" }),
    publicKey: keys.publicKey,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 100 * DAY),
    ca: true,
    names: [],
    namesCritical: false,
  }, { subject: rootCertificate.subject, keyId: keyIdOf(rootCertificate), key: privateKeyFrom(root.keyPem) });
  const certPem = encodePem("CERTIFICATE", der);
  return { certPem, keyPem: keys.keyPem, chainPem: certPem, rootPem: root.rootPem };
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof MeshError && error.code === expected;
}

Deno.test({
  name: `CertificateAuthority issues what openssl verifies strictly${hasOpenssl ? "" : " (ignored: no openssl)"}`,
  ignore: !hasOpenssl,
  async fn(t) {
    const rsa = await newSelfSignedCa({ ...SELF_SIGNED_DEFAULTS, trustDomain: "cluster.local", now: Date.now() });
    for (
      const [name, material] of [["RSA 2048", rsa], ["EC", await testCaMaterial()], [
        "plugged",
        await pluggedCa(),
      ]] as const
    ) {
      await t.step(name, async () => {
        const ca = new CertificateAuthority(material), id = idOf("shop", "cart");
        const { csrPem } = await createCsr(id), reply = ca.issue(csrPem, [id], 0);
        const files = {
          "leaf.pem": reply[0],
          "rest.pem": reply.slice(1, -1).join("") || "\n",
          "root.pem": reply[reply.length - 1],
          "csr.pem": csrPem,
        };
        const rest = reply.length > 2 ? ["-untrusted", "rest.pem"] : [];
        const verified = await openssl([
          "verify",
          "-x509_strict",
          "-purpose",
          "sslclient",
          "-CAfile",
          "root.pem",
          ...rest,
          "leaf.pem",
        ], files);
        assert.ok(verified.ok, verified.text);
        assert.ok((await openssl(["req", "-in", "csr.pem", "-noout", "-verify"], files)).ok);
        const { text } = await openssl(["x509", "-in", "leaf.pem", "-noout", "-text"], files);
        assert.match(text, /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/cart\n/);
        assert.match(text, /Key Usage: critical\s+Digital Signature, Key Encipherment\n/);
        assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication\n/);
        assert.match(text, /CA:FALSE/);
        assert.match(text, /Subject: *\n/);
        const serving = await ca.servingCertificate(istiodDnsNames("istio-system", "canary", ["custom.test"]), DAY, {
          kind: "EC",
          curve: "P-256",
        });
        const host = ["-verify_hostname", "istiod-canary.istio-system.svc"];
        const served = await openssl(
          ["verify", "-x509_strict", ...host, "-CAfile", "root.pem", ...rest, "serving.pem"],
          {
            ...files,
            "serving.pem": serving.chainPem,
          },
        );
        assert.ok(served.ok, served.text);
      });
    }
  },
});

Deno.test("CertificateAuthority.issue() names the caller, never the request", async () => {
  const ca = await testCa(), asked = idOf("kube-system", "admin"), caller = idOf("shop", "cart");
  const { csrPem } = await createCsr(asked);
  assert.deepEqual(parseCsr(csrPem).names.uris, [asked]);
  const reply = ca.issue(csrPem, [caller], 0);
  assert.equal(reply.length, 2);
  assert.equal(reply[1], ca.rootPem);
  assert.deepEqual(peerSpiffeIds(certificatesOf(reply[0])[0]), [caller]);
  const leaf = new X509Certificate(reply[0]);
  assert.ok(leaf.verify(new X509Certificate(ca.rootPem).publicKey));
  assert.equal(leaf.subjectAltName, `URI:${caller}`);
});

Deno.test("CertificateAuthority.issue() sets lifetimes", async (t) => {
  const clock = new SettlingClock();
  const ca = await testCa({ clock, maxTtlMs: 90 * DAY });
  const { csrPem } = await createCsr(idOf("a", "b"));
  const issue = (authority: CertificateAuthority, ttl: number) =>
    parseCertificate(certificatesOf(authority.issue(csrPem, [idOf("a", "b")], ttl)[0])[0]);
  const cases: [string, number, number][] = [["as asked", HOUR, HOUR], ["zero: the default", 0, DAY], [
    "negative: the default",
    -5,
    DAY,
  ], ["the maximum", 90 * DAY, 90 * DAY]];
  for (const [name, asked, expected] of cases) {
    await t.step(name, () => {
      const { notBefore, notAfter } = issue(ca, asked);
      assert.equal(notAfter.getTime() - clock.now(), expected);
      assert.equal(clock.now() - notBefore.getTime(), 120_000);
    });
  }
  await t.step("more than the maximum is refused", () => {
    assert.throws(() => issue(ca, 90 * DAY + 1000), code("ttl_too_long"));
  });
  await t.step("never past the signer's end; an ended signer refuses", async () => {
    const material = await newSelfSignedCa({
      trustDomain: "x",
      ttlMs: HOUR,
      key: { kind: "EC", curve: "P-256" },
      now: clock.now(),
    });
    const short = new CertificateAuthority(material, { clock });
    assert.equal(issue(short, DAY).notAfter.getTime() - clock.now(), HOUR);
    await clock.advance(HOUR);
    assert.throws(() => issue(short, DAY), code("ca_expired"));
  });
});

Deno.test("parseCsr() refuses what is not a proven request", async (t) => {
  const { csrPem } = await createCsr(idOf("a", "b"));
  const der = decodePem(csrPem)[0].der;
  const rsa1024 = await newKeyPair({ kind: "RSA", bits: 1024 });
  const flipped = der.slice();
  flipped[der.length - 1] ^= 1;
  const otherKey = der.slice();
  otherKey[60] ^= 1;
  const cases: [string, string][] = [
    ["empty", ""],
    ["not PEM", "hello"],
    ["a certificate", (await testCa()).rootPem],
    ["cut off", csrPem.slice(0, 100)],
    ["bad base64", csrPem.replace("A", "*")],
    ["two requests", csrPem + csrPem],
    ["a flipped signature", encodePem("CERTIFICATE REQUEST", flipped)],
    ["a flipped key", encodePem("CERTIFICATE REQUEST", otherKey)],
    ["bytes behind", encodePem("CERTIFICATE REQUEST", Uint8Array.of(...der, 0))],
    ["random", encodePem("CERTIFICATE REQUEST", crypto.getRandomValues(new Uint8Array(300)))],
    ["1 MiB", "A".repeat(1 << 20)],
    ["a weak key", encodePem("CERTIFICATE REQUEST", rsa1024.publicKey)],
  ];
  for (const [name, pem] of cases) await t.step(name, () => assert.throws(() => parseCsr(pem), code("invalid_csr")));
  for (let length = 1; length < der.length; length += 7) {
    assert.throws(() => parseCsr(encodePem("CERTIFICATE REQUEST", der.subarray(0, length))), code("invalid_csr"));
  }
});

Deno.test({
  name: `parseCsr() reads openssl's requests${hasOpenssl ? "" : " (ignored: no openssl)"}`,
  ignore: !hasOpenssl,
  async fn(t) {
    const kinds: [string, string[]][] = [
      ["RSA", ["-newkey", "rsa:2048"]],
      ["P-256", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]],
      ["P-384 with SHA-384", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"]],
      ["Ed25519", ["-newkey", "ed25519"]],
    ];
    for (const [name, key] of kinds) {
      await t.step(name, async () => {
        const args = [
          "req",
          "-new",
          "-nodes",
          ...key,
          "-keyout",
          "k.pem",
          "-subj",
          "/O=x/CN=cart",
          "-addext",
          "subjectAltName=URI:spiffe://a/ns/b/sa/c,DNS:x.test",
        ];
        const { ok, text } = await openssl(args, {});
        assert.ok(ok, text);
        const request = parseCsr(
          text.slice(text.indexOf("-----BEGIN CERTIFICATE REQ")).split("-----END")[0] +
            "-----END CERTIFICATE REQUEST-----\n",
        );
        assert.equal(request.commonName, "cart");
        assert.deepEqual(request.names.dns, ["x.test"]);
        const leaf = (await testCa()).issue(
          text.slice(text.indexOf("-----BEGIN CERTIFICATE REQ")).split("-----END")[0] +
            "-----END CERTIFICATE REQUEST-----\n",
          [idOf("b", "c")],
          0,
        )[0];
        assert.match(new X509Certificate(leaf).subject, /CN=cart/);
      });
    }
    await t.step("SHA-1 and weak keys are refused", async () => {
      for (const bad of [["-newkey", "rsa:1024"], ["-newkey", "rsa:2048", "-sha1"]]) {
        const { text } = await openssl(["req", "-new", "-nodes", ...bad, "-keyout", "k.pem", "-subj", "/CN=x"], {});
        const pem = text.slice(text.indexOf("-----BEGIN CERTIFICATE REQ"));
        assert.ok(pem.length > 100);
        assert.throws(() => parseCsr(pem), code("invalid_csr"));
      }
    });
  },
});

Deno.test("CA material survives its Secret and is checked when read", async (t) => {
  const own = await testCaMaterial(), plugged = await pluggedCa(), other = await testCaMaterial();
  await t.step("istio-ca-secret round trip", () => {
    const data = caToSecretData(own);
    assert.deepEqual(Object.keys(data).sort(), [
      "ca-cert.pem",
      "ca-key.pem",
      "cert-chain.pem",
      "key.pem",
      "root-cert.pem",
    ]);
    assert.equal(data["key.pem"], "");
    assert.deepEqual(caFromData(data), own);
  });
  await t.step("nothing there", async () => {
    assert.equal(caFromData({}), undefined);
    assert.equal(await caFromDirectory("/nonexistent/cacerts"), undefined);
  });
  await t.step("kubernetes.io/tls layout", () => {
    const ca = caFromData({ "tls.crt": plugged.certPem, "tls.key": plugged.keyPem, "ca.crt": plugged.rootPem })!;
    assert.equal(new CertificateAuthority(ca).rootPem, plugged.rootPem);
  });
  await t.step("files", async () => {
    const dir = await Deno.makeTempDir();
    try {
      for (const [name, text] of Object.entries(caToSecretData(plugged))) {
        await Deno.writeTextFile(`${dir}/${name}`, text);
      }
      assert.deepEqual(await caFromDirectory(dir), plugged);
      await Deno.remove(`${dir}/ca-key.pem`);
      await assert.rejects(
        caFromDirectory(dir),
        (error: MeshError) => error.code === "incomplete_ca" && /"ca-key.pem"/.test(error.message),
      );
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
  const wrong: [string, Partial<CaMaterial>][] = [
    ["another key", { keyPem: other.keyPem }],
    ["another root", { rootPem: other.rootPem }],
    ["garbage certificate", { certPem: encodePem("CERTIFICATE", new Uint8Array(50)) }],
    ["garbage key", { keyPem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" }],
    ["no PEM", { certPem: "x" }],
  ];
  for (const [name, change] of wrong) {
    await t.step(name, () => {
      const data = caToSecretData({ ...own, ...change });
      assert.throws(() => caFromData(data), (error: MeshError) => {
        assert.ok(!error.message.includes("AAAA"), "no key material in a message");
        return error.code === "invalid_ca";
      });
    });
  }
  await t.step("a leaf is not a CA", async () => {
    const keys = await newKeyPair({ kind: "EC", curve: "P-256" });
    const root = parseCertificate(certificatesOf(own.certPem)[0]);
    const leaf = encodePem(
      "CERTIFICATE",
      signCertificate({
        subject: EMPTY_NAME,
        publicKey: keys.publicKey,
        notBefore: root.notBefore,
        notAfter: root.notAfter,
        ca: false,
        names: [{ dns: "x" }],
        namesCritical: true,
      }, { subject: root.subject, keyId: keyIdOf(root), key: privateKeyFrom(own.keyPem) }),
    );
    assert.throws(() => caFromData(caToSecretData({ ...own, certPem: leaf, keyPem: keys.keyPem })), code("invalid_ca"));
  });
});

Deno.test("a renewed root keeps key and name, so that older certificates stay valid", async () => {
  const clock = new SettlingClock(), old = await testCaMaterial(clock.now());
  const ca = new CertificateAuthority(old, { clock });
  const { csrPem } = await createCsr(idOf("a", "b"));
  const before = new X509Certificate(ca.issue(csrPem, [idOf("a", "b")], 0)[0]);
  assert.ok(!nearExpiry(old.certPem, 20, clock.now()));
  await clock.advance(3000 * DAY);
  assert.ok(nearExpiry(old.certPem, 20, clock.now()));
  const renewed = renewSelfSignedCa(old, 3650 * DAY, clock.now());
  ca.replace(renewed);
  assert.ok(before.verify(new X509Certificate(renewed.rootPem).publicKey));
  assert.equal(before.issuer, new X509Certificate(renewed.rootPem).subject);
  assert.ok(ca.expiry.root.getTime() > clock.now() + 3000 * DAY);
  const bad = await testCaMaterial();
  assert.throws(() => ca.replace({ ...bad, keyPem: old.keyPem }), code("invalid_ca"));
  assert.equal(ca.material, renewed);
});

Deno.test("servingCertificate() covers DNS names and IP addresses and carries no SPIFFE id", async () => {
  const ca = await testCa();
  const { chainPem } = await ca.servingCertificate(
    [{ dns: "istiod.istio-system.svc" }, { ip: "127.0.0.1" }, { ip: "::1" }],
    DAY,
    { kind: "EC", curve: "P-256" },
  );
  const der = certificatesOf(chainPem)[0];
  assert.deepEqual(peerSpiffeIds(der), []);
  const names = altNames(parseCertificate(der).extensions);
  assert.deepEqual([names.dns, names.ips.map((ip) => ip.length)], [["istiod.istio-system.svc"], [4, 16]]);
});

Deno.test("refusesReplacement() guards the roots that workloads trust", async (t) => {
  const a = await testCaMaterial(), b = await testCaMaterial(), both = { ...a, rootPem: a.rootPem + b.rootPem };
  const cases: [name: string, current: CaMaterial, next: CaMaterial, multiRoot: boolean, refused?: RegExp][] = [
    ["the same root", a, { ...a, certPem: b.certPem }, false],
    ["another root", a, b, false, /ISTIO_MULTIROOT_MESH/],
    ["another root, several allowed", a, b, true, /neither/],
    ["one more root", a, both, true],
    ["one more root, not allowed", a, both, false, /ISTIO_MULTIROOT_MESH/],
    ["one root less", both, b, true],
  ];
  for (const [name, current, next, multiRoot, refused] of cases) {
    await t.step(name, () => {
      const reason = refusesReplacement(current, next, multiRoot);
      if (refused) assert.match(reason ?? "", refused);
      else assert.equal(reason, undefined);
    });
  }
});
