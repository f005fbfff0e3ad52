import { stringify } from "yaml";
import { describeError } from "../../core/errors.ts";
import { CommandError, UsageError } from "../../core/usage.ts";
import { isApiStatus } from "../../kube/errors.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";

export interface PrecheckFlags {
  output: string;
  outputThreshold: string;
  skipControlplane?: boolean;
  fromVersion?: string;
}

type Level = "Info" | "Warning" | "Error";

interface Message {
  code: string;
  level: Level;
  origin: string;
  message: string;
}

const LEVELS: readonly Level[] = ["Info", "Warning", "Error"];
const OLDEST_MINOR = 32;

/** What an installation creates. */
const NEEDED: readonly [group: string, resource: string, namespaced: boolean][] = [
  ["", "namespaces", false],
  ["rbac.authorization.k8s.io", "clusterroles", false],
  ["rbac.authorization.k8s.io", "clusterrolebindings", false],
  ["apiextensions.k8s.io", "customresourcedefinitions", false],
  ["install.istio.io", "istiooperators", true],
  ["rbac.authorization.k8s.io", "roles", true],
  ["", "serviceaccounts", true],
  ["", "services", true],
  ["apps", "deployments", true],
  ["", "configmaps", true],
  ["admissionregistration.k8s.io", "mutatingwebhookconfigurations", false],
  ["admissionregistration.k8s.io", "validatingwebhookconfigurations", false],
];

/** `ctl x precheck`: whether the mesh can be installed into, or upgraded in, this cluster. */
export async function precheckCommand(context: CtlContext, flags: PrecheckFlags): Promise<number> {
  const threshold = LEVELS.findIndex((level) => level.toLowerCase() === flags.outputThreshold.toLowerCase());
  if (threshold < 0) {
    throw new CommandError(`--output-threshold must be Info, Warning or Error, not "${flags.outputThreshold}"`);
  }
  if (!["log", "json", "yaml"].includes(flags.output)) {
    throw new CommandError(`--output must be log, json or yaml, not "${flags.output}"`);
  }
  const fromMinor = flags.fromVersion ? minorOf(flags.fromVersion) : undefined;
  using client = await context.client();
  const found = (await Promise.all([
    kubernetesVersion(client),
    ...(flags.skipControlplane ? [] : [permissions(client, context.flags.istioNamespace)]),
    ...(fromMinor === undefined ? [] : [changesSince(client, fromMinor, context.flags.istioNamespace)]),
    gatewayApi(client),
  ])).flat();
  const shown = found.filter(({ level }) => LEVELS.indexOf(level) >= threshold);
  if (flags.output === "json") context.print(JSON.stringify(shown, null, 2));
  else if (flags.output === "yaml") context.streams.out(stringify(shown));
  else {
    for (const { level, code, origin, message } of shown) context.print(`${level} [${code}] (${origin}) ${message}`);
    if (shown.length === 0) {
      context.warn(
        `${
          context.streams.palette.green("✔")
        } No issues found when checking the cluster. Istio is safe to install or upgrade!\n` +
          "  To get started, check out https://istio.io/latest/docs/setup/getting-started/",
      );
    }
  }
  if (shown.some(({ level }) => level !== "Info")) {
    throw new CommandError(
      "Issues found when checking the cluster. Istio may not be safe to install or upgrade.\n" +
        "See https://istio.io/latest/docs/reference/config/analysis for more information about causes and resolutions.",
    );
  }
  return 0;
}

/** @throws UsageError */
function minorOf(version: string): number {
  const minor = /^1\.(\d{1,3})(\.|$)/.exec(version)?.[1];
  if (minor === undefined) throw new UsageError(`cannot read --from-version "${version}": write it like 1.20`);
  return Number(minor);
}

/** What changed in behaviour between that minor version of Istio and this. */
async function changesSince(client: KubeClient, minor: number, namespace: string): Promise<Message[]> {
  if (minor > 21 || !await client.get("v1", "Service", namespace, "zipkin")) return [];
  return [{
    code: "IST0169",
    level: "Warning",
    origin: `Service ${namespace}/zipkin`,
    message:
      'The configuration "meshConfig.defaultConfig.tracer" changed in release 1.22: spans are no longer sent to ' +
      `zipkin.${namespace}.svc unless configured. See https://istio.io/latest/docs/tasks/observability/distributed-tracing/`,
  }];
}

async function kubernetesVersion(client: KubeClient): Promise<Message[]> {
  const server = await client.request("GET", "/version");
  if (server?.major !== "1" || Number.parseInt(server.minor, 10) >= OLDEST_MINOR) return [];
  return [{
    code: "IST0142",
    level: "Error",
    origin: "Kubernetes",
    message: `The Kubernetes version "v1.${server.minor}" is lower than the minimum version: v1.${OLDEST_MINOR}`,
  }];
}

async function permissions(client: KubeClient, namespace: string): Promise<Message[]> {
  const answers = await Promise.all(NEEDED.map(async ([group, resource, namespaced]): Promise<Message[]> => {
    const denied = (why: string): Message[] => [{
      code: "IST0141",
      level: "Error",
      origin: "Resource",
      message: `Missing required permission to create ${resource}${group === "" ? "" : `.${group}`}${why}`,
    }];
    try {
      const review = await client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        body: {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SelfSubjectAccessReview",
          spec: { resourceAttributes: { verb: "create", group, resource, ...(namespaced ? { namespace } : {}) } },
        },
      });
      return review.status?.allowed ? [] : denied(review.status?.reason ? `: ${review.status.reason}` : "");
    } catch (error) {
      return denied(`: ${describeError(error)}`);
    }
  }));
  return answers.flat();
}

/** Gateway API definitions that are there serve a version that istiod reads. */
async function gatewayApi(client: KubeClient): Promise<Message[]> {
  let definitions: KubeJson[];
  try {
    definitions = await client.list("apiextensions.k8s.io/v1", "CustomResourceDefinition");
  } catch (error) {
    if (!isApiStatus(error, 403)) throw error;
    const message = `Missing required permission to list customresourcedefinitions: ${describeError(error)}`;
    return [{ code: "IST0141", level: "Error", origin: "Resource", message }];
  }
  return definitions.filter(({ spec }) =>
    spec?.group === "gateway.networking.k8s.io" && ["Gateway", "GatewayClass", "HTTPRoute"].includes(spec.names?.kind)
  ).flatMap(({ metadata, spec }): Message[] => {
    const served = new Set(spec.versions.filter((v: any) => v.served).map((v: any) => v.name));
    if (served.has("v1")) return [];
    const origin = `CustomResourceDefinition ${metadata.name}`;
    return served.has("v1beta1")
      ? [{
        code: "IST0172",
        level: "Warning",
        origin,
        message: "The Gateway API CRD does not serve v1, which later versions need",
      }]
      : [{ code: "IST0156", level: "Error", origin, message: "The Gateway API CRD serves neither v1 nor v1beta1" }];
  });
}
