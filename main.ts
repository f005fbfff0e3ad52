// Names the role, loads it lazily, and sets the exit code. Roles share modules but never load what they do not use.

import { describeError } from "./src/core/errors.ts";
import { asTyped } from "./src/core/self.ts";
import { CommandError, EXIT_PIPE, EXIT_USAGE, UsageError } from "./src/core/usage.ts";

/** One role: given the arguments after its name, runs to its end and resolves to the exit code. */
type Role = (args: string[]) => Promise<number>;

const ROLES: Record<string, { summary: string; hidden?: true; load: () => Promise<{ run: Role }> }> = {
  up: {
    summary: "Start a cluster with the mesh and samples on this machine",
    load: () => import("./src/roles/up.ts"),
  },
  down: {
    summary: "Stop a cluster that runs in the background",
    load: () => import("./src/roles/down.ts"),
  },
  tour: {
    summary: "Walk through the mesh, each step with its proof",
    load: () => import("./src/roles/tour.ts"),
  },
  ctl: {
    summary: "Install, inspect and operate the mesh (istioctl's commands)",
    load: () => import("./src/roles/ctl.ts"),
  },
  istiod: {
    summary: "Run the control plane",
    load: () => import("./src/roles/istiod.ts"),
  },
  cni: {
    summary: "Run the CNI agent of a node, or its network plugin",
    load: () => import("./src/roles/cni.ts"),
  },
  ztunnel: {
    summary: "Run the L4 proxy of a node",
    load: () => import("./src/roles/ztunnel.ts"),
  },
  waypoint: {
    summary: "Run an L7 proxy: waypoint, ingress or egress gateway",
    load: () => import("./src/roles/waypoint.ts"),
  },
  console: {
    summary: "Serve a live graph of the mesh for browsers",
    load: () => import("./src/roles/console.ts"),
  },
  proxy: { summary: "", hidden: true, load: () => import("./src/roles/proxy_alias.ts") },
  "cluster-engine": { summary: "", hidden: true, load: () => import("./src/roles/cluster_engine.ts") },
  "warm-up": { summary: "", hidden: true, load: () => import("./src/roles/warm_up.ts") },
  sample: { summary: "", hidden: true, load: () => import("./src/roles/sample.ts") },
};

function usage(): string {
  const rows = Object.entries(ROLES).filter(([, role]) => !role.hidden)
    .map(([name, role]) => `  ${name.padEnd(10)} ${role.summary}`);
  return `ambientd: an Istio-ambient-compatible service mesh in one executable.

Usage: ambientd <role> [flags]

Roles:
${rows.join("\n")}
  version    Print the version

Run \`ambientd <role> --help\` for a role's flags.`;
}

export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    console.log(asTyped(usage()));
    return name === undefined ? EXIT_USAGE : 0;
  }
  if (name === "version" || name === "--version") {
    const { VERSION } = await import("./src/core/version.ts");
    console.log(`ambientd ${VERSION}`);
    return 0;
  }
  const role = Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;
  try {
    if (!role) throw new UsageError(`unknown role "${name}"; run \`ambientd --help\` for the list`);
    return await (await role.load()).run(rest);
  } catch (thrown) {
    // Whoever read our output has had enough, as `| head` has: nothing to complain about.
    if (thrown instanceof Deno.errors.BrokenPipe) return EXIT_PIPE;
    console.error(`Error: ${asTyped(describeError(thrown))}`);
    if (thrown instanceof UsageError) return EXIT_USAGE;
    if (thrown instanceof CommandError) return thrown.exitCode;
    return 1;
  }
}

if (import.meta.main) {
  const code = await main(Deno.args);
  Deno.exit(code);
}
