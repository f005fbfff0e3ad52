import assert from "node:assert/strict";
import { AddressPool, Semaphore } from "../../../src/cluster/runtime/context.ts";
import { nodeAddresses } from "../../../src/cluster/runtime/fabric.ts";
import { fstabLine } from "../../../src/cluster/runtime/host.ts";
import { podHostname, resolvConf, writePodFiles } from "../../../src/cluster/runtime/pod_files.ts";
import type { KubeObject } from "../../../src/cluster/contracts.ts";

const pod = (spec: any = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-0", namespace: "shop" },
  spec,
});

Deno.test("resolvConf() follows dnsPolicy and dnsConfig", () => {
  const cluster =
    "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";
  assert.equal(resolvConf(pod()), cluster);
  assert.equal(resolvConf(pod({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" })), cluster);
  assert.equal(resolvConf(pod({ hostNetwork: true })), "nameserver 172.18.0.1\n");
  assert.equal(resolvConf(pod({ dnsPolicy: "Default" })), "nameserver 172.18.0.1\n");
  assert.equal(
    resolvConf(
      pod({
        dnsPolicy: "None",
        dnsConfig: { nameservers: ["1.1.1.1"], searches: ["a.b"], options: [{ name: "edns0" }] },
      }),
    ),
    "search a.b\nnameserver 1.1.1.1\noptions edns0\n",
  );
  assert.match(resolvConf(pod({ dnsConfig: { options: [{ name: "ndots", value: "1" }] } })), /options ndots:1\n$/);
});

Deno.test("a pod's hosts file names the pod, its subdomain and its aliases", async () => {
  const dir = await Deno.makeTempDir();
  const spec = { subdomain: "web", hostAliases: [{ ip: "1.2.3.4", hostnames: ["foo", "bar"] }] };
  writePodFiles(dir, pod(spec), "10.244.0.7", "node-a");
  const hosts = Deno.readTextFileSync(`${dir}/etc-hosts`);
  assert.match(hosts, /^10\.244\.0\.7\tweb-0\.web\.shop\.svc\.cluster\.local\tweb-0$/m);
  assert.match(hosts, /^1\.2\.3\.4\tfoo\tbar$/m);
  assert.equal(podHostname(pod({ hostNetwork: true }), "node-a"), "node-a");
  assert.equal(podHostname({ ...pod(), metadata: { name: "x".repeat(62) + "-y" } }, "n").length, 62);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("AddressPool hands every address out once, lets freed ones rest, and says when none are left", () => {
  const pool = new AddressPool(nodeAddresses(3).pod);
  assert.equal(pool.take(), "10.244.3.2");
  pool.release("10.244.3.2");
  assert.equal(pool.take(), "10.244.3.3");
  assert.equal(pool.take("10.244.3.9"), "10.244.3.9");
  assert.notEqual(pool.take("10.244.3.9"), "10.244.3.9");
  assert.match(pool.take("10.244.7.1"), /^10\.244\.3\./);
  const all = new Set<string>();
  for (let i = 0; i < 249; i++) all.add(pool.take());
  assert.equal(all.size, 249);
  assert.throws(() => pool.take(), /no addresses are left/);
});

Deno.test("Semaphore bounds what runs at a time and survives failures", async () => {
  const semaphore = new Semaphore(2);
  let now = 0, most = 0;
  const tasks = Array.from({ length: 20 }, (_, i) =>
    semaphore.run(async () => {
      most = Math.max(most, ++now);
      await Promise.resolve();
      now--;
      if (i % 3 === 0) throw new Error("no");
    }).catch(() => {}));
  await Promise.all(tasks);
  assert.deepEqual([now, most], [0, 2]);
});

Deno.test("fstabLine() keeps odd characters of a path in their field", () => {
  assert.equal(fstabLine("/a b", "/c\\d\te\n#", "none", "bind"), "/a\\040b /c\\134d\\011e\\012\\043 none bind 0 0\n");
});
