import type { ServerResponse } from "node:http";
import { ApiError } from "../../api_error.ts";
import type { KubeObject, LogOptions } from "../../contracts.ts";
import { serviceUnavailable } from "../errors.ts";
import type { Call } from "./gateway.ts";
import { isTrue } from "./request_info.ts";

/** The pod of a request, and the container it means: the one it names, the annotated default, or the first. */
export function podAndContainer(call: Call, wanted: string | null): { pod: KubeObject; container: string } {
  const { namespace, name } = call.info.resource!;
  const { core } = call.gateway;
  const pod = core.get(core.registry.get("", "pods")!, namespace, name!);
  const all: string[] = ["containers", "initContainers", "ephemeralContainers"]
    .flatMap((list) => (pod.spec[list] ?? []).map((container: any) => container.name));
  if (wanted) {
    if (!all.includes(wanted)) throw ApiError.badRequest(`container ${wanted} is not valid for pod ${name}`);
    return { pod, container: wanted };
  }
  const main: string[] = (pod.spec.containers ?? []).map((container: any) => container.name);
  if (main.length > 1) {
    const init = (pod.spec.initContainers ?? []).map((container: any) => container.name);
    const annotated = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
    if (annotated && main.includes(annotated)) return { pod, container: annotated };
    throw ApiError.badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${main.join(" ")}]` +
        (init.length > 0 ? ` or one of the init containers: [${init.join(" ")}]` : ""),
    );
  }
  return { pod, container: main[0] };
}

function count(call: Call, name: string, minimum: number): number | undefined {
  const text = call.info.query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (!/^-?\d{1,15}$/.test(text)) throw ApiError.badRequest(`${name}: ${JSON.stringify(text)} is not an integer`);
  if (value < minimum) {
    throw new ApiError(
      422,
      "Invalid",
      `PodLogOptions "${
        call.info.resource!.name
      }" is invalid: ${name}: Invalid value: ${value}: must be greater than or equal to ${minimum}`,
    );
  }
  return value;
}

/** `pods/log`: copies what the runtime has, and follows it where asked. */
export async function servePodStream(call: Call, response: ServerResponse): Promise<void> {
  const { query, resource } = call.info;
  const { pod, container } = podAndContainer(call, query.get("container"));
  const backend = call.gateway.backend();
  if (!backend) throw serviceUnavailable("pods cannot run yet: no node has started");
  const options: LogOptions = {
    follow: isTrue(query.get("follow")),
    previous: isTrue(query.get("previous")),
    timestamps: isTrue(query.get("timestamps")),
    tailLines: count(call, "tailLines", 0),
    sinceSeconds: count(call, "sinceSeconds", 1),
    limitBytes: count(call, "limitBytes", 1),
    sinceTime: query.get("sinceTime") ?? undefined,
  };
  if (!pod.spec.nodeName) throw ApiError.badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const reader = backend.logs(resource!.namespace!, resource!.name!, container, options).getReader();
  const stop = () => void reader.cancel().catch(() => {});
  let first = await reader.read();
  response.writeHead(200, { "Content-Type": "text/plain", "Cache-Control": "no-cache, private" });
  response.flushHeaders();
  response.on("close", stop);
  call.gateway.closing.addEventListener("abort", stop, { once: true });
  try {
    for (; !first.done; first = await reader.read()) {
      if (response.destroyed) break;
      if (!response.write(first.value)) await drained(response);
    }
  } finally {
    call.gateway.closing.removeEventListener("abort", stop);
    response.end();
  }
}

/** Resolves when the client has read enough to go on, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });
}
