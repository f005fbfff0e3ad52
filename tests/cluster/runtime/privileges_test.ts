import assert from "node:assert/strict";
import { capabilitiesOf, type IdMap, setprivArgs, withinIdMap } from "../../../src/cluster/runtime/privileges.ts";

const EVERYBODY: IdMap = { uid: () => true, gid: () => true, setgroups: true };
const ROOTLESS: IdMap = { uid: (id) => id === 0, gid: (id) => id === 0, setgroups: false };

Deno.test("capabilitiesOf() starts from the runtime's default set and follows add and drop", () => {
  const standard = capabilitiesOf({});
  assert.ok(standard.includes("NET_BIND_SERVICE"));
  for (const name of ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD"]) assert.ok(!standard.includes(name), name);
  assert.deepEqual(
    capabilitiesOf({ capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "CAP_SYS_ADMIN", "net_raw"] } }),
    ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
  );
  assert.deepEqual(capabilitiesOf({ capabilities: { drop: ["ALL"] } }), []);
  assert.ok(!capabilitiesOf({ capabilities: { drop: ["CHOWN"] } }).includes("CHOWN"));
  assert.equal(capabilitiesOf({ privileged: true }), "all");
  assert.equal(capabilitiesOf({ capabilities: { add: ["ALL"] } }), "all");
  const most = capabilitiesOf({ capabilities: { add: ["ALL"], drop: ["SYS_ADMIN"] } });
  assert.ok(most !== "all" && !most.includes("SYS_ADMIN") && most.includes("NET_ADMIN"));
  assert.deepEqual(capabilitiesOf({ capabilities: { drop: ["ALL"], add: ["+sys_admin,-all"] } }), []);
});

Deno.test("setprivArgs() gives user, groups and bounds, and leaves out ids that do not exist without root", () => {
  const full = setprivArgs(
    { runAsUser: 1337, runAsGroup: 1338, fsGroup: 2000, allowPrivilegeEscalation: false },
    EVERYBODY,
  );
  const text = full.join(" ");
  assert.match(text, /--reuid 1337 --regid 1338 --groups 2000/);
  assert.match(text, /--bounding-set -all,\+audit_write/);
  assert.match(text, /--no-new-privs --$/);
  const rootless = setprivArgs({ runAsUser: 1337, runAsGroup: 1337, fsGroup: 5 }, ROOTLESS).join(" ");
  assert.doesNotMatch(rootless, /reuid|regid|--groups|clear-groups/);
  assert.match(rootless, /--keep-groups/);
  assert.doesNotMatch(setprivArgs({ privileged: true }, EVERYBODY).join(" "), /bounding-set/);
});

Deno.test("withinIdMap() keeps tar from giving files away where there is one user only", () => {
  assert.deepEqual(withinIdMap({ A: "b" }, EVERYBODY), { A: "b" });
  assert.deepEqual(withinIdMap({ A: "b" }, ROOTLESS), { A: "b", TAR_OPTIONS: "--no-same-owner" });
  assert.deepEqual(withinIdMap({ TAR_OPTIONS: "-v" }, ROOTLESS), { TAR_OPTIONS: "-v" });
});
