import assert from "node:assert/strict";
import { NetnsFinder, podUidOf } from "../../src/roles/cni/netns_finder.ts";

const UID = "0f9b8a7c-1234-4d5e-8f90-abcdefabcdef";
const OTHER = "11111111-2222-3333-4444-555555555555";

Deno.test("podUidOf() reads cgroups of both drivers and the mount of /etc/hosts", () => {
  const hosts = (uid: string) =>
    `700 690 8:1 /var/lib/kubelet/pods/${uid}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n`;
  const rows: [string, string, string, string | undefined][] = [
    ["cgroupfs", `0::/kubepods/burstable/pod${UID}/abc\n`, "", UID],
    ["systemd", `0::/kubepods.slice/kubepods-pod${UID.replaceAll("-", "_")}.slice/cri-x.scope\n`, "", UID],
    ["static pod", "0::/kubepods/pod0123456789abcdef0123456789abcdef/x\n", "", "0123456789abcdef0123456789abcdef"],
    ["/etc/hosts", "0::/\n", hosts(UID), UID],
    ["somebody's folder called pods", "0::/\n", `1 2 8:1 /pods/x/etc-hosts /mnt rw - ext4 a rw\n`, undefined],
    ["no pod", "0::/user.slice\n", "", undefined],
    ["nothing", "", "", undefined],
  ];
  for (const [name, cgroup, mounts, want] of rows) assert.equal(podUidOf(cgroup, () => mounts), want, name);
});

/** A /proc that is made of files and dangling links. */
async function fakeProc(
  processes: Record<string, { inode: number; cgroup?: string; started?: number }>,
): Promise<string> {
  const dir = await Deno.makeTempDir();
  for (const [pid, { inode, cgroup = "0::/\n", started = 100 }] of Object.entries(processes)) {
    await Deno.mkdir(`${dir}/${pid}/ns`, { recursive: true });
    await Deno.symlink(`net:[${inode}]`, `${dir}/${pid}/ns/net`);
    await Deno.writeTextFile(`${dir}/${pid}/cgroup`, cgroup);
    await Deno.writeTextFile(`${dir}/${pid}/mountinfo`, "");
    const fields = Array.from({ length: 50 }, (_, i) => i === 19 ? started : 0);
    await Deno.writeTextFile(`${dir}/${pid}/stat`, `${pid} (a ) b) ${fields.join(" ")}\n`);
  }
  return dir;
}

const pod = (uid: string) => `0::/kubepods/pod${uid}/c\n`;

Deno.test("NetnsFinder finds each pod's namespace, by its oldest process, and never the host's or its own", async () => {
  const proc = await fakeProc({
    "1": { inode: 1 },
    "self": { inode: 2, cgroup: pod(OTHER) },
    "50": { inode: 1, cgroup: pod(UID) },
    "100": { inode: 30, cgroup: pod(UID), started: 500 },
    "90": { inode: 31, cgroup: pod(UID), started: 600 },
    "200": { inode: 40, cgroup: pod(OTHER) },
    "201": { inode: 50, cgroup: "0::/user.slice\n" },
  });
  const finder = new NetnsFinder(proc);
  const found = await finder.scan();
  assert.deepEqual([...found], [[UID, { path: `${proc}/100/ns/net`, inode: 30 }]]);
  await assert.rejects(finder.find(OTHER), /no process of pod/, "the agent's own children do not pass for a pod");
  await Deno.remove(proc, { recursive: true });
});

Deno.test("NetnsFinder shares a pass among those who ask at once", async () => {
  const proc = await fakeProc({ "1": { inode: 1 }, "self": { inode: 1 }, "100": { inode: 30, cgroup: pod(UID) } });
  const finder = new NetnsFinder(proc);
  const all = await Promise.all(Array.from({ length: 200 }, () => finder.scan()));
  assert.ok(new Set(all).size <= 2, `${new Set(all).size} passes`);
  await Deno.remove(proc, { recursive: true });
  await assert.rejects(finder.scan());
});
