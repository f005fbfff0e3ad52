// Deploys a proxy for each managed Gateway, and keeps its objects as they should be.

import { describeError } from "../../../core/errors.ts";
import type { GatewayFacts, RoutingInputs } from "../../../index/mod.ts";
import {
  Informer,
  isApiStatus,
  isRefusal,
  type KubeClient,
  type KubeObject,
  objectKey,
  type Resource,
  RESOURCES,
  type ServedInformer,
} from "../../../kube/mod.ts";
import type { Logger } from "../../../telemetry/logger.ts";
import { WorkQueue } from "../work_queue.ts";
import { ANNOTATION, type GatewayClassTraits, isManaged, LABEL, namesOf, servicesOf, traitsOf } from "./names.ts";
import { overlaysOf } from "./overlays.ts";
import { type GatewayObjects, renderGateway, type RenderSettings } from "./render.ts";

export interface GatewayDeployerOptions {
  readonly client: KubeClient;
  readonly inputs: RoutingInputs;
  readonly gateways: ServedInformer;
  readonly settings: () => RenderSettings;
  readonly rootNamespace: () => string;
  readonly logger: Logger;
  /** Facts of a Gateway have changed that only this controller knows. */
  readonly onFacts: () => void;
}

/** This controller's version of the templates; a Gateway that a later one has taken is left to it. */
const CONTROLLER_VERSION = 5;

/** When what the API refused is tried again, if nothing changes before. */
const RETRY_MS = 15_000;

/**
 * Server-side applies Deployment, Service and ServiceAccount of the managed Gateways while it leads. What the Gateway owns goes with it,
 * by its owner references.
 */
export class GatewayDeployer {
  readonly #options: GatewayDeployerOptions;
  readonly #queue = new WorkQueue();
  readonly #deployments: Informer;
  readonly #accounts: Informer;
  readonly #refused = new Map<string, NonNullable<GatewayFacts["refused"]>>();
  readonly #retries = new Map<string, ReturnType<typeof setTimeout>>();
  /** What was said about objects that are not ours, so that it is said once. */
  readonly #foreign = new Set<string>();
  /** Objects that Gateways do not ask for, and that were seen not to be there. */
  readonly #absent = new Set<string>();

  constructor(options: GatewayDeployerOptions) {
    this.#options = options;
    const { client, logger } = options;
    const owned = { client, logger, labelSelector: LABEL.managed };
    this.#deployments = new Informer({ ...owned, type: RESOURCES.deployments, transform: leanDeployment });
    this.#accounts = new Informer({ ...owned, type: RESOURCES.serviceAccounts, transform: leanAccount });
    for (const informer of [this.#deployments, this.#accounts]) {
      informer.onChange((changes) => {
        for (const change of changes) {
          // Its status is not ours to keep.
          if (change.type === "updated" && change.old.spec === change.object.spec) continue;
          if (change.type !== "added") this.#owned(change.object);
        }
      });
    }
    options.gateways.onServed(() => this.refresh());
  }

  /** Why a Gateway is not deployed as it asks, by its key. */
  refusedOf = (gateway: string): GatewayFacts["refused"] => this.#refused.get(gateway);

  start(): void {
    this.#deployments.start();
    this.#accounts.start();
  }

  async stop(): Promise<void> {
    for (const timer of this.#retries.values()) clearTimeout(timer);
    this.#retries.clear();
    await Promise.all([this.#deployments.stop(), this.#accounts.stop()]);
  }

  /** Takes changes of what Gateways are made of in. */
  changed(
    input: keyof RoutingInputs,
    objects: Iterable<{ readonly object: KubeObject; readonly old?: KubeObject }>,
  ): void {
    for (const { object, old } of objects) {
      switch (input) {
        case "gateways":
          // Statuses, which this role writes itself, do not shape a deployment.
          if (old && sameShape(old, object)) break;
          this.#queue.add(objectKey(object));
          break;
        case "gatewayClasses":
          this.#where((gateway) => gateway.spec?.gatewayClassName === object.metadata.name);
          break;
        case "services":
          if (!old || !sameService(old, object)) this.#owned(object);
          break;
        case "configMaps":
          this.#configMap(object);
          break;
        case "namespaces":
          if (old && old.metadata.labels?.[LABEL.revision] === object.metadata.labels?.[LABEL.revision]) break;
          this.#where((gateway) => gateway.metadata.namespace === object.metadata.name);
          break;
      }
    }
  }

  /** All of them: settings have changed. */
  refresh(): void {
    this.#where(() => true);
  }

  async lead(signal: AbortSignal): Promise<void> {
    // Others may have led meanwhile.
    this.#absent.clear();
    this.refresh();
    await this.#queue.run(signal, (key) => this.#reconcile(key, signal), (key, error) => {
      this.#options.logger.warn("cannot deploy a Gateway", { gateway: key, error: describeError(error) });
    });
  }

  #where(wanted: (gateway: KubeObject) => boolean): void {
    for (const gateway of this.#options.inputs.gateways.values()) {
      if (wanted(gateway)) this.#queue.add(objectKey(gateway));
    }
  }

  #owned({ metadata }: KubeObject): void {
    const owner = metadata.labels?.[LABEL.managed] === undefined ? undefined : metadata.labels?.[LABEL.gatewayName];
    if (owner !== undefined) this.#queue.add(`${metadata.namespace}/${owner}`);
  }

