/** What the proxy knows about the mesh, and the decisions it takes from that, as pure functions. */
export * from "./balance.ts";
export * from "./inbound_target.ts";
export * from "./mesh_state.ts";
export * from "./next_hop.ts";
export * from "./upstream.ts";
