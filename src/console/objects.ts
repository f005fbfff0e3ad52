// What the console knows of the cluster: lean copies of a few types, kept up to date by watches.

import { ANNOTATION, LABEL, type Labels } from "../index/labels.ts";
import { podIps, workloadName } from "../index/pod_workload.ts";
import { Informer, type KubeClient, type KubeObject, type Pod, type Resource, RESOURCES } from "../kube/mod.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A pod, as far as anybody here asks. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly workload: string;
  readonly serviceAccount: string;
  readonly node: string;
  readonly ip: string;
  readonly hostNetwork: boolean;
  readonly running: boolean;
  readonly ready: boolean;
  /** When its first container began to run, in milliseconds; 0 when it does not. */
  readonly startedAtMs: number;
  /** The CNI agent has put it into the mesh. */
  readonly captured: boolean;
  /** It has a proxy of its own. */
  readonly sidecar: boolean;
}

export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly selector: Labels;
}

export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Labels;
}

/** A Gateway of the Gateway API. */
export interface GatewayFacts {
  readonly namespace: string;
  readonly name: string;
  readonly className: string;
  readonly programmed: boolean;
}

/** An AuthorizationPolicy: whom it is for, not what it says. */
export interface PolicyFacts {
  readonly namespace: string;
  readonly name: string;
  readonly action: string;
  readonly selector: Labels | undefined;
  readonly targets: readonly { readonly kind: string; readonly name: string; readonly namespace: string }[];
}

/** All of it at one moment. */
export interface Objects {
  readonly pods: readonly PodFacts[];
  readonly services: readonly ServiceFacts[];
  readonly namespaces: readonly NamespaceFacts[];
  readonly gateways: readonly GatewayFacts[];
  readonly policies: readonly PolicyFacts[];
  /** The mesh's own namespace. */
  readonly rootNamespace: string;
}

const GATEWAYS: Resource = {
  group: "gateway.networking.k8s.io",
  version: "v1beta1",
  resource: "gateways",
  kind: "Gateway",
  namespaced: true,
};

interface Fact<F> extends KubeObject {
  readonly fact: F;
}

/** Keeps an object's identity for the informer, and of the rest only what `read` takes. */
const lean = <F>(read: (object: KubeObject) => F) => (object: KubeObject): Fact<F> => {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return { metadata: { name, namespace, uid, resourceVersion }, fact: read(object) };
};

export function podFacts(object: KubeObject): PodFacts {
  const pod = object as Pod, { metadata, spec, status } = pod;
  const containers = [...spec.containers, ...spec.initContainers ?? []];
  const started =
    (status as KubeObject["status"])?.containerStatuses?.map((one: any) =>
      Date.parse(one?.state?.running?.startedAt ?? "")
    ).filter(Number.isFinite) ?? [];
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    uid: metadata.uid ?? "",
    labels: metadata.labels ?? {},
    workload: workloadName(pod),
    serviceAccount: spec.serviceAccountName || "default",
    node: spec.nodeName ?? "",
    ip: podIps(pod)[0] ?? "",
    hostNetwork: spec.hostNetwork === true,
    running: status?.phase === "Running" && metadata.deletionTimestamp === undefined,
    ready: status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false,
    startedAtMs: started.length > 0 ? Math.min(...started) : 0,
    captured: metadata.annotations?.[ANNOTATION.redirection] === "enabled",
    sidecar: containers.some(({ name }) => name === "istio-proxy") &&
      metadata.labels?.[LABEL.gatewayName] === undefined,
  };
}

export function serviceFacts({ metadata, spec }: KubeObject): ServiceFacts {
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    labels: metadata.labels ?? {},
    selector: spec?.selector ?? {},
  };
}

export function gatewayFacts({ metadata, spec, status }: KubeObject): GatewayFacts {
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    className: String(spec?.gatewayClassName ?? ""),
    programmed: status?.conditions?.some((one: any) => one?.type === "Programmed" && one?.status === "True") ?? false,
  };
}

export function policyFacts({ metadata, spec }: KubeObject): PolicyFacts {
  const namespace = metadata.namespace ?? "default";
  const refs: any[] = [...spec?.targetRefs ?? [], ...spec?.targetRef ? [spec.targetRef] : []];
  return {
    namespace,
    name: metadata.name,
    action: String(spec?.action ?? "ALLOW"),
    selector: spec?.selector?.matchLabels ?? undefined,
    targets: refs.map((ref) => ({
      kind: String(ref?.kind ?? ""),
      name: String(ref?.name ?? ""),
      namespace: String(ref?.namespace ?? namespace),
    })),
  };
}

/** Watches what the console shows. What its account may not read counts as absent. */
export class ObjectWatch {
  readonly #pods: Informer<Fact<PodFacts>>;
  readonly #services: Informer<Fact<ServiceFacts>>;
  readonly #namespaces: Informer<Fact<NamespaceFacts>>;
  readonly #gateways: Informer<Fact<GatewayFacts>>;
  readonly #policies: Informer<Fact<PolicyFacts>>;
  readonly #rootNamespace: string;
  #snapshot: Objects | undefined;

  constructor(options: { client: KubeClient; logger: Logger; rootNamespace: string }) {
    const { client, logger } = options;
    this.#rootNamespace = options.rootNamespace;
    const informer = <F>(type: Resource, read: (object: KubeObject) => F, optional = false) =>
      new Informer<Fact<F>>({ client, logger, type, optional, transform: lean(read) });
    this.#pods = informer(RESOURCES.pods, podFacts);
    this.#services = informer(RESOURCES.services, serviceFacts);
    this.#namespaces = informer(
      RESOURCES.namespaces,
      ({ metadata }): NamespaceFacts => ({ name: metadata.name, labels: metadata.labels ?? {} }),
    );
    this.#gateways = informer(GATEWAYS, gatewayFacts, true);
    this.#policies = informer(RESOURCES.authorizationPolicies, policyFacts, true);
  }

  get #all(): Informer<Fact<unknown>>[] {
    return [this.#pods, this.#services, this.#namespaces, this.#gateways, this.#policies] as Informer<Fact<unknown>>[];
  }

  start(): void {
    for (const informer of this.#all) {
      informer.onChange(() => this.#snapshot = undefined);
      informer.start();
    }
  }

  /** Resolves when pods, services and namespaces are known. */
  async synced(): Promise<void> {
    await Promise.all([this.#pods.synced, this.#services.synced, this.#namespaces.synced]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map((informer) => informer.stop()));
  }

  /** What is known now; the same object until something changes. */
  snapshot(): Objects {
    const facts = <F>(informer: Informer<Fact<F>>) => [...informer.store.values()].map(({ fact }) => fact);
    return this.#snapshot ??= {
      pods: facts(this.#pods),
      services: facts(this.#services),
      namespaces: facts(this.#namespaces),
      gateways: facts(this.#gateways),
      policies: facts(this.#policies),
      rootNamespace: this.#rootNamespace,
    };
  }
}