  #configMap({ metadata }: KubeObject): void {
    const ofClass = metadata.namespace === this.#options.rootNamespace()
      ? metadata.labels?.[LABEL.classDefaults]
      : undefined;
    this.#where(({ metadata: { namespace }, spec }) =>
      (ofClass !== undefined && spec?.gatewayClassName === ofClass) ||
      (namespace === metadata.namespace && spec?.infrastructure?.parametersRef?.name === metadata.name)
    );
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { inputs, settings, rootNamespace, logger } = this.#options;
    const gateway = inputs.gateways.get(key);
    if (!gateway || gateway.metadata.deletionTimestamp) return this.#setRefused(key, undefined);
    const traits = traitsOf(gateway, inputs.gatewayClasses);
    if (!traits || !this.#isOurs(gateway)) return this.#setRefused(key, undefined);
    if (!isManaged(gateway)) {
      await this.#withdraw(gateway, traits, signal);
      return this.#setRefused(key, undefined);
    }
    const found = await overlaysOf(gateway, inputs.configMaps, rootNamespace());
    if ("refused" in found) {
      logger.warn("a Gateway cannot be deployed as it asks", { gateway: key, reason: found.refused });
      return this.#setRefused(key, { reason: "InvalidParameters", message: found.refused });
    }
    const objects = renderGateway(gateway, traits, settings(), found.overlays);
    try {
      await this.#applyAll(objects, traits.controller, signal);
      await this.#withdrawOptional(gateway, objects, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // The other Gateways do not wait for one that the API will not have.
      logger.warn("a Gateway's objects were refused", { gateway: key, error: describeError(error) });
      this.#setRefused(key, {
        reason: found.overlays.length > 0 ? "InvalidParameters" : "Invalid",
        message: `cannot deploy: ${describeError(error)}`,
      });
      return this.#later(key);
    }
    this.#setRefused(key, undefined);
    logger.debug("Gateway deployed", { gateway: key });
  }

  async #applyAll(objects: GatewayObjects, manager: string, signal: AbortSignal): Promise<void> {
    // The account first: pods of a Deployment without it are refused.
    await this.#apply(RESOURCES.serviceAccounts, objects.serviceAccount, manager, signal);
    await Promise.all([
      this.#apply(RESOURCES.deployments, objects.deployment, manager, signal),
      this.#apply(RESOURCES.services, objects.service, manager, signal),
      objects.horizontalPodAutoscaler &&
      this.#apply(RESOURCES.horizontalPodAutoscalers, objects.horizontalPodAutoscaler, manager, signal),
      objects.podDisruptionBudget &&
      this.#apply(RESOURCES.podDisruptionBudgets, objects.podDisruptionBudget, manager, signal),
    ]);
  }

  /** An overlay that made an object is gone, and so is the object. */
  async #withdrawOptional(gateway: KubeObject, objects: GatewayObjects, signal: AbortSignal): Promise<void> {
    const { name } = objects.deployment.metadata;
    for (
      const [type, object] of [
        [RESOURCES.horizontalPodAutoscalers, objects.horizontalPodAutoscaler],
        [RESOURCES.podDisruptionBudgets, objects.podDisruptionBudget],
      ] as const
    ) {
      if (object) this.#absent.delete(`${type.kind}/${objectKey(object)}`);
      else await this.#remove(type, gateway, name, signal);
    }
  }

  /** A Gateway that has come to name a proxy of its user's no longer needs what was made for it, unless it names just that. */
  async #withdraw(gateway: KubeObject, traits: GatewayClassTraits, signal: AbortSignal): Promise<void> {
    const { name, serviceAccount } = namesOf(gateway, traits), { domain } = this.#options.settings();
    const own = `${name}.${gateway.metadata.namespace}.svc`;
    if (servicesOf(gateway, traits, domain).some((host) => host === own || host === `${own}.${domain}`)) return;
    await this.#remove(RESOURCES.horizontalPodAutoscalers, gateway, name, signal);
    await this.#remove(RESOURCES.podDisruptionBudgets, gateway, name, signal);
    await this.#remove(RESOURCES.services, gateway, name, signal);
    await this.#remove(RESOURCES.deployments, gateway, name, signal);
    await this.#remove(RESOURCES.serviceAccounts, gateway, serviceAccount, signal);
  }

  /** Deletes what this controller made for a Gateway; asks the API once, and again when it has been made since. */
  async #remove(type: Resource, { metadata }: KubeObject, name: string, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#options, { namespace, uid } = metadata, key = `${type.kind}/${namespace}/${name}`;
    if (this.#absent.has(key)) return;
    const existing = await client.get(type, namespace, name, { signal });
    const ours = existing?.metadata.labels?.[LABEL.managed] !== undefined &&
      existing.metadata.ownerReferences?.some((owner) => owner.kind === "Gateway" && owner.uid === uid);
    if (ours) {
      await client.delete(type, namespace, name, {
        preconditions: { uid: existing.metadata.uid },
        propagationPolicy: "Background",
        signal,
      });
      logger.info("a Gateway's object is not asked for any more", { object: key });
    }
    this.#absent.add(key);
  }

  /** What was refused may have been so for want of a right, or of room in a quota. */
  #later(key: string): void {
    if (this.#retries.has(key)) return;
    this.#retries.set(
      key,
      setTimeout(() => {
        this.#retries.delete(key);
        this.#queue.add(key);
      }, RETRY_MS),
    );
  }

  /** Whether this control plane's revision, and no later version of the controller, has it. */
  #isOurs({ metadata }: KubeObject): boolean {
    const { revision } = this.#options.settings();
    const namespace = this.#options.inputs.namespaces.get(metadata.namespace ?? "");
    const wanted = metadata.labels?.[LABEL.revision] ?? namespace?.metadata.labels?.[LABEL.revision] ?? revision;
    if (wanted !== revision) return false;
    const claimed = Number(metadata.annotations?.[ANNOTATION.controllerVersion] ?? 0);
    return !(claimed > CONTROLLER_VERSION);
  }

  async #apply(type: Resource, object: KubeObject, fieldManager: string, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#options, { namespace, name } = object.metadata;
    const key = `${type.kind}/${namespace}/${name}`;
    if (!await this.#mayManage(type, object, signal)) {
      if (!this.#foreign.has(key)) {
        logger.info("an object of this name is somebody else's and is left alone", { object: key });
        this.#foreign.add(key);
      }
      return;
    }
    this.#foreign.delete(key);
    this.#absent.delete(key);
    try {
      await client.apply(type, object, { fieldManager, signal });
    } catch (error) {
      // A namespace on its way out takes nothing new.
      if (isApiStatus(error, 404) || (isApiStatus(error, 403) && /terminat/i.test(error.message))) return;
      throw error;
    }
  }

  /** Objects that exist without our label were made by a user. */
  async #mayManage(
    type: Resource,
    { metadata: { namespace, name } }: KubeObject,
    signal: AbortSignal,
  ): Promise<boolean> {
    const key = `${namespace}/${name}`;
    if (type === RESOURCES.deployments && this.#deployments.store.has(key)) return true;
    if (type === RESOURCES.serviceAccounts && this.#accounts.store.has(key)) return true;
    const existing = await this.#options.client.get(type, namespace, name, { signal });
    return existing === undefined || existing.metadata.labels?.[LABEL.managed] !== undefined;
  }

  #setRefused(key: string, refused: GatewayFacts["refused"]): void {
    const old = this.#refused.get(key);
    if (old?.message === refused?.message) return;
    if (refused) this.#refused.set(key, refused);
    else this.#refused.delete(key);
    this.#options.onFacts();
  }
}

/** Of a Deployment, what tells that somebody changed it. */
function leanDeployment({ metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, generation, labels } = metadata;
  return { metadata: { name, namespace, uid, resourceVersion, labels }, spec: generation };
}

function leanAccount({ metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, labels } = metadata;
  return { metadata: { name, namespace, uid, resourceVersion, labels }, spec: JSON.stringify(labels) };
}

const json = JSON.stringify;

function sameShape(a: KubeObject, b: KubeObject): boolean {
  return a.metadata.uid === b.metadata.uid && a.metadata.generation === b.metadata.generation &&
    json(a.metadata.labels) === json(b.metadata.labels) &&
    json(a.metadata.annotations) === json(b.metadata.annotations) &&
    a.apiVersion === b.apiVersion;
}

function sameService(a: KubeObject, b: KubeObject): boolean {
  return json(a.spec) === json(b.spec) && json(a.metadata.labels) === json(b.metadata.labels) &&
    json(a.metadata.annotations) === json(b.metadata.annotations);
}
