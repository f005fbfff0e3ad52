/** Kubernetes objects -> the model, with statuses to write back. Pure: no network, no clock. */
export * from "./ambient_index.ts";
export * from "./inputs.ts";
export * from "./lean.ts";
export * from "./settings.ts";
export * from "./status.ts";
export type { TableDelta } from "./table.ts";
export * from "./routing/mod.ts";
