import { stringify } from "yaml";
import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { selectPods } from "./pod_name.ts";
import { podRequest } from "./port_forward.ts";
import { refuseZtunnel } from "./proxy_dump.ts";

export interface EnvoyStatsFlags {
  output: string;
  type: string;
  selector?: string;
  proxyAdminPort: string;
}

const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  server: ["short", "json", "yaml", "prom", "prom-merged"],
  clusters: ["short", "json", "yaml"],
};

/** `ctl x envoy-stats`: what a waypoint or gateway counts. */
export async function envoyStatsCommand(
  context: CtlContext,
  pods: readonly string[],
  flags: EnvoyStatsFlags,
): Promise<number> {
  const { output, selector } = flags, port = adminPort(flags);
  const type = flags.type === "cluster" ? "clusters" : flags.type;
  if (pods.length > 0 && selector) throw new UsageError("either a pod name or a selector can be given, not both");
  if (pods.length === 0 && !selector) throw new UsageError("a pod name or a selector must be given");
  if (!Object.hasOwn(OUTPUTS, type)) throw new CommandError(`--type must be server or clusters, not "${flags.type}"`);
  if (!OUTPUTS[type].includes(output)) {
    throw new CommandError(`--output of ${type} must be ${OUTPUTS[type].join(", ")}, not "${output}"`);
  }
  using client = await context.client();
  const found = await selectPods(client, pods, selector, context.namespace(client));
  found.forEach(refuseZtunnel);
  for (const pod of found) {
    const text = type === "clusters"
      ? await clusters(client, pod, port, output)
      : await server(client, pod, port, output);
    context.print(`\nThe result of pod ${pod.metadata.name}:\n\n${text.trimEnd()}`);
  }
  return 0;
}

async function server(client: KubeClient, pod: KubeJson, port: number, output: string): Promise<string> {
  if (output === "prom") return await ask(client, pod, port, "/stats/prometheus");
  if (output === "prom-merged") {
    const annotations = pod.metadata.annotations ?? {};
    const merged = Number(annotations["prometheus.io/port"] ?? 15020);
    return await ask(client, pod, merged, annotations["prometheus.io/path"] ?? "/stats/prometheus");
  }
  const text = await ask(client, pod, port, "/stats");
  if (output === "short") return text;
  const stats = text.split("\n").filter(Boolean).map((line) => {
    const colon = line.indexOf(": ");
    return { name: line.slice(0, colon), value: Number(line.slice(colon + 2)) };
  });
  return structured({ stats }, output);
}

async function clusters(client: KubeClient, pod: KubeJson, port: number, output: string): Promise<string> {
  if (output === "short") return await ask(client, pod, port, "/clusters");
  return structured(JSON.parse(await ask(client, pod, port, "/clusters?format=json")), output);
}

function structured(value: unknown, output: string): string {
  return output === "yaml" ? stringify(value) : JSON.stringify(value, null, 2);
}

async function ask(client: KubeClient, pod: KubeJson, port: number, path: string): Promise<string> {
  const { namespace, name } = pod.metadata;
  const { status, body } = await podRequest(client, namespace, name, port, "GET", path);
  if (status === 200) return body;
  throw new CommandError(
    `cannot get "${path}" from port ${port} of pod "${namespace}/${name}": it answered status ${status}`,
  );
}
