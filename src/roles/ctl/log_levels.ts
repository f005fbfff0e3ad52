// `proxy-config log` and `ztunnel-config log`: the levels of proxies that run.

import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort, levelDirective } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { podRequest } from "./port_forward.ts";

export interface LogFlags {
  proxyAdminPort: string;
  level?: string;
  reset?: boolean;
  output?: string;
}

/** What `POST /logging` is told. @throws UsageError, CommandError for what was typed wrongly */
export function loggingQuery({ level, reset, output }: LogFlags): string {
  if (reset && level !== undefined) throw new UsageError("--level cannot be combined with --reset");
  if (output !== undefined && output !== "short") throw new UsageError("--output is not applicable to log");
  if (reset) return "?level=info&reset";
  return level === undefined ? "" : `?level=${encodeURIComponent(level.split(",").map(levelDirective).join(","))}`;
}

/** Shows, or first sets, the levels of each pod. @throws CommandError naming every pod that did not take them */
export async function showLevels(
  context: CtlContext,
  client: KubeClient,
  pods: readonly KubeJson[],
  flags: LogFlags,
): Promise<number> {
  const query = loggingQuery(flags), port = adminPort(flags);
  const problems: string[] = [];
  for (const { metadata: { namespace, name } } of pods) {
    const answer = await podRequest(client, namespace, name, port, "POST", `/logging${query}`);
    if (answer.status === 200) context.print(`${name}.${namespace}:\n${answer.body.trim()}\n`);
    else problems.push(`"${namespace}/${name}": ${answer.body.trim() || `it answered status ${answer.status}`}`);
  }
  if (problems.length > 0) throw new CommandError(`cannot set the log level of ${problems.join("; ")}`);
  return 0;
}
