import { AGE, type Column } from "./definition.ts";
import type { Schema } from "./schema.ts";

/** Group, kind and names of the object that says what `ctl install` was asked for. */
export const ISTIO_OPERATOR = {
  apiVersion: "install.istio.io/v1alpha1",
  kind: "IstioOperator",
  definition: "istiooperators.install.istio.io",
} as const;

const COLUMNS: readonly Column[] = [
  { name: "Revision", type: "string", jsonPath: ".spec.revision", description: "Istio control plane revision" },
  { name: "Status", type: "string", jsonPath: ".status.status", description: "IOP current state" },
  AGE,
];

/** Anything at all: releases of Istio differ in what a spec holds. */
const SCHEMA: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

/**
 * The definition of IstioOperator, as Istio had it up to 1.23. `ctl install` puts it in; it is no part of the manifests, where Istio has it no
 * more.
 */
export function istioOperatorDefinition(): Record<string, any> {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: ISTIO_OPERATOR.definition,
      labels: {
        "app.kubernetes.io/part-of": "istio",
        "install.operator.istio.io/owning-resource": "unknown",
        "operator.istio.io/component": "Base",
        release: "istio",
      },
    },
    spec: {
      group: "install.istio.io",
      names: {
        kind: ISTIO_OPERATOR.kind,
        listKind: "IstioOperatorList",
        plural: "istiooperators",
        singular: "istiooperator",
        shortNames: ["iop", "io"],
      },
      scope: "Namespaced",
      versions: [{
        name: "v1alpha1",
        served: true,
        storage: true,
        additionalPrinterColumns: COLUMNS,
        schema: { openAPIV3Schema: SCHEMA },
        subresources: { status: {} },
      }],
    },
  };
}
