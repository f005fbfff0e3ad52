import { kubeconfigPath } from "../../cluster/kubeconfig.ts";
import { asTyped, CHECKOUT } from "../../core/self.ts";
import { formatTable } from "../../core/terminal.ts";
import type { KubeClient } from "../ctl/kube.ts";
import type { UpOptions } from "./options.ts";
import type { Progress } from "./progress.ts";

/** With these the last line begins. */
export const LAST_WORDS = "Stop it with";

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
  if (!onPath("kubectl")) progress.line("  (kubectl is not installed here: https://kubernetes.io/docs/tasks/tools/)");
  for (const [command, what] of suggestions(new Set(pods.map((pod) => pod.metadata.labels?.app)), kubeconfig)) {
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
  const down = asTyped(`\`ambientd down${nameFlag(options.name)}\``);
  progress.line(dim(`${LAST_WORDS} ${options.background ? down : `Ctrl-C, or ${down} from elsewhere`}.`));
}

/** The flag that tells a cluster from the one that commands mean without it. */
export function nameFlag(name: string): string {
  return name === "ambient" ? "" : ` --name ${name}`;
}

/** A table's lines, with columns left out from the right where there are too few columns on the screen. */
export function fittingTable(rows: readonly (readonly string[])[], columns: number): string[] {
  for (let keep = rows[0].length;; keep--) {
    const lines = formatTable(rows.map((row) => row.slice(0, keep))).split("\n");
    if (keep === 1 || lines.every((line) => line.length <= columns)) return lines;
  }
}

/** What to type next, by the applications that run. */
function suggestions(apps: ReadonlySet<string>, kubeconfig: string): [command: string, what: string][] {
  const first: [string, string][] = kubeconfig === kubeconfigPath(undefined)
    ? []
    : [[`export KUBECONFIG=${kubeconfig}`, ""]];
  if (!apps.has("istiod")) {
    return [
      ...first,
      ["kubectl get nodes -o wide", ""],
      [asTyped("ambientd ctl install --set profile=ambient --skip-confirmation"), "install the mesh"],
    ];
  }
  if (!apps.has("sleep") || !apps.has("productpage")) {
    return [...first, ["kubectl get pods -n istio-system -o wide", ""]];
  }
  return [
    ...first,
    ["kubectl get pods -A -o wide", ""],
    ["kubectl exec deploy/sleep -- curl -s http://productpage:9080/", "a request inside the mesh"],
    ["kubectl logs -n istio-system -l app=ztunnel --tail 4", "who called whom"],
    [`kubectl apply -f ${sample("policies/productpage-viewer.yaml")}`, "only sleep may call from now on"],
  ];
}

/** The path of a sample from where the user is. */
function sample(name: string): string {
  return `${Deno.cwd() === CHECKOUT ? "" : `${CHECKOUT}/`}samples/${name}`;
}

function onPath(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((dir) => {
    try {
      return Deno.statSync(`${dir}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}
