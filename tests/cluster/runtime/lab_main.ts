// The engine's stand-in: started by pods_test.ts in namespaces of its own. Runs every scenario and prints a JSON line for
// each; after the last it stops the cluster and tells what is left of it.

import { run, tool } from "../../../src/cluster/runtime/host.ts";
import { Lab } from "./lab.ts";
import { SCENARIOS } from "./scenarios.ts";

const [dataDir, filter = ""] = Deno.args;
const pattern = new RegExp(filter);
const print = (value: unknown) => Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(value) + "\n"));

const lab = await Lab.start(dataDir);
for (const [name, scenario] of Object.entries(SCENARIOS).filter(([name]) => pattern.test(name))) {
  const started = performance.now();
  try {
    await scenario(lab);
    print({ name, ok: true, ms: Math.round(performance.now() - started) });
  } catch (error) {
    print({ name, ok: false, error: (error as Error).stack ?? String(error) });
  }
}
await lab.close();
const me = String(Deno.pid);
const processes = (await run(["/bin/ps", "-eo", "pid=,ppid=,args="])).stdout.trim().split("\n").map((line) =>
  line.trim()
)
  .filter((line) => !line.startsWith(`${me} `) && !line.includes("/bin/ps"));
const links = (await run([tool("ip"), "-o", "link"])).stdout.trim().split("\n").map((line) => line.split(": ")[1]);
const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").filter((line) => line.includes(dataDir));
print({
  left: { processes, links, mounts, root: [...Deno.readDirSync(`${dataDir}/root`)].map((entry) => entry.name) },
});
Deno.exit(0);
