// istiod's part of waypoints and gateways, put together: routing -> proxies, Gateways -> deployments, and what is said of both.

import { type AmbientIndex, readRoutingSettings, RoutingIndex, type RoutingInputs } from "../../index/mod.ts";
import type { Change, KubeClient } from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { IstiodConfig } from "./config.ts";
import { GatewayClasses } from "./gateways/classes.ts";
import { GatewayDeployer } from "./gateways/deployer.ts";
import { gatewayFacts } from "./gateways/facts.ts";
import type { RenderSettings } from "./gateways/render.ts";
import type { Informers } from "./inputs.ts";
import type { MeshConfig } from "./mesh_config.ts";
import { isDeployed } from "./proxy_identity.ts";
import { proxyImage } from "./proxy_image.ts";
import { ProxyPublisher } from "./proxy_publisher.ts";
import { RoutingStatusWriter, type StatusSources } from "./routing_status_writer.ts";
import { SecretAccess } from "./secret_access.ts";

export interface L7ControlOptions {
  readonly client: KubeClient;
  readonly config: IstiodConfig;
  readonly informers: Informers;
  readonly inputs: RoutingInputs;
  readonly index: AmbientIndex;
  readonly sources: StatusSources;
  /** As it is now. */
  readonly mesh: () => MeshConfig;
  readonly logger: Logger;
}

export class L7Control {
  /** Who is connected, and what they are told. */
  readonly proxies: ProxyPublisher;
  readonly #options: L7ControlOptions;
  readonly #routing: RoutingIndex;
  readonly #deployer: GatewayDeployer;
  readonly #classes: GatewayClasses;
  readonly #statuses: RoutingStatusWriter;
  #image: string;

  constructor(options: L7ControlOptions) {
    this.#options = options;
    const { client, config, informers, inputs, index, sources, mesh } = options;
    const logger = options.logger.child("gateway"), onChange = () => this.proxies.changed();
    this.#image = config.proxyImage;
    this.#routing = new RoutingIndex(inputs, index, readRoutingSettings(mesh().raw, mesh().trustDomain).settings);
    this.#deployer = new GatewayDeployer({
      client,
      inputs,
      gateways: informers.gateways,
      settings: () => this.#renderSettings(),
      rootNamespace: () => mesh().rootNamespace,
      logger,
      onFacts: onChange,
    });
    const secrets = new SecretAccess({ client, logger, onChange });
    this.proxies = new ProxyPublisher({
      inputs,
      routing: this.#routing,
      facts: gatewayFacts(inputs, config.domain, this.#deployer.refusedOf),
      mayReadSecrets: (target) =>
        isDeployed(target, inputs) ||
        (target.kind === "gateway" && secrets.allowed(target.namespace, target.serviceAccount)),
      logger,
    });
    this.#classes = new GatewayClasses({ client, classes: informers.gatewayClasses, logger });
    this.#statuses = new RoutingStatusWriter({ client, logger: options.logger.child("status"), sources });
  }

  /** Takes changes of an input in. What proxies are told follows when the ambient index has them too: `proxies.changed`. */
  changed(input: keyof RoutingInputs, changes: readonly Change[]): void {
    this.#deployer.changed(input, changes);
  }

  /** Takes the mesh configuration over. */
  configure(): void {
    const { mesh, logger } = this.#options;
    const { settings, problems } = readRoutingSettings(mesh().raw, mesh().trustDomain);
    this.#routing.configure(settings);
    this.#deployer.refresh();
    if (problems.length > 0) {
      logger.warn("parts of the mesh configuration cannot be used", { problems: problems.join("; ") });
    }
  }

  start(): void {
    this.#deployer.start();
  }

  async stop(): Promise<void> {
    this.proxies.close();
    await this.#deployer.stop();
  }

  /** Creates, deploys and writes until leadership ends. What is known must be complete by then. */
  async lead(signal: AbortSignal): Promise<void> {
    const { client, config, logger } = this.#options;
    if (this.#image === "") this.#image = await proxyImage(client, config, logger);
    // What others wait for (`kubectl wait`, waypoints that are ready) is no comfort that could be switched off; policies' conditions are.
    this.proxies.onStatuses((all) =>
      this.#statuses.report(config.status ? all : all.filter(({ kind }) => kind !== "AuthorizationPolicy"))
    );
    await Promise.all([this.#statuses.lead(signal), this.#classes.lead(signal), this.#deployer.lead(signal)]);
    this.proxies.onStatuses(undefined);
  }

  #renderSettings(): RenderSettings {
    const { config, inputs } = this.#options, mesh = this.#options.mesh();
    const revision = config.revision || "default", suffix = revision === "default" ? "" : `-${revision}`;
    const { meshId } = (mesh.raw.defaultConfig ?? {}) as { meshId?: string };
    const root = inputs.namespaces.get(mesh.rootNamespace);
    return {
      image: this.#image,
      imagePullPolicy: config.proxyPullPolicy || undefined,
      revision,
      controlPlane: `istiod${suffix}.${config.namespace}.svc:15012`,
      clusterId: config.clusterId,
      network: root?.metadata.labels?.["topology.istio.io/network"] ?? "",
      domain: config.domain,
      trustDomain: mesh.trustDomain,
      meshId: meshId ?? mesh.trustDomain,
    };
  }
}
