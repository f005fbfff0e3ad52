import assert from "node:assert/strict";
import type { KubeObject, TokenIssuer } from "../../../src/cluster/contracts.ts";
import type { PodFacts } from "../../../src/cluster/runtime/references.ts";
import { containerMounts, PodVolumes, VolumeError } from "../../../src/cluster/runtime/volumes.ts";
import { configMap, Objects, secret } from "./objects.ts";

interface Lab {
  objects: Objects;
  dir: string;
  nodeFs: string;
  clock: { now: number };
  issued: any[];
  volumes(specs: any[], pod?: Partial<KubeObject>): PodVolumes;
}

async function withLab(test: (lab: Lab) => Promise<void>): Promise<void> {
  const top = await Deno.makeTempDir();
  const objects = new Objects(), clock = { now: Date.parse("2026-01-01T00:00:00Z") }, issued: any[] = [];
  const tokens: TokenIssuer = {
    issue(request) {
      issued.push(request);
      const expirationTimestamp = new Date(clock.now + request.expirationSeconds * 1000).toISOString();
      return Promise.resolve({ token: `token-${issued.length}`, expirationTimestamp });
    },
  };
  const dir = `${top}/pod`, nodeFs = `${top}/fs`;
  await Deno.mkdir(nodeFs, { recursive: true });
  const volumes = (specs: any[], change: Partial<KubeObject> = {}) => {
    const pod: KubeObject = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default", uid: "u", labels: { app: "x" } },
      spec: { serviceAccountName: "sa", volumes: specs },
      ...change,
    };
    const facts: PodFacts = { pod, nodeName: "n", hostIP: "1.2.3.4", allocatable: { cpu: "1", memory: "1Gi" } };
    return new PodVolumes(dir, nodeFs, () => facts, { api: objects.api, tokens, now: () => clock.now });
  };
  try {
    await test({ objects, dir, nodeFs, clock, issued, volumes });
  } finally {
    await Deno.remove(top, { recursive: true });
  }
}

const read = (lab: Lab, path: string) => Deno.readTextFileSync(`${lab.dir}/volumes/${path}`);
const names = (lab: Lab, path: string) =>
  [...Deno.readDirSync(`${lab.dir}/volumes/${path}`)].map((entry) => entry.name).filter((name) =>
    !name.startsWith("..")
  ).sort();

Deno.test("a ConfigMap volume changes in one step and loses keys that are gone", async () => {
  await withLab(async (lab) => {
    lab.objects.put("configmaps", configMap("cm", { a: "1", b: "2" }));
    const volumes = lab.volumes([{ name: "v", configMap: { name: "cm" } }]);
    await volumes.prepare();
    assert.deepEqual(names(lab, "v"), ["a", "b"]);
    const before = Deno.readLinkSync(`${lab.dir}/volumes/v/..data`);
    await volumes.refresh();
    assert.equal(Deno.readLinkSync(`${lab.dir}/volumes/v/..data`), before, "nothing changed, nothing is written");
    lab.objects.put("configmaps", configMap("cm", { a: "new", c: "3" }));
    assert.ok(volumes.uses("ConfigMap", "cm") && !volumes.uses("Secret", "cm"));
    await volumes.refresh();
    assert.deepEqual(names(lab, "v"), ["a", "c"]);
    assert.equal(read(lab, "v/a"), "new");
    assert.throws(() => Deno.statSync(`${lab.dir}/volumes/v/${before}`), "the old contents are removed");
    lab.objects.remove("configmaps", "default", "cm");
    await volumes.refresh();
    assert.equal(read(lab, "v/a"), "new", "the last good contents stay");
  });
});

