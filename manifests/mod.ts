// The manifests that `ctl install` applies, as typed templates: one function per component, from values to objects.

import { base } from "./base.ts";
import { cni } from "./cni.ts";
import { egressGateways, ingressGateways } from "./gateway.ts";
import { istiod } from "./istiod.ts";
import type { InstallValues, Manifest } from "./values.ts";
import { ztunnel } from "./ztunnel.ts";

export { commonLabels, ownerLabels } from "./values.ts";
export type { Component, GatewaySettings, InstallValues, Manifest, WorkloadSettings } from "./values.ts";

/** Templates by the component's name under `components` of an IstioOperator file, in the order of installation. */
export const COMPONENTS = { base, pilot: istiod, cni, ztunnel, ingressGateways, egressGateways } satisfies Record<
  string,
  (values: InstallValues) => Manifest[]
>;

export type ComponentName = keyof typeof COMPONENTS;
