/** L4 authorization: (connection facts, policies) -> Decision, pure, with the reason. */
export * from "./compile.ts";
export * from "./decision.ts";
export * from "./evaluate.ts";
export * from "./policy_store.ts";
