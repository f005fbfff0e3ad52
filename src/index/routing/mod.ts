/** Routes, gateways and policies -> what each L7 proxy is told, with statuses to write back. Pure: no network, no clock. */
export * from "./inputs.ts";
export * from "./routing_index.ts";
export * from "./settings.ts";
export * from "./status.ts";
export * from "./target.ts";
