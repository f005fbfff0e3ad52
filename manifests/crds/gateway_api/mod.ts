// The CustomResourceDefinitions of the Gateway API, as written here from its specification: what `ambientd up` puts into a
// new cluster, so that a tutorial finds them. A cluster that has the official ones keeps those.

import { object, string } from "../schema.ts";
import { BACKEND_TLS_POLICY } from "./backend_tls.ts";
import { type GatewayApiKind, GROUP } from "./common.ts";
import { GATEWAYS } from "./gateway.ts";
import { ROUTES } from "./routes.ts";

export type { GatewayApiKind } from "./common.ts";

/** The release of the Gateway API whose fields these are. */
export const BUNDLE_VERSION = "v1.6.1";

export const GATEWAY_API_KINDS: readonly GatewayApiKind[] = [...GATEWAYS, ...ROUTES, BACKEND_TLS_POLICY];

function definitionOf(definition: GatewayApiKind): Record<string, any> {
  const { kind, plural, shortNames, versions, columns, spec, status, cluster } = definition;
  const openAPIV3Schema = object(
    { apiVersion: string, kind: string, metadata: { type: "object" }, spec, ...(status ? { status } : {}) },
    ["spec"],
  );
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${GROUP}`,
      annotations: {
        // Groups of k8s.io want to know who approved a definition.
        "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/3328",
        "gateway.networking.k8s.io/bundle-version": BUNDLE_VERSION,
        "gateway.networking.k8s.io/channel": "experimental",
      },
    },
    spec: {
      group: GROUP,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        categories: ["gateway-api"],
        ...(shortNames ? { shortNames } : {}),
      },
      scope: cluster ? "Cluster" : "Namespaced",
      versions: versions.map((name, i) => ({
        name,
        served: true,
        // In the oldest version: a tutorial may put an older release over this one, which Kubernetes refuses where objects are stored
        // in a version that it does not have.
        storage: i === versions.length - 1,
        ...(columns ? { additionalPrinterColumns: columns } : {}),
        schema: { openAPIV3Schema },
        ...(status ? { subresources: { status: {} } } : {}),
      })),
    },
  };
}

/** A fresh copy of all definitions. */
export function gatewayApiDefinitions(): Record<string, any>[] {
  return GATEWAY_API_KINDS.map((kind) => structuredClone(definitionOf(kind)));
}
