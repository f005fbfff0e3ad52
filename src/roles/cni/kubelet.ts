/** The kubelet's process on this node: its user, and the network its probes come from. */
export interface Kubelet {
  readonly uid: number;
  readonly netns: string;
}

const NAMES = ["kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent"];

/**
 * Looks for the kubelet among the node's processes. Undefined where there is none to be seen, as in the embedded cluster,
 * whose probes come from the probe address by themselves.
 */
export async function findKubelet(proc: string): Promise<Kubelet | undefined> {
  for await (const entry of Deno.readDir(proc)) {
    if (!/^\d+$/.test(entry.name)) continue;
    try {
      const name = (await Deno.readTextFile(`${proc}/${entry.name}/comm`)).trim();
      if (!NAMES.includes(name)) continue;
      const status = await Deno.readTextFile(`${proc}/${entry.name}/status`);
      const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      return { uid, netns: `${proc}/${entry.name}/ns/net` };
    } catch {
      // The process ended while being looked at.
    }
  }
  return undefined;
}
