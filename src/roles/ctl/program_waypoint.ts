import type { Command } from "commander";
import { bool, duration, examples, type ProgramBuilder } from "./program_builder.ts";

/** `ctl waypoint …` and `ctl x waypoint …`. */
export function addWaypoint(builder: ProgramBuilder, parent: Command): void {
  const waypoint = builder.add(parent, "waypoint", "Make, list and delete waypoints", "wp");
  const sub = (name: string, description: string) =>
    builder.add(waypoint, name, description).option("--name <name>", "Name of the waypoint (default: waypoint)");
  const traffic = (command: Command) =>
    command
      .option("--for <traffic>", "What the waypoint is for: service, workload, all or none")
      .option("-r, --revision <name>", "Control-plane revision of the waypoint");
  const load = () => import("./waypoint.ts");
  builder.on(
    examples(
      traffic(sub("apply", "Make a waypoint in the namespace, or change it"))
        .option("--enroll-namespace", "Label the namespace so that its traffic uses the waypoint")
        .option("--overwrite", "With --enroll-namespace: replace the waypoint that the namespace uses already")
        .option("-w, --wait", "Wait until the waypoint is ready")
        .option("--waypoint-timeout <duration>", "How long to wait", duration, "90s"),
      "waypoint apply --enroll-namespace --wait",
      "waypoint apply -n shop --name accounts --for workload",
    ),
    async (context, _args, flags) => (await load()).waypointApplyCommand(context, flags),
  );
  builder.on(
    examples(
      traffic(sub("generate", "Print the waypoint as YAML")),
      "waypoint generate -n shop | kubectl apply -f -",
    ),
    async (context, _args, flags) => (await load()).waypointGenerateCommand(context, flags),
  );
  builder.on(
    examples(
      sub("list", "List waypoints").option("-A, --all-namespaces", "Of all namespaces"),
      "waypoint list -A",
    ),
    async (context, _args, flags) => (await load()).waypointListCommand(context, flags),
  );
  builder.on(
    examples(
      sub("status", "Show whether waypoints are ready")
        .argument("[name]", "One waypoint")
        .option("-A, --all-namespaces", "Of all namespaces")
        .option("-w, --wait [bool]", "Show changes until all are ready", bool, true)
        .option("--waypoint-timeout <duration>", "How long to wait", duration, "90s"),
      "waypoint status -n shop",
      "waypoint status -A --wait=false",
    ),
    async (context, [name], flags) => (await load()).waypointStatusCommand(context, name ?? flags.name, flags),
  );
  builder.on(
    examples(
      sub("delete", "Delete waypoints")
        .argument("[names...]", "Waypoints of the namespace")
        .option("--all", "Every waypoint of the namespace")
        .option("-r, --revision <name>", "Those of a revision"),
      "waypoint delete waypoint",
      "waypoint delete --all -n shop",
    ),
    async (context, args, flags) => (await load()).waypointDeleteCommand(context, args, flags),
  );
}
