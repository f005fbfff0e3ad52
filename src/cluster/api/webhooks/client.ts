import { Agent, request as httpsRequest } from "node:https";
import type { KubeObject } from "../../contracts.ts";
import type { ObjectStore } from "../../store/store.ts";

const ANSWER_LIMIT = 4 * 1024 * 1024;

/** Where a webhook is to be called. */
interface Destination {
  hostname: string;
  port: number;
  path: string;
  /** Name that its certificate must be for. */
  servername: string;
}

/**
 * Finds a webhook. Services are reached by one of their ready endpoints: no service proxy stands between the API server
 * and the pods.
 */
function destinationOf(store: ObjectStore, clientConfig: any): Destination {
  if (clientConfig?.url) {
    const url = new URL(clientConfig.url);
    if (url.protocol !== "https:") throw new Error(`"${clientConfig.url}" is not an https URL`);
    return {
      hostname: url.hostname,
      port: Number(url.port || 443),
      path: url.pathname + url.search,
      servername: url.hostname,
    };
  }
  const { namespace, name, port = 443, path = "/" } = clientConfig?.service ?? {};
  const service = store.get("/services", namespace, name);
  if (!service) throw new Error(`service "${name}" not found`);
  const servicePort = (service.spec?.ports ?? []).find((candidate: any) => candidate.port === port);
  if (!servicePort) throw new Error(`no service port ${port} found for service "${name}"`);
  for (const slice of store.values("discovery.k8s.io/endpointslices", namespace)) {
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== name) continue;
    const target = (slice.ports ?? []).find((candidate: any) => (candidate.name ?? "") === (servicePort.name ?? ""));
    const endpoint = (slice.endpoints ?? []).find((candidate: any) => candidate.conditions?.ready !== false);
    if (target?.port && endpoint?.addresses?.[0]) {
      return { hostname: endpoint.addresses[0], port: target.port, path, servername: `${name}.${namespace}.svc` };
    }
  }
  throw new Error(`no endpoints available for service "${name}"`);
}

/** Posts an AdmissionReview and reads the answer. Rejects when there is none in time. */
export async function postReview(store: ObjectStore, hook: any, review: unknown): Promise<any> {
  const destination = destinationOf(store, hook.clientConfig);
  const timeoutMs = (hook.timeoutSeconds ?? 10) * 1000;
  const ca = hook.clientConfig.caBundle
    ? new TextDecoder().decode(Uint8Array.fromBase64(hook.clientConfig.caBundle))
    : undefined;
  const body = new TextEncoder().encode(JSON.stringify(review));
  const agent = new Agent({ keepAlive: false });
  const text = await new Promise<string>((resolve, reject) => {
    const request = httpsRequest({
      hostname: destination.hostname,
      port: destination.port,
      path: `${destination.path}${destination.path.includes("?") ? "&" : "?"}timeout=${hook.timeoutSeconds ?? 10}s`,
      method: "POST",
      servername: destination.servername,
      ca,
      agent,
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "content-length": String(body.length),
        host: destination.servername,
      },
    }, (response) => {
      let answer = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        answer += chunk;
        if (answer.length > ANSWER_LIMIT) request.destroy(new Error("the webhook's answer is too large"));
      });
      response.on("error", reject);
      response.on(
        "end",
        () =>
          response.statusCode === 200
            ? resolve(answer)
            : reject(new Error(`the server answered ${response.statusCode}: ${answer.slice(0, 200)}`)),
      );
    });
    const timer = setTimeout(() => request.destroy(new Error("context deadline exceeded")), timeoutMs);
    request.on("close", () => clearTimeout(timer));
    request.on("error", reject);
    request.end(body);
  }).finally(() => agent.destroy());
  const answer = JSON.parse(text) as KubeObject;
  if (typeof answer?.response?.allowed !== "boolean") {
    throw new Error("the answer is not an AdmissionReview with a response");
  }
  if (answer.response.uid !== (review as any).request.uid) {
    throw new Error("the answer's uid is not that of the request");
  }
  return answer.response;
}
