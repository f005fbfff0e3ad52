/** Which route a request takes: pure functions of compiled tables. */
export { hostOf, portOf } from "./authority.ts";
export { closestByHost, hostSpecificity, HostTable } from "./hosts.ts";
export { type MatchFacts, queryParameter, TextTest, type UnmatchedReason } from "./conditions.ts";
export { compileRegex, compileReplacer, isSimple, type Replacer, type WholeTextMatcher } from "./regex.ts";
export { RouteTable, type RouteVerdict } from "./route_table.ts";
