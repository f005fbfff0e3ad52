import { PROGRAMS } from "../cluster/programs/mod.ts";

/**
 * Loads the modules of everything that pods run, so that Deno keeps them transpiled and compiled; the embedded cluster's
 * engine runs it with a cache of its own.
 */
export async function run(): Promise<number> {
  await Promise.all([
    import("./istiod.ts"),
    import("./istiod/app.ts"),
    import("./ztunnel.ts"),
    import("./ztunnel/app.ts"),
    import("./waypoint.ts"),
    import("./waypoint/app.ts"),
    import("./cni.ts"),
    import("./cni/app.ts"),
    import("./cni/plugin.ts"),
    import("./console.ts"),
    import("../console/app.ts"),
    import("./sample.ts"),
    ...Object.values(PROGRAMS).map((load) => load()),
  ]);
  return 0;
}
