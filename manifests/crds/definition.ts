import { object, type Schema, status, string } from "./schema.ts";

/** A column that `kubectl get` shows. */
export interface Column {
  name: string;
  type: "string" | "date" | "integer" | "boolean";
  jsonPath: string;
  description?: string;
  /** Above 0: only with `-o wide`. */
  priority?: number;
}

/** What one istio.io kind needs to be served. */
export interface KindDefinition {
  group:
    | "security.istio.io"
    | "networking.istio.io"
    | "telemetry.istio.io"
    | "extensions.istio.io"
    | "gateway.networking.k8s.io";
  kind: string;
  plural: string;
  shortNames?: readonly string[];
  /** Served versions; the first is stored. */
  versions: readonly string[];
  columns?: readonly Column[];
  spec: Schema;
  /** `spec` has to be given. */
  specRequired?: true;
}

export const AGE: Column = {
  name: "Age",
  type: "date",
  jsonPath: ".metadata.creationTimestamp",
  description: "Time since the object was created.",
};

/** The CustomResourceDefinition of one kind; every version has the same schema, so no conversion is needed. */
export function customResourceDefinition(definition: KindDefinition): Record<string, any> {
  const { group, kind, plural, shortNames, versions, columns, spec, specRequired } = definition;
  const openAPIV3Schema = object(
    { apiVersion: string, kind: string, metadata: { type: "object" }, spec, status },
    specRequired ? ["spec"] : [],
  );
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      labels: { app: "istio-pilot", "app.kubernetes.io/part-of": "istio" },
      // `helm uninstall` must not delete the users' objects with the definition.
      annotations: { "helm.sh/resource-policy": "keep" },
    },
    spec: {
      group,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortNames ? { shortNames } : {}),
        categories: ["istio-io", `${group.split(".")[0]}-istio-io`],
      },
      scope: "Namespaced",
      versions: versions.map((name, i) => ({
        name,
        served: true,
        storage: i === 0,
        ...(columns ? { additionalPrinterColumns: columns } : {}),
        schema: { openAPIV3Schema },
        subresources: { status: {} },
      })),
    },
  };
}
