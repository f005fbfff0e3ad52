import { MeshError } from "../../core/errors.ts";
import { hanging } from "../../core/terminal.ts";
import { execInPod } from "../ctl/exec.ts";
import type { KubeClient } from "../ctl/kube.ts";
import type { Progress } from "./progress.ts";
import { readyPods, SAMPLE_NAMESPACE } from "./samples.ts";
import { accessLines, hboneConnections } from "./ztunnel_view.ts";

/** How long the mesh may take to carry the first request after everything reports ready. */
const FIRST_REQUEST_MS = 60_000;

/** Sends one request from sleep to the product page and shows its path: identities, TLS, and both access-log lines. */
export async function proveRequest(
  client: KubeClient,
  progress: Progress,
  signal: AbortSignal,
  withinMs = FIRST_REQUEST_MS,
): Promise<void> {
  const proof = await progress.step(
    "Sending a request from sleep to productpage",
    (update) =>
      retry(withinMs, signal, update, async () => {
        const [sleep] = await readyPods(client, SAMPLE_NAMESPACE, "app=sleep");
        if (!sleep) throw new MeshError("proof", "no pod of sleep is ready");
        const since = new Date();
        const { stdout, exitCode } = await execInPod(
          client,
          { namespace: SAMPLE_NAMESPACE, pod: sleep.metadata.name },
          ["curl", "-sS", "-m", "5", "http://productpage:9080/productpage"],
          signal,
        );
        const title = /<title>.*<\/title>/.exec(stdout)?.[0];
        if (exitCode !== 0 || !title) throw new MeshError("proof", `curl ended with code ${exitCode}`);
        const lines = await accessLines(client, {
          since,
          source: sleep.metadata.name,
          service: `productpage.${SAMPLE_NAMESPACE}.svc.cluster.local`,
        });
        if (!lines.outbound?.fields["dst.identity"] || !lines.inbound?.fields["src.identity"]) {
          throw new MeshError("proof", "the request did not pass through the mesh yet");
        }
        return { title, outbound: lines.outbound, inbound: lines.inbound };
      }),
  );

  const { outbound, inbound, title } = proof;
  const tls = await hboneConnections(client, outbound.node, outbound.fields["dst.addr"]);
  const { bold, cyan, dim, green } = progress.colors;
  progress.line();
  progress.line(`  ${bold("One request, from pod to pod")}`);
  progress.line(`    GET http://productpage:9080/productpage  ${green(title)}`);
  progress.line();
  const port = (address: string) => address.replace(/.*:/, ":");
  progress.line(`    ${outbound.fields["src.workload"]}  ${dim(outbound.fields["src.addr"])}`);
  progress.line(`      ${cyan(outbound.fields["src.identity"])}`);
  progress.line(`        │  ztunnel on ${outbound.node}`);
  const secured = tls ? `mutual ${tls.version}, ${tls.cipher}` : "mutual TLS";
  progress.line(`        ▼  HBONE ${port(outbound.fields["dst.addr"])}, ${secured}`);
  progress.line(`        │  ztunnel on ${inbound.node}`);
  progress.line(
    `    ${inbound.fields["dst.workload"]}  ${dim(outbound.fields["dst.hbone_addr"] ?? inbound.fields["dst.addr"])}`,
  );
  progress.line(`      ${cyan(outbound.fields["dst.identity"])}`);
  progress.line();
  for (const { text } of [outbound, inbound]) {
    for (const line of hanging(text, progress.columns - 2)) progress.line(`  ${dim(line)}`);
  }
}

async function retry<T>(
  withinMs: number,
  signal: AbortSignal,
  update: (detail: string) => void,
  attempt: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || performance.now() > deadline) throw error;
      update((error as Error).message);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
