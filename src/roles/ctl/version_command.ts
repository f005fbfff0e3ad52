import { stringify } from "yaml";
import { MeshError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import { VERSION } from "../../core/version.ts";
import type { CtlContext } from "./context.ts";
import { explain, type KubeClient } from "./kube.ts";
import { imageTag, istiodPods, meshVersions } from "./remote_version.ts";
import { syncStatus } from "./syncz.ts";

export interface VersionFlags {
  remote: boolean;
  short: boolean;
  output?: string;
  revision?: string;
}

interface VersionReport {
  clientVersion: { version: string; revision: string; golang_version: string; status: string; tag: string };
  meshVersion?: { Component: string; Revision: string; Info: { version: string } }[];
  dataPlaneVersion?: { ID: string; IstioVersion: string }[];
}

/** `ctl version`: this executable's version and, where a mesh runs, its control plane's and proxies'. */
export async function versionCommand(context: CtlContext, flags: VersionFlags): Promise<number> {
  if (flags.output !== undefined && flags.output !== "json" && flags.output !== "yaml") {
    throw new CommandError(`--output must be 'yaml' or 'json', not "${flags.output}"`);
  }
  const report: VersionReport = {
    clientVersion: {
      version: VERSION,
      revision: "unknown",
      golang_version: `deno ${Deno.version.deno}`,
      status: "Clean",
      tag: VERSION,
    },
  };
  if (flags.remote) await readRemote(context, flags, report);
  if (flags.output === "json") context.print(JSON.stringify(report, null, 2));
  else if (flags.output === "yaml") context.streams.out(stringify(report));
  else context.print(text(report, flags).join("\n"));
  return 0;
}

async function readRemote(context: CtlContext, flags: VersionFlags, report: VersionReport): Promise<void> {
  const namespace = context.flags.istioNamespace;
  try {
    using client = await context.client();
    const mesh = await meshVersions(client, namespace, flags.revision);
    if (mesh.length === 0) {
      context.warn(`Istio is not present in the cluster: no running Istio pods in namespace "${namespace}"`);
      return;
    }
    report.meshVersion = mesh.map(({ component, revision, version }) => ({
      Component: component,
      Revision: revision,
      Info: { version },
    }));
    report.dataPlaneVersion = await dataPlane(client, namespace, flags.revision);
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    context.warn(`unable to retrieve the mesh's version: ${explain(error)}`);
  }
}

/** Proxies connected to istiod; where istiod does not tell, the ztunnel pods. */
async function dataPlane(
  client: KubeClient,
  namespace: string,
  revision?: string,
): Promise<{ ID: string; IstioVersion: string }[]> {
  const ztunnels = client.list("v1", "Pod", { namespace, labelSelector: "app=ztunnel" });
  try {
    const proxies = await syncStatus(client, await istiodPods(client, namespace, revision));
    const tags = new Map((await ztunnels).map((pod) => [`${pod.metadata.name}.${namespace}`, imageTag(pod)]));
    return proxies.map(({ proxy, version }) => ({
      ID: proxy,
      IstioVersion: version || (tags.get(proxy) ?? "unknown"),
    }));
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    return (await ztunnels).filter((pod) => pod.status?.phase === "Running").map((pod) => ({
      ID: `${pod.metadata.name}.${namespace}`,
      IstioVersion: imageTag(pod) ?? "unknown",
    }));
  }
}

function text(report: VersionReport, flags: VersionFlags): string[] {
  const show = (version: string) => flags.short ? version : JSON.stringify({ version });
  const lines = [`client version: ${flags.short ? VERSION : JSON.stringify(report.clientVersion)}`];
  const mesh = report.meshVersion;
  if (mesh) {
    const different = new Set(mesh.map(({ Info }) => Info.version));
    if (different.size === 1) lines.push(`control plane version: ${show(mesh[0].Info.version)}`);
    else for (const { Component, Info } of mesh) lines.push(`${Component} version: ${show(Info.version)}`);
  }
  if (report.dataPlaneVersion) {
    const counts = new Map<string, number>();
    for (const { IstioVersion } of report.dataPlaneVersion) {
      counts.set(IstioVersion, (counts.get(IstioVersion) ?? 0) + 1);
    }
    const all = [...counts].sort().map(([version, count]) =>
      `${version} (${count} ${count === 1 ? "proxy" : "proxies"})`
    );
    lines.push(`data plane version: ${all.join(", ") || "none"}`);
  }
  return lines;
}
