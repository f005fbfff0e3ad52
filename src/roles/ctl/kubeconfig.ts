import { parse } from "yaml";
import type { EnvLookup } from "../../core/config.ts";
import { describeError, MeshError } from "../../core/errors.ts";

/** Where a Kubernetes API is and who calls it. PEM texts, not paths. */
export interface KubeTarget {
  readonly server: string;
  readonly caPem?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  /** A bearer token, or how to get the current one. */
  readonly token?: string | (() => Promise<string>);
  /** Namespace of the context. */
  readonly namespace?: string;
  readonly impersonate?: { user?: string; groups?: readonly string[]; uid?: string };
}

export interface KubeconfigOptions {
  /** `--kubeconfig`; otherwise $KUBECONFIG (several files merged), then ~/.kube/config, then the pod's own account. */
  path?: string;
  context?: string;
  env: EnvLookup;
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Finds the cluster as kubectl does.
 *
 * @throws MeshError `invalid_kubeconfig` naming the file and what is wrong with it, or that there is none
 */
export async function loadKubeconfig(options: KubeconfigOptions): Promise<KubeTarget> {
  const { env } = options;
  const given = options.path ? [options.path] : env("KUBECONFIG")?.split(":").filter((path) => path !== "");
  const paths = given?.length ? given : [`${env("HOME") || "/root"}/.kube/config`];
  const files: { path: string; config: Record<string, any> }[] = [];
  for (const path of paths) {
    const config = await readFile(path, options.path !== undefined);
    if (config) files.push({ path, config });
  }
  if (files.length === 0) {
    if (env("KUBERNETES_SERVICE_HOST")) return await inCluster(env);
    throw invalid(
      `cannot find a kubeconfig at "${paths.join(":")}"; start a cluster, or name the file with --kubeconfig`,
    );
  }
  const context = options.context ?? files.map(({ config }) => config["current-context"]).find(Boolean);
  if (!context) throw invalid(`the kubeconfig "${paths.join(":")}" has no current context; choose one with --context`);
  return await resolveContext(files, context, env);
}

async function readFile(path: string, required: boolean): Promise<Record<string, any> | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    if (!required && cause instanceof Deno.errors.NotFound) return undefined;
    throw invalid(`cannot read the kubeconfig "${path}"`, cause);
  }
  try {
    const config = parse(text);
    if (config === null) return {};
    if (typeof config === "object" && !Array.isArray(config)) return config;
  } catch (cause) {
    throw invalid(`cannot read the kubeconfig "${path}"`, cause);
  }
  throw invalid(`cannot read the kubeconfig "${path}": its top level is not a map`);
}

type Files = readonly { path: string; config: Record<string, any> }[];

/** The first file that has the entry wins, as in kubectl. */
function entry(files: Files, list: string, field: string, name: string): { path: string; value: Record<string, any> } {
  for (const { path, config } of files) {
    const found = Array.isArray(config[list]) ? config[list].find((item: any) => item?.name === name) : undefined;
    if (found) return { path, value: found[field] ?? {} };
  }
  throw invalid(`the kubeconfig "${files.map(({ path }) => path).join(":")}" has no ${field} named "${name}"`);
}

async function resolveContext(files: Files, name: string, env: EnvLookup): Promise<KubeTarget> {
  const context = entry(files, "contexts", "context", name).value;
  const cluster = entry(files, "clusters", "cluster", context.cluster ?? "");
  const user = context.user ? entry(files, "users", "user", context.user) : { path: files[0].path, value: {} };
  const { value } = cluster;
  if (typeof value.server !== "string") {
    throw invalid(`the cluster "${context.cluster}" of the kubeconfig has no server`);
  }
  if (value["insecure-skip-tls-verify"]) {
    throw invalid(
      `the cluster "${context.cluster}" sets insecure-skip-tls-verify; give certificate-authority-data in its place`,
    );
  }
  return {
    server: value.server.replace(/\/+$/, ""),
    caPem: await pem(cluster, "certificate-authority"),
    clientCertPem: await pem(user, "client-certificate"),
    clientKeyPem: await pem(user, "client-key"),
    token: await userToken(user, env),
    namespace: context.namespace,
  };
}

async function pem(from: { path: string; value: Record<string, any> }, field: string): Promise<string | undefined> {
  const data = from.value[`${field}-data`];
  try {
    if (data) return atob(data);
    if (from.value[field]) return await Deno.readTextFile(beside(from.path, from.value[field]));
  } catch (cause) {
    throw invalid(`cannot read ${field} of the kubeconfig "${from.path}"`, cause);
  }
  return undefined;
}

function beside(path: string, file: string): string {
  return file.startsWith("/") || !path.includes("/") ? file : `${path.slice(0, path.lastIndexOf("/"))}/${file}`;
}

async function userToken(
  user: { path: string; value: Record<string, any> },
  env: EnvLookup,
): Promise<KubeTarget["token"]> {
  const { token, tokenFile, exec } = user.value;
  if (tokenFile) {
    const path = beside(user.path, tokenFile);
    return async () => (await Deno.readTextFile(path)).trim();
  }
  if (token) return token;
  if (exec) {
    // Asked once: ctl's commands are far shorter than any credential's life.
    const credential = await runCredentialPlugin(exec, env);
    return credential;
  }
  return undefined;
}

/** Runs a client-go credential plugin (as EKS, GKE and AKS use) and returns its token. */
async function runCredentialPlugin(exec: Record<string, any>, env: EnvLookup): Promise<string> {
  const apiVersion = exec.apiVersion ?? "client.authentication.k8s.io/v1";
  const info = JSON.stringify({ apiVersion, kind: "ExecCredential", spec: { interactive: false } });
  const extra = Object.fromEntries((exec.env ?? []).map(({ name, value }: any) => [name, value]));
  try {
    const { success, stdout, code } = await new Deno.Command(exec.command, {
      args: exec.args ?? [],
      env: { ...extra, KUBERNETES_EXEC_INFO: info, ...(env("PATH") ? { PATH: env("PATH")! } : {}) },
      stdin: "null",
      stderr: "inherit",
    }).output();
    if (!success) throw new Error(`it ended with code ${code}`);
    const token = JSON.parse(new TextDecoder().decode(stdout))?.status?.token;
    if (typeof token !== "string") throw new Error("it printed no status.token");
    return token;
  } catch (cause) {
    throw invalid(
      `cannot get credentials from "${exec.command}"${exec.installHint ? ` (${exec.installHint})` : ""}`,
      cause,
    );
  }
}

async function inCluster(env: EnvLookup): Promise<KubeTarget> {
  const host = env("KUBERNETES_SERVICE_HOST")!;
  const port = env("KUBERNETES_SERVICE_PORT") || "443";
  try {
    return {
      server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      caPem: await Deno.readTextFile(`${SERVICE_ACCOUNT}/ca.crt`),
      token: async () => (await Deno.readTextFile(`${SERVICE_ACCOUNT}/token`)).trim(),
      namespace: (await Deno.readTextFile(`${SERVICE_ACCOUNT}/namespace`)).trim(),
    };
  } catch (cause) {
    throw invalid("cannot read the service account of this pod", cause);
  }
}

function invalid(message: string, cause?: unknown): MeshError<"invalid_kubeconfig"> {
  return new MeshError("invalid_kubeconfig", cause === undefined ? message : `${message}: ${describeError(cause)}`, {
    source: "downstream",
  });
}
