// The host's Prometheus where it was built without Kubernetes (as Debian builds it): this program discovers in its place.

import { describeError } from "../../../core/errors.ts";
import { KubeClient } from "../../../kube/client.ts";
import { type Resource, RESOURCES } from "../../../kube/resources.ts";
import type { KubeObject } from "../../../kube/types.ts";
import type { Program, ProgramContext } from "../program.ts";
import { type Discovery, withoutKubernetesSd } from "./config.ts";
import { type SdObjects, type SdRole, targetsOf } from "./targets.ts";

const ENDPOINTS: Resource = {
  group: "",
  version: "v1",
  resource: "endpoints",
  kind: "Endpoints",
  namespaced: true,
};

/** What each role is made from, and what Prometheus calls that in `selectors`. */
const NEEDS: Record<SdRole, [keyof SdObjects, Resource, selector: string][]> = {
  node: [["nodes", RESOURCES.nodes, "node"]],
  service: [["services", RESOURCES.services, "service"]],
  pod: [["pods", RESOURCES.pods, "pod"]],
  endpoints: [
    ["endpoints", ENDPOINTS, "endpoints"],
    ["services", RESOURCES.services, "service"],
    ["pods", RESOURCES.pods, "pod"],
  ],
  endpointslice: [
    ["endpointSlices", RESOURCES.endpointSlices, "endpointslice"],
    ["services", RESOURCES.services, "service"],
    ["pods", RESOURCES.pods, "pod"],
  ],
};

/** Several scrape jobs ask for the same lists at about the same time. */
const LIST_MS = 2_000;
/** How often the configuration is compared with what was read, for a reload. */
const CONFIG_MS = 2_000;

/**
 * Runs `prometheus` with the same arguments and a configuration in which `kubernetes_sd_configs` are `http_sd_configs` that this
 * process answers, from the API, with the pod's own account. A changed configuration is there for Prometheus' own reload.
 */
export const prometheus: Program = async ({ args, signal, env }) => {
  const lists = new Lists();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => lists.answer(request));
  const at = configArgument(args);
  const source = at.file, target = `${await Deno.makeTempDir()}/prometheus.yml`;
  const namespace = await Deno.readTextFile(`${ACCOUNT}/namespace`).catch(() => env("POD_NAMESPACE") ?? "default");
  let last = "";
  const convert = async () => {
    const text = await Deno.readTextFile(source);
    if (text === last) return;
    const directory = source.slice(0, source.lastIndexOf("/"));
    const converted = withoutKubernetesSd(text, directory, namespace, (sd) => {
      return `http://127.0.0.1:${server.addr.port}/targets?sd=${encodeURIComponent(JSON.stringify(sd))}`;
    });
    await Deno.writeTextFile(`${target}.new`, converted);
    await Deno.rename(`${target}.new`, target);
    last = text;
  };
  let timer: ReturnType<typeof setInterval> | undefined;
  try {
    await convert();
    timer = setInterval(() => void convert().catch((error) => console.error(describeError(error))), CONFIG_MS);
    return await runPrometheus(at.withFile(target), signal);
  } catch (error) {
    console.error(describeError(error));
    return 1;
  } finally {
    clearInterval(timer);
    lists.close();
    await server.shutdown();
  }
};

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

async function runPrometheus(args: string[], signal: ProgramContext["signal"]): Promise<number> {
  const child = new Deno.Command("prometheus", { args, stdin: "null", stdout: "inherit", stderr: "inherit" }).spawn();
  const end = () => child.kill("SIGTERM");
  const reload = () => child.kill("SIGHUP");
  Deno.addSignalListener("SIGHUP", reload);
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
  try {
    return (await child.status).code;
  } finally {
    signal.removeEventListener("abort", end);
    Deno.removeSignalListener("SIGHUP", reload);
  }
}

/** Where `--config.file` is, and the arguments with another one. */
function configArgument(args: readonly string[]): { file: string; withFile: (file: string) => string[] } {
  const at = args.findIndex((arg) => arg === "--config.file" || arg.startsWith("--config.file="));
  if (at < 0) {
    return { file: "/etc/prometheus/prometheus.yml", withFile: (file) => [...args, `--config.file=${file}`] };
  }
  const joined = args[at].includes("=");
  return {
    file: joined ? args[at].slice("--config.file=".length) : args[at + 1] ?? "",
    withFile: (file) => [...args.slice(0, at), `--config.file=${file}`, ...args.slice(at + (joined ? 1 : 2))],
  };
}

/** Lists of the API, kept for a moment. */
class Lists {
  readonly #client = KubeClient.fromEnvironment();
  readonly #recent = new Map<string, { at: number; items: Promise<readonly KubeObject[]> }>();

  async answer(request: Request): Promise<Response> {
    try {
      const { role, namespaces, selectors }: Discovery = JSON.parse(new URL(request.url).searchParams.get("sd") ?? "");
      const objects: Record<string, KubeObject[]> = {};
      for (const [field, type, selector] of NEEDS[role]) {
        const chosen = selectors.find((each) => each.role === selector);
        const everywhere = namespaces.length === 0 || !type.namespaced;
        const lists = (everywhere ? [undefined] : namespaces).map((namespace) =>
          this.#list(type, namespace, chosen?.label, chosen?.field)
        );
        objects[field] = (await Promise.all(lists)).flat();
      }
      return Response.json(targetsOf(role, objects));
    } catch (error) {
      // Prometheus keeps the targets that it has.
      console.error(`cannot discover: ${describeError(error)}`);
      return new Response("cannot discover\n", { status: 503 });
    }
  }

  #list(type: Resource, namespace?: string, label?: string, field?: string): Promise<readonly KubeObject[]> {
    const key = JSON.stringify([type.resource, namespace, label, field]), now = performance.now();
    const recent = this.#recent.get(key);
    if (recent && now - recent.at < LIST_MS) return recent.items;
    const items = this.#client
      .then((client) => client.list(type, { namespace, labelSelector: label, fieldSelector: field }))
      .then((list) => list.items);
    this.#recent.set(key, { at: now, items });
    return items;
  }

  close(): void {
    this.#client.then((client) => client.close(), () => {});
  }
}