Deno.test("Secrets, items, modes and projections end up where they are asked for", async () => {
  await withLab(async (lab) => {
    lab.objects.put("secrets", secret("s", { key: "geheim", other: "x" }));
    lab.objects.put("configmaps", configMap("cm", { a: "1" }));
    const volumes = lab.volumes([
      { name: "s", secret: { secretName: "s", items: [{ key: "key", path: "deep/er/file", mode: 0o400 }] } },
      {
        name: "p",
        projected: {
          sources: [
            { configMap: { name: "cm", items: [{ key: "a", path: "conf/a" }] } },
            { secret: { name: "s" } },
            { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
            { serviceAccountToken: { path: "token", audience: "istio-ca", expirationSeconds: 43200 } },
          ],
        },
      },
    ]);
    await volumes.prepare();
    assert.equal(read(lab, "s/deep/er/file"), "geheim");
    assert.equal(Deno.statSync(`${lab.dir}/volumes/s/deep/er/file`).mode! & 0o777, 0o400);
    assert.deepEqual(names(lab, "s"), ["deep"]);
    assert.deepEqual(names(lab, "p"), ["conf", "key", "labels", "other", "token"]);
    assert.equal(read(lab, "p/labels"), 'app="x"');
    assert.equal(read(lab, "p/token"), "token-1");
    assert.deepEqual(lab.issued[0].audiences, ["istio-ca"]);
    assert.deepEqual(lab.issued[0].pod, { name: "p", uid: "u" });
    assert.equal(lab.issued[0].serviceAccount, "sa");
  });
});

Deno.test("a token is replaced at four fifths of its life, not before", async () => {
  await withLab(async (lab) => {
    const source = { serviceAccountToken: { path: "token", expirationSeconds: 1000 } };
    const volumes = lab.volumes([{ name: "t", projected: { sources: [source] } }]);
    await volumes.prepare();
    lab.clock.now += 799_000;
    await volumes.refresh();
    assert.equal(read(lab, "t/token"), "token-1");
    assert.equal(volumes.refreshAt, lab.clock.now + 1000);
    lab.clock.now += 1000;
    await volumes.refresh();
    assert.equal(read(lab, "t/token"), "token-2");
  });
});

Deno.test("missing objects and paths that lead out of a volume are refused with a reason", async () => {
  await withLab(async (lab) => {
    lab.objects.put("configmaps", configMap("cm", { a: "1" }));
    lab.objects.put("configmaps", configMap("evil", { "../escape": "1" }));
    const cases: [any, RegExp][] = [
      [{ configMap: { name: "absent" } }, /configmap "absent" not found/],
      [{ secret: { secretName: "absent" } }, /secret "absent" not found/],
      [{ configMap: { name: "cm", items: [{ key: "zz", path: "z" }] } }, /non-existent key: zz/],
      [{ configMap: { name: "cm", items: [{ key: "a", path: "../a" }] } }, /not a path inside/],
      [{ configMap: { name: "cm", items: [{ key: "a", path: "/etc/a" }] } }, /not a path inside/],
      [{ configMap: { name: "evil" } }, /not a path inside/],
      [{ hostPath: { path: "/var/../../etc" } }, /must not contain/],
      [{ hostPath: { path: "/var/absent", type: "File" } }, /does not exist/],
      [{ persistentVolumeClaim: { claimName: "absent" } }, /not found/],
      [{ nfs: { server: "x", path: "/" } }, /kind "nfs"/],
    ];
    for (const [source, message] of cases) {
      await assert.rejects(
        lab.volumes([{ name: "v", ...source }]).prepare(),
        (error) => error instanceof VolumeError && message.test(error.message),
        JSON.stringify(source),
      );
    }
    await lab.volumes([{ name: "w", configMap: { name: "absent", optional: true } }]).prepare();
    assert.deepEqual(names(lab, "w"), []);
  });
});

Deno.test("a hostPath stays in the node's files even through a link that a pod made", async () => {
  await withLab(async (lab) => {
    await lab.volumes([{ name: "v", hostPath: { path: "/var/run/x", type: "DirectoryOrCreate" } }]).prepare();
    assert.ok(Deno.statSync(`${lab.nodeFs}/var/run/x`).isDirectory);
    Deno.symlinkSync("/etc", `${lab.nodeFs}/var/run/x/out`);
    for (const path of ["/var/run/x/out", "/var/run/x/out/made-by-a-pod"]) {
      await assert.rejects(lab.volumes([{ name: "v", hostPath: { path } }]).prepare(), /leads out of the node's files/);
    }
    const proc = lab.volumes([{ name: "proc", hostPath: { path: "/proc", type: "Directory" } }]);
    await proc.prepare();
    assert.deepEqual(proc.hostPaths, [{ volume: "proc", path: "/proc", file: false }]);
  });
});

Deno.test("containerMounts() resolves subPath and keeps it inside its volume", async () => {
  await withLab(async (lab) => {
    lab.objects.put("configmaps", configMap("cm", { "app.conf": "x" }));
    const specs = [{ name: "v", configMap: { name: "cm" } }, { name: "e", emptyDir: {} }];
    await lab.volumes(specs).prepare();
    const mounts = (volumeMounts: any[]) =>
      containerMounts(
        lab.dir,
        { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { volumes: specs } },
        { name: "c", volumeMounts },
        { POD: "p-0" },
      );
    const [file, folder] = mounts([
      { name: "v", mountPath: "/etc/app.conf", subPath: "app.conf" },
      { name: "e", mountPath: "/data", subPathExpr: "$(POD)" },
    ]);
    assert.deepEqual([file.kind, file.readOnly, file.source], ["file", true, "volumes/v/app.conf"]);
    assert.deepEqual([folder.kind, folder.readOnly, folder.source], ["folder", false, "volumes/e/p-0"]);
    for (const subPath of ["../other", "/etc", "a/../../b"]) {
      assert.throws(() => mounts([{ name: "e", mountPath: "/x", subPath }]), VolumeError, subPath);
    }
    assert.throws(() => mounts([{ name: "absent", mountPath: "/x" }]), VolumeError);
  });
});
