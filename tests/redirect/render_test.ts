import assert from "node:assert/strict";
import {
  DEFAULT_REDIRECT,
  interfaceNames,
  type RedirectOptions,
  renderDrain,
  renderHostProbes,
  renderIptables,
  renderNft,
  renderProbeRemoval,
  renderProbeUpsert,
  renderRemove,
} from "../../src/redirect/mod.ts";

const GOLDEN = new URL("golden/", import.meta.url);

/** Compares with golden/<name>; `UPDATE_GOLDEN=1` writes it instead. */
async function golden(name: string, text: string): Promise<void> {
  const file = new URL(name, GOLDEN);
  if (Deno.env.get("UPDATE_GOLDEN") === "1") await Deno.writeTextFile(file, text);
  assert.equal(text, await Deno.readTextFile(file), `golden/${name}`);
}

const CASES: Record<string, Partial<RedirectOptions>> = {
  "default": {},
  "no-dns": { dnsCapture: false },
  "ingress": { ingressMode: true },
  "v4-only": { ipv6: false },
  "virtual-interfaces": { virtualInterfaces: ["tap0", "k6t-eth0"] },
};

for (const [name, extra] of Object.entries(CASES)) {
  const options = { ...DEFAULT_REDIRECT, ...extra };
  Deno.test(`renderNft(): ${name}`, () => golden(`${name}.nft`, renderNft(options)));
  Deno.test(`renderIptables(): ${name}`, async () => {
    await golden(`${name}.iptables`, renderIptables(options, 4));
    if (options.ipv6) await golden(`${name}.ip6tables`, renderIptables(options, 6));
  });
}

for (const firewall of ["nftables", "iptables"] as const) {
  Deno.test(`renderDrain() and renderRemove(): ${firewall}`, async () => {
    await golden(`drain-${firewall}.sh`, renderDrain(firewall));
    await golden(`remove-${firewall}.sh`, renderRemove(firewall));
  });
}

Deno.test("renderHostProbes() and single elements", async () => {
  const members = new Map([["10.0.0.1", "pod-1"], ["fd00::1", "pod-1"]]);
  await golden("host-probes.nft", renderHostProbes({ uid: 0 }, members));
  await golden("host-probe-element.nft", renderProbeUpsert("10.0.0.1", "pod-2") + renderProbeRemoval("fd00::1"));
});

Deno.test("interfaceNames() lets nothing through that is not an interface name", () => {
  assert.deepEqual(interfaceNames(undefined), { names: [], refused: [] });
  assert.deepEqual(interfaceNames(" tap0, ,k6t-eth0 "), { names: ["tap0", "k6t-eth0"], refused: [] });
  const bad = ['x" accept', "a;b", "$(id)", "sixteen-letters-", "a b"];
  assert.deepEqual(interfaceNames(bad.join(",")), { names: [], refused: bad });
});
