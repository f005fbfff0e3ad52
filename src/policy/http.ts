/** L7 authorization: (request facts, policies) -> L7Decision, pure, with the reason. */
export { type CompiledL7Policy, compileL7Policy, deniedDetail } from "./http_compile.ts";
export type { L7ConnectionFacts, L7Decision, L7DecisionCode, L7MatchPlace, L7RequestFacts } from "./http_facts.ts";
export { L7PolicySet } from "./http_policies.ts";
export { PathTemplate } from "./path_template.ts";
