import {
  Informer,
  type InformerTiming,
  type KubeClient,
  type KubeObject,
  objectKey,
  RESOURCES,
} from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";

/** Tells of Ingresses that count on Istio: nobody serves them here, and their status has no place that would say so. */
export class IngressNotice {
  readonly #informer: Informer;

  constructor(client: KubeClient, logger: Logger, timing?: Partial<InformerTiming>) {
    this.#informer = new Informer<KubeObject>({
      client,
      type: RESOURCES.ingresses,
      logger: logger.child("kube"),
      timing,
      optional: true,
      transform: classAlone,
    });
    this.#informer.onChange((changes) => {
      for (const change of changes) {
        if (change.type === "deleted" || !isIstios(change.object)) continue;
        if (change.type === "updated" && isIstios(change.old)) continue;
        logger.warn("an Ingress of class istio is not served: use an HTTPRoute or a VirtualService", {
          object: `Ingress/${objectKey(change.object)}`,
        });
      }
    });
  }

  start(): void {
    this.#informer.start();
  }

  stop(): Promise<void> {
    return this.#informer.stop();
  }
}

const ANNOTATION = "kubernetes.io/ingress.class";

function isIstios({ metadata, spec }: KubeObject): boolean {
  return (spec?.ingressClassName ?? metadata.annotations?.[ANNOTATION]) === "istio";
}

/** An Ingress without what nobody reads. */
function classAlone({ metadata, spec }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, annotations = {} } = metadata;
  return {
    kind: "Ingress",
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      ...(Object.hasOwn(annotations, ANNOTATION) ? { annotations: { [ANNOTATION]: annotations[ANNOTATION] } } : {}),
    },
    spec: { ingressClassName: spec?.ingressClassName },
  };
}
