import assert from "node:assert/strict";
import { VERSION } from "../../src/core/version.ts";
import { normalizeArgs } from "../../src/roles/ctl/command_line.ts";
import { buildProgram } from "../../src/roles/ctl/program.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

/** What pflag and cobra make of a line, in the spelling that Commander gets. */
const LINES: [typed: string, read: string][] = [
  ["version", "version"],
  ["version -n=x", "version --namespace=x"],
  ["version -nx", "version --namespace=x"],
  ["version -n x", "version --namespace=x"],
  ["version --namespace=a=b", "version --namespace=a=b"],
  ["-n x version", "version --namespace=x"],
  ["version -o=json", "version --output=json"],
  ["version -ojson", "version --output=json"],
  ["version -o -x", "version --output=-x"],
  ["install -yr=canary", "install --revision=canary --skip-confirmation"],
  ["install -yrcanary", "install --revision=canary --skip-confirmation"],
  ["install -y=false --dry-run=true", "install --dry-run"],
  ["install -y -y=0", "install"],
  ["install -y=F -y", "install --skip-confirmation"],
  ["apply -s=a=b --set c=d", "install --set=a=b --set=c=d"],
  ["version --remote false", "version --remote=true false"],
  ["version --remote=false -s=0", "version --remote=false --short=false"],
  ["waypoint status -w name", "waypoint status --wait=true name"],
  ["wp --name x apply", "waypoint apply --name=x"],
  ["x wp -A list", "experimental waypoint list --all-namespaces"],
  ["pc -o json --proxy-admin-port=1 l pod", "proxy-config listener --output=json --proxy-admin-port=1 pod"],
  ["zc w -f -", "ztunnel-config workload --file=-"],
  ["zc w -- -pod", "ztunnel-config workload -- -pod"],
  ["help", "--help"],
  ["help x precheck", "experimental precheck --help"],
  ["-h install", "install --help"],
  ["", "--help"],
  ["manifest", "manifest --help"],
  ["frobnicate", "frobnicate"],
  ["zc frobnicate -n=x", "ztunnel-config --namespace=x frobnicate"],
  ["install --frobnicate=1 -Z", "install --frobnicate=1 -Z"],
];

Deno.test("normalizeArgs() reads flags as pflag does, and commands as cobra does", () => {
  const streams = { out() {}, err() {} } as any;
  const program = buildProgram(streams, () => undefined, () => {});
  for (const [typed, read] of LINES) {
    assert.equal(normalizeArgs(program, typed.split(" ").filter(Boolean)).join(" "), read, typed);
  }
});

Deno.test("every short flag of every command may be written with =", () => {
  const program = buildProgram({ out() {}, err() {} } as any, () => undefined, () => {});
  let seen = 0;
  const walk = (command: typeof program, path: string[]) => {
    for (const { short, long, required, optional } of command.options) {
      if (!short || !long) continue;
      seen++;
      const value = required ? "7" : "true";
      const expected = required || optional ? `${long}=${value}` : long;
      const rest = path.length > 0 && command.commands.length === 0 ? path : ["version"];
      assert.deepEqual(normalizeArgs(program, [...rest, `${short}=${value}`]).slice(rest.length), [expected]);
    }
    for (const child of command.commands) walk(child as typeof program, [...path, child.name()]);
  };
  walk(program, []);
  assert.ok(seen > 60, String(seen));
});

const REFUSED: [name: string, args: string[], message: RegExp][] = [
  ["a switch that is neither", ["install", "-y=perhaps"], /--skip-confirmation must be true or false, not "perhaps"/],
  ["a flag that lacks its value", ["install", "-y", "-r"], /option '-r, --revision <name>' argument missing/],
  ["an en dash", ["uninstall", "-y", "–purge"], /^Error: "–purge" begins with a typographic dash; type "--purge"\n$/],
  ["an en dash for a short flag", ["version", "–o"], /type "-o"/],
  ["a single dash before a long name", ["uninstall", "-purge"], /unknown option '-purge'/],
  [
    "a duration that is none",
    ["install", "--readiness-timeout=soon"],
    /argument 'soon' is invalid\. Write it like 10s/,
  ],
  ["a limit of requests that is none", ["version", "--kubeclient-timeout=x"], /argument 'x' is invalid/],
  [
    "a limit of requests that is zero",
    ["version", "--kubeclient-timeout=0"],
    /--kubeclient-timeout must be above zero/,
  ],
  ["charts", ["install", "-d", "istio/manifests"], /manifests are part of this executable; leave --manifests out/],
  ["an argument where none belongs", ["version", "--remote", "false"], /too many arguments/],
  ["a verbosity that is none", ["ps", "-v=much"], /argument 'much' is invalid/],
  [
    "a command of istioctl's",
    ["analyze", "-A", "x.yaml"],
    /^Error: "analyze" is istioctl's and not part of ambientd: /,
  ],
  ["an experimental one", ["x", "des", "pod", "a"], /"experimental describe" is istioctl's.*ctl ztunnel-config all/],
  ["Helm values", ["manifest", "translate", "-f", "x"], /"manifest translate" is istioctl's.*no charts/],
  ["one pod to compare", ["pc", "rc", "a"], /rootca-compare requires 2 pods, not 1/],
  ["a version that is none", ["x", "precheck", "--from-version", "two"], /cannot read --from-version "two"/],
];

for (const [name, args, message] of REFUSED) {
  Deno.test(`ctl exits with 64 for ${name}`, async () => {
    const { code, out, err } = await ctl(args);
    assert.match(err, message);
    assert.equal(out, "");
    assert.equal(code, 64);
  });
}

Deno.test("ctl takes flags in istioctl's spellings where commands run", async () => {
  await using kube = new FakeKube();
  const kubeconfig = kube.kubeconfig();
  const { code, out, err } = await ctl(["-i=mesh", "version", "-s=true", "-o=json"], { kubeconfig });
  assert.equal(code, 0, err);
  assert.equal(JSON.parse(out).clientVersion.version, VERSION);
  assert.match(err, /in namespace "mesh"/);
});

Deno.test("ctl prints help on standard output, with examples and the flags that every command takes", async () => {
  for (const args of [["install", "--help"], ["help", "install"], ["-h", "install"]]) {
    const { code, out, err } = await ctl(args);
    assert.equal(code, 0);
    assert.equal(err, "");
    assert.match(out, /^Usage: ambientd ctl install\|apply \[options\]/);
    assert.match(out, /Global Options:\n +-c, --kubeconfig/);
    assert.match(out, /Examples:\n +ambientd ctl install --set profile=ambient/);
    assert.doesNotMatch(out, /vklog|charts/);
  }
  for (const args of [[], ["waypoint"], ["x"], ["pc"], ["zc"], ["manifest"]]) {
    const { code, out, err } = await ctl(args);
    assert.equal(code, 0);
    assert.equal(err, "");
    assert.match(out, /^Usage: ambientd ctl.*\[command\]/);
    assert.doesNotMatch(out, /analyze|translate/);
  }
  const { out } = await ctl(["options"]);
  assert.match(out, /--kubeclient-timeout <duration> +Limit of one request/);
});

Deno.test("every command has a description, and every flag of it, too", () => {
  const program = buildProgram({ out() {}, err() {} } as any, () => undefined, () => {});
  const walk = (command: typeof program) => {
    assert.notEqual(command.description(), "", command.name());
    for (const option of command.options.filter(({ hidden }) => !hidden)) {
      assert.notEqual(option.description, "", `${command.name()} ${option.flags}`);
    }
    for (const child of command.commands) walk(child as typeof program);
  };
  walk(program);
});
