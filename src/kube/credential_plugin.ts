import type { EnvLookup } from "../core/config.ts";
import { invalidKubeconfig } from "./errors.ts";

/** `users[].user.exec` of a kubeconfig. */
export interface ExecConfig {
  readonly apiVersion?: string;
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly installHint?: string;
}

/** A token is asked for again this long before it ends. */
const EARLY_MS = 30_000;

/**
 * The token of a client-go credential plugin (as EKS, GKE and AKS use), kept until shortly before its end.
 * Plugins that answer with client certificates are refused: no known provider does.
 */
export function credentialPlugin(exec: ExecConfig, env: EnvLookup): () => Promise<string> {
  let held: { token: string; endsAt: number } | undefined;
  let asking: Promise<{ token: string; endsAt: number }> | undefined;
  return async () => {
    if (held && Date.now() < held.endsAt - EARLY_MS) return held.token;
    asking ??= run(exec, env).finally(() => asking = undefined);
    held = await asking;
    return held.token;
  };
}

async function run(exec: ExecConfig, env: EnvLookup): Promise<{ token: string; endsAt: number }> {
  const apiVersion = exec.apiVersion ?? "client.authentication.k8s.io/v1";
  const info = JSON.stringify({ apiVersion, kind: "ExecCredential", spec: { interactive: false } });
  const extra = Object.fromEntries((exec.env ?? []).map(({ name, value }) => [name, value]));
  try {
    const { success, stdout, code } = await new Deno.Command(exec.command, {
      args: [...exec.args ?? []],
      env: { ...extra, KUBERNETES_EXEC_INFO: info, ...(env("PATH") ? { PATH: env("PATH")! } : {}) },
      stdin: "null",
      stderr: "inherit",
    }).output();
    if (!success) throw new Error(`it ended with code ${code}`);
    const status = JSON.parse(new TextDecoder().decode(stdout))?.status;
    if (typeof status?.token !== "string") throw new Error("it printed no status.token");
    const endsAt = Date.parse(status.expirationTimestamp ?? "");
    return { token: status.token, endsAt: Number.isNaN(endsAt) ? Infinity : endsAt };
  } catch (cause) {
    const hint = exec.installHint ? ` (${exec.installHint})` : "";
    throw invalidKubeconfig(`cannot get credentials from "${exec.command}"${hint}`, cause);
  }
}
