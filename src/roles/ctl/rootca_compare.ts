import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { parsePodName, resolvePod } from "./pod_name.ts";
import { fetchProxyDump, hasProxy } from "./proxy_dump.ts";
import { fetchZtunnelDump, ztunnelOnNode } from "./ztunnel_pods.ts";

/** A certificate as the dumps of ztunnels and of L7 proxies have it. */
interface Root {
  readonly pem?: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

/** The roots that a pod trusts. */
interface Trust {
  /** `name.namespace`. */
  readonly pod: string;
  readonly roots: readonly Root[];
}

/** `ctl proxy-config rootca-compare`: whether two pods have a root in common. Without one the exit code is 1. */
export async function rootCaCompareCommand(
  context: CtlContext,
  pods: readonly string[],
  flags: { proxyAdminPort: string },
): Promise<number> {
  if (pods.length !== 2) throw new UsageError(`rootca-compare requires 2 pods, not ${pods.length}`);
  const port = adminPort(flags);
  using client = await context.client();
  const [one, other] = await Promise.all(pods.map(async (text) => {
    const pod = await resolvePod(client, parsePodName(text, context.namespace(client)));
    return await trustOf(client, pod, context.flags.istioNamespace, port);
  }));
  const known = new Set(other.roots.map(identity));
  const common = one.roots.find((root) => known.has(identity(root)));
  if (common) {
    context.print(
      `Both [${one.pod}] and [${other.pod}] have the identical ROOTCA (${describe(common)}): ` +
        "mutual TLS between them can succeed",
    );
    return 0;
  }
  throw new CommandError(
    `[${one.pod}] and [${other.pod}] have no ROOTCA in common, so mutual TLS between them fails: ` +
      `${one.pod} trusts ${one.roots.map(describe).join(", ")}; ${other.pod} trusts ${
        other.roots.map(describe).join(", ")
      }. A proxy takes a new root with its next certificate: restart the one that has the old root`,
  );
}

/** Of an application in the mesh, what its ztunnel trusts in its name. */
async function trustOf(client: KubeClient, pod: KubeJson, istioNamespace: string, port: number): Promise<Trust> {
  const { name, namespace, labels } = pod.metadata;
  const label = `${name}.${namespace}`;
  if (labels?.app === "ztunnel") {
    const { certificates } = await fetchZtunnelDump(client, pod, port);
    return trust(label, certificates, "no pod of its node has a certificate yet");
  }
  if (hasProxy(pod)) {
    const { certificates } = await fetchProxyDump(client, pod, port);
    return trust(
      label,
      certificates,
      "istiod has not issued its certificate: `ambientd ctl proxy-status` shows whether it is connected",
    );
  }
  const ztunnel = await ztunnelOnNode(client, istioNamespace, pod.spec?.nodeName ?? "");
  const { certificates } = await fetchZtunnelDump(client, ztunnel, port);
  const account = `/ns/${namespace}/sa/${pod.spec?.serviceAccountName ?? "default"}`;
  return trust(
    label,
    certificates.filter(({ identity }) => String(identity).endsWith(account)),
    `its ztunnel "${ztunnel.metadata.name}" has no certificate for it; is it in the mesh? ` +
      `\`kubectl label namespace ${namespace} istio.io/dataplane-mode=ambient\` puts it there`,
  );
}

function trust(pod: string, certificates: readonly { rootCerts?: readonly Root[] }[], otherwise: string): Trust {
  const roots = new Map(certificates.flatMap(({ rootCerts = [] }) => rootCerts).map((root) => [identity(root), root]));
  if (roots.size === 0) throw new CommandError(`cannot find the ROOTCA of "${pod}": ${otherwise}`);
  return { pod, roots: [...roots.values()] };
}

/** What tells one root from another, however its PEM is wrapped. */
function identity({ pem, serialNumber, validFrom, expirationTime }: Root): string {
  if (!pem) return `${serialNumber} ${Date.parse(validFrom)} ${Date.parse(expirationTime)}`;
  try {
    return atob(pem).replace(/\s+/g, "");
  } catch {
    return pem.replace(/\s+/g, "");
  }
}

function describe({ serialNumber, expirationTime }: Root): string {
  const serial = /^\d+$/.test(serialNumber) ? BigInt(serialNumber).toString(16) : serialNumber;
  return `serial number ${serial}, valid until ${expirationTime}`;
}
