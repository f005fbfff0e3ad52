// kubeconfig files as kubectl reads them. The format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/

import type { EnvLookup } from "../core/config.ts";
import { invalidKubeconfig } from "./errors.ts";
import { inClusterTarget, type KubeTarget, tokenFile } from "./target.ts";

export interface EnvironmentOptions {
  /** `--kubeconfig`; else $KUBECONFIG (several files merged), else this pod's account, else ~/.kube/config. */
  readonly kubeconfig?: string;
  /** `--context`. */
  readonly context?: string;
  readonly env?: EnvLookup;
}

type Entry = Readonly<Record<string, any>>;
type Files = readonly { readonly path: string; readonly config: Entry }[];

/**
 * Finds the API and the caller.
 *
 * @throws MeshError `invalid_kubeconfig` naming the file and what is wrong with it
 */
export async function targetFromEnvironment(options: EnvironmentOptions = {}): Promise<KubeTarget> {
  const env = options.env ?? ((name) => Deno.env.get(name));
  const fromEnv = (env("KUBECONFIG") ?? "").split(":").filter((path) => path !== "");
  const explicit = options.kubeconfig ? [options.kubeconfig] : fromEnv;
  if (explicit.length === 0 && options.context === undefined && env("KUBERNETES_SERVICE_HOST")) {
    return await inClusterTarget(env);
  }
  const paths = explicit.length > 0 ? explicit : [`${env("HOME") || "/root"}/.kube/config`];
  const files = await readFiles(paths, options.kubeconfig !== undefined);
  if (files.length === 0) {
    throw invalidKubeconfig(
      `cannot find a kubeconfig at "${paths.join(":")}"; start a cluster, or name the file with --kubeconfig`,
    );
  }
  const context = options.context ?? files.map(({ config }) => config["current-context"]).find(Boolean);
  if (!context) {
    throw invalidKubeconfig(`the kubeconfig "${paths.join(":")}" has no current context; choose one with --context`);
  }
  return await resolveContext(files, context, env);
}

async function readFiles(paths: readonly string[], required: boolean): Promise<Files> {
  const files: { path: string; config: Entry }[] = [];
  for (const path of paths) {
    let text: string;
    try {
      text = await Deno.readTextFile(path);
    } catch (cause) {
      if (!required && cause instanceof Deno.errors.NotFound) continue;
      throw invalidKubeconfig(`cannot read the kubeconfig "${path}"`, cause);
    }
    files.push({ path, config: await parseKubeconfig(path, text) });
  }
  return files;
}

async function parseKubeconfig(path: string, text: string): Promise<Entry> {
  // In a pod there is no kubeconfig, and then no YAML either.
  const { parse } = await import("yaml");
  let config: unknown;
  try {
    config = parse(text);
  } catch (cause) {
    throw invalidKubeconfig(`cannot read the kubeconfig "${path}"`, cause);
  }
  if (config === null) return {};
  if (typeof config === "object" && !Array.isArray(config)) return config as Entry;
  throw invalidKubeconfig(`cannot read the kubeconfig "${path}": its top level is not a map`);
}

/** The first file that has the entry wins, as in kubectl. */
function entry(files: Files, list: string, field: string, name: string): { path: string; value: Entry } {
  for (const { path, config } of files) {
    const found = Array.isArray(config[list]) ? config[list].find((item: any) => item?.name === name) : undefined;
    if (found) return { path, value: found[field] ?? {} };
  }
  throw invalidKubeconfig(
    `the kubeconfig "${files.map(({ path }) => path).join(":")}" has no ${field} named "${name}"`,
  );
}

async function resolveContext(files: Files, name: string, env: EnvLookup): Promise<KubeTarget> {
  const context = entry(files, "contexts", "context", name).value;
  const cluster = entry(files, "clusters", "cluster", context.cluster ?? "");
  const user = context.user ? entry(files, "users", "user", context.user) : { path: files[0].path, value: {} };
  const { server } = cluster.value;
  const refuse = (what: string) => invalidKubeconfig(`the cluster "${context.cluster}" of the kubeconfig ${what}`);
  if (typeof server !== "string" || !/^https?:\/\//.test(server)) throw refuse("has no server URL");
  if (cluster.value["insecure-skip-tls-verify"]) {
    throw refuse("sets insecure-skip-tls-verify; give certificate-authority-data in its place");
  }
  if (cluster.value["tls-server-name"]) throw refuse("sets tls-server-name, which is not supported");
  // One after the other: of several bad files the first is named, always the same.
  const caPem = await pem(cluster, "certificate-authority");
  const clientCertPem = await pem(user, "client-certificate");
  const clientKeyPem = await pem(user, "client-key");
  const as = user.value.as || user.value["as-groups"]
    ? { user: user.value.as, groups: user.value["as-groups"], uid: user.value["as-uid"] }
    : undefined;
  return {
    server: server.replace(/\/+$/, ""),
    caPem,
    clientCertPem,
    clientKeyPem,
    token: await userToken(user, env),
    namespace: context.namespace,
    impersonate: as,
  };
}

async function pem(from: { path: string; value: Entry }, field: string): Promise<string | undefined> {
  const data = from.value[`${field}-data`];
  try {
    if (data) return atob(data);
    if (from.value[field]) return await Deno.readTextFile(beside(from.path, from.value[field]));
  } catch (cause) {
    throw invalidKubeconfig(`cannot read ${field} of the kubeconfig "${from.path}"`, cause);
  }
  return undefined;
}

/** Relative paths are relative to the file that names them. */
function beside(path: string, file: string): string {
  return file.startsWith("/") || !path.includes("/") ? file : `${path.slice(0, path.lastIndexOf("/"))}/${file}`;
}

async function userToken(user: { path: string; value: Entry }, env: EnvLookup): Promise<KubeTarget["token"]> {
  const { token, tokenFile: file, exec } = user.value;
  if (file) return tokenFile(beside(user.path, file));
  if (token) return token;
  if (!exec) return undefined;
  const { credentialPlugin } = await import("./credential_plugin.ts");
  return credentialPlugin(exec, env);
}
