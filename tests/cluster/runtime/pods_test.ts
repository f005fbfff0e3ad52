import assert from "node:assert/strict";
import { lines } from "../../../src/cluster/runtime/host.ts";
import { NO_CLUSTER } from "../../support/cluster.ts";

interface Report {
  name?: string;
  ok?: boolean;
  error?: string;
  left?: { processes: string[]; links: string[]; mounts: string[]; root: string[] };
}

const MAIN = new URL("lab_main.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;

/** Runs the scenarios in namespaces like the engine's and reports each as a step. */
async function runScenarios(
  t: Deno.TestContext,
  enter: string[],
  dataDir: string,
  env: Record<string, string>,
  filter = Deno.env.get("SCENARIO") ?? "",
): Promise<void> {
  const child = new Deno.Command(enter[0], {
    args: [
      ...enter.slice(1),
      ...["--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"],
      ...[Deno.execPath(), "run", "-A", "--no-check", "--quiet", "--config", CONFIG, MAIN, dataDir, filter],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
    env,
  }).spawn();
  let left: Report["left"];
  for await (const line of lines(child.stdout)) {
    if (!line.startsWith("{")) continue;
    const report: Report = JSON.parse(line);
    left = report.left ?? left;
    if (report.name) await t.step(report.name, () => assert.ok(report.ok, report.error));
  }
  const status = await child.status;
  await t.step("stopping leaves no process, link, mount or file behind", () => {
    assert.deepEqual([status.code, left], [0, { processes: [], links: ["lo"], mounts: [], root: [] }]);
  });
}

async function withDir(owner: number | undefined, run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "lab-" });
  try {
    if (owner !== undefined) await Deno.chown(dir, owner, owner);
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const why = NO_CLUSTER ? ` (${NO_CLUSTER})` : "";
const root = Deno.uid() === 0;

Deno.test({
  name: `pods of the embedded cluster${root ? "" : ", without root"}${why}`,
  ignore: NO_CLUSTER !== undefined,
  fn: (t) =>
    withDir(undefined, (dir) => runScenarios(t, ["unshare", ...(root ? [] : ["--user", "--map-root-user"])], dir, {})),
});

/** Some other user, to whom the checkout must be readable. */
const NOBODY = 65534;
/** Scenarios in which being root makes a difference. */
const DIFFERENT = "own network|cannot change|users|volumes|hostNetwork|terminal|Services|CNI";
const noRootless = NO_CLUSTER ?? (!root ? "covered above, this is not root" : await unprivilegedProblem());

async function unprivilegedProblem(): Promise<string | undefined> {
  const drop = ["--reuid", String(NOBODY), "--regid", String(NOBODY), "--clear-groups"];
  const { success, stderr } = await new Deno.Command("setpriv", {
    args: [...drop, "unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "test", "-r", MAIN],
    stderr: "piped",
  }).output();
  return success
    ? undefined
    : `an unprivileged user cannot: ${new TextDecoder().decode(stderr).trim() || "no access to the checkout"}`;
}

Deno.test({
  name: `pods of the embedded cluster as an unprivileged user${noRootless ? ` (${noRootless})` : ""}`,
  ignore: noRootless !== undefined,
  fn: (t) =>
    withDir(NOBODY, (dir) => {
      const drop = ["setpriv", "--reuid", String(NOBODY), "--regid", String(NOBODY), "--clear-groups"];
      const env = { HOME: dir, DENO_DIR: `${dir}/deno`, XDG_STATE_HOME: "" };
      return runScenarios(t, [...drop, "unshare", "--user", "--map-root-user"], dir, env, DIFFERENT);
    }),
});
