import { type Document, parseDocument, YAMLMap, YAMLSeq } from "yaml";
import { MeshError } from "../core/errors.ts";

/** What a kubeconfig needs to reach one embedded cluster as its administrator. */
export interface KubeconfigEntry {
  /** Name of the cluster, the user and the context. */
  readonly context: string;
  readonly server: string;
  readonly caPem: string;
  readonly clientCertPem: string;
  readonly clientKeyPem: string;
}

/** The file that kubectl would write: `--kubeconfig`, else the first of $KUBECONFIG, else ~/.kube/config. */
export function kubeconfigPath(flag?: string, env = (key: string) => Deno.env.get(key)): string {
  if (flag) return flag;
  const first = env("KUBECONFIG")?.split(":").find((path) => path !== "");
  return first ?? `${env("HOME") || "/root"}/.kube/config`;
}

/**
 * Adds or replaces cluster, user and context in the kubeconfig and makes the context current, as kind does. Everything
 * else in the file, comments included, stays. The file is written whole and with mode 0600.
 *
 * @throws MeshError `invalid_kubeconfig` when the file exists and is not a kubeconfig; the file is left as it is
 */
export async function mergeKubeconfig(path: string, entry: KubeconfigEntry): Promise<void> {
  await edit(path, (doc) => {
    put(doc, "clusters", entry.context, {
      cluster: { "certificate-authority-data": btoa(entry.caPem), server: entry.server },
    });
    put(doc, "users", entry.context, {
      user: {
        "client-certificate-data": btoa(entry.clientCertPem),
        "client-key-data": btoa(entry.clientKeyPem),
      },
    });
    put(doc, "contexts", entry.context, { context: { cluster: entry.context, user: entry.context } });
    doc.set("current-context", entry.context);
  });
}

/** Removes what {@linkcode mergeKubeconfig} added; a current context that pointed at it becomes unset. */
export async function removeFromKubeconfig(path: string, context: string): Promise<void> {
  try {
    await Deno.stat(path);
  } catch {
    return;
  }
  await edit(path, (doc) => {
    for (const list of ["clusters", "users", "contexts"]) {
      const sequence = doc.get(list);
      if (sequence instanceof YAMLSeq) {
        sequence.items = sequence.items.filter((item) => !(item instanceof YAMLMap && item.get("name") === context));
      }
    }
    if (doc.get("current-context") === context) doc.set("current-context", "");
  });
}

function put(doc: Document, list: string, name: string, value: Record<string, unknown>): void {
  if (!(doc.get(list) instanceof YAMLSeq)) doc.set(list, doc.createNode([]));
  const sequence = doc.get(list) as YAMLSeq;
  const node = doc.createNode({ ...value, name });
  const at = sequence.items.findIndex((item) => item instanceof YAMLMap && item.get("name") === name);
  if (at >= 0) sequence.items[at] = node;
  else sequence.add(node);
  sequence.flow = false;
}

async function edit(path: string, change: (doc: Document) => void): Promise<void> {
  const dir = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".";
  await Deno.mkdir(dir, { recursive: true });
  const release = await lock(`${path}.lock`);
  try {
    let text = "";
    try {
      text = await Deno.readTextFile(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const doc = text.trim() === "" ? parseDocument("apiVersion: v1\nkind: Config\n") : parseDocument(text);
    if (doc.errors.length > 0 || !(doc.contents instanceof YAMLMap)) {
      throw new MeshError(
        "invalid_kubeconfig",
        `cannot add the cluster to "${path}": the file is not a kubeconfig (${
          doc.errors[0]?.message.split("\n")[0] ?? "its top level is not a map"
        }); repair it, or name another with --kubeconfig`,
      );
    }
    change(doc as unknown as Document);
    const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}`;
    await Deno.writeTextFile(temporary, doc.toString(), { mode: 0o600 });
    await Deno.rename(temporary, path);
  } finally {
    await release();
  }
}

/** client-go's lock: a file created exclusively. One left behind by a crash is taken over after ten seconds. */
async function lock(path: string): Promise<() => Promise<void>> {
  const deadline = Date.now() + 10_000;
  while (true) {
    try {
      (await Deno.open(path, { write: true, createNew: true })).close();
      return () => Deno.remove(path).catch(() => {});
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      if (Date.now() > deadline) await Deno.remove(path).catch(() => {});
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
