import { formatTable } from "../../core/terminal.ts";
import type { KubeClient } from "../ctl/kube.ts";
import type { UpOptions } from "./options.ts";
import type { Progress } from "./progress.ts";

/** Says what runs and what to type next. */
export async function printSummary(
  progress: Progress,
  client: KubeClient,
  about: { options: UpOptions; context: string; kubeconfig: string; startedMs: number },
): Promise<void> {
  const { options, context, kubeconfig } = about;
  const { bold, dim } = progress.colors;
  const pods = await client.list("v1", "Pod");
  const rows = pods.map((pod) => [
    pod.metadata.namespace,
    pod.metadata.name,
    pod.spec?.nodeName ?? "",
    pod.status?.phase ?? "",
    pod.status?.podIP ?? "",
  ]);
  progress.line();
  progress.line(`Cluster ${bold(`"${options.name}"`)} is ready after ${(about.startedMs / 1000).toFixed(1)} s.`);
  if (rows.length > 0) {
    progress.line();
    const table = [["NAMESPACE", "POD", "NODE", "STATUS", "IP"], ...rows.sort()];
    for (const line of fittingTable(table, progress.columns - 2)) progress.line(`  ${line}`);
  }
  progress.line();
  progress.line(`Kubeconfig context ${bold(context)} is set in ${kubeconfig}. Try:`);
  progress.line();
  for (const [command, what] of suggestions(options)) {
    const comment = what && `# ${what}`;
    if (comment && 2 + command.length + 2 + comment.length > progress.columns) {
      progress.line(`  ${dim(comment)}`);
      progress.line(`  ${command}`);
    } else progress.line(`  ${command}${comment && `  ${dim(comment)}`}`);
  }
  for (const { hostPort, namespace, service, port } of options.publish) {
    progress.line(`  http://127.0.0.1:${hostPort}  ${dim(`# ${service}.${namespace}:${port}`)}`);
  }
  progress.line();
  const name = options.name === "ambient" ? "" : ` --name ${options.name}`;
  progress.line(dim(`Stop it with Ctrl-C, or \`ambientd down${name}\` from elsewhere.`));
}

/** A table's lines, with columns left out from the right where there are too few columns on the screen. */
export function fittingTable(rows: readonly (readonly string[])[], columns: number): string[] {
  for (let keep = rows[0].length;; keep--) {
    const lines = formatTable(rows.map((row) => row.slice(0, keep))).split("\n");
    if (keep === 1 || lines.every((line) => line.length <= columns)) return lines;
  }
}

function suggestions(options: UpOptions): [command: string, what: string][] {
  if (options.mesh === "none") {
    return [
      ["kubectl get nodes -o wide", ""],
      ["ambientd ctl install --set profile=ambient --skip-confirmation", "install the mesh"],
    ];
  }
  if (options.samples === "none") return [["kubectl get pods -n istio-system -o wide", ""]];
  return [
    ["kubectl get pods -A -o wide", ""],
    ["kubectl exec deploy/sleep -- curl -s http://productpage:9080/", "a request inside the mesh"],
    ["kubectl logs -n istio-system -l app=ztunnel --tail 4", "who called whom"],
    ["kubectl apply -f manifests/samples/policies/productpage-viewer.yaml", "only sleep may call from now on"],
  ];
}
