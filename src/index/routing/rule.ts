// Routes as read from an object of either API, before it is known which proxy they are for and what their backends are.

import type {
  CorsPolicy,
  Fault,
  HeaderChanges,
  RedirectAction,
  RetryPolicy,
  Rewrite,
  RouteMatch,
} from "../../model/l7.ts";

/** One rule: its matches share an action. */
export interface ParsedRule {
  /** In logs and dumps. */
  readonly name: string;
  readonly matches: readonly ParsedMatch[];
  readonly backends: readonly ParsedBackend[];
  readonly redirect?: RedirectAction;
  readonly direct?: {
    readonly kind: "direct";
    readonly status: number;
    readonly body: string;
    readonly binary?: boolean;
  };
  readonly rewrite?: Rewrite;
  readonly mirrors: readonly ParsedMirror[];
  readonly requestHeaders?: HeaderChanges;
  readonly responseHeaders?: HeaderChanges;
  readonly cors?: CorsPolicy;
  readonly fault?: Fault;
  readonly timeoutMs?: number;
  /** Undefined: the mesh's default. */
  readonly retry?: RetryPolicy;
  /** The rule holds something that cannot be done: it answers 500. */
  readonly broken: boolean;
}

export interface ParsedMatch {
  /** VirtualService: follows the rule's in the name of the route. */
  readonly name?: string;
  readonly match: RouteMatch;
  /** Gateway API: what is compared before the age of routes, higher first. */
  readonly rank: readonly number[];
  /** VirtualService: the match is for these gateways (`namespace/name`, `mesh`) or this port alone. */
  readonly gateways?: readonly string[];
  readonly port?: number;
}

export interface ParsedBackend {
  readonly ref: BackendReference;
  readonly weight: number;
  readonly requestHeaders?: HeaderChanges;
  readonly responseHeaders?: HeaderChanges;
  /** A filter of the backend cannot be done: its share answers 500. */
  readonly broken: boolean;
}

export interface ParsedMirror {
  readonly ref: BackendReference;
  readonly millionths: number;
}

export type BackendReference =
  /** Gateway API. */
  | {
    readonly api: "gateway";
    readonly group: string;
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly port: number | undefined;
  }
  /** VirtualService: a host name, resolved by the namespace of its author. */
  | { readonly api: "istio"; readonly hostname: string; readonly subset: string; readonly port: number | undefined };

/** A rule that cannot be read: 500 for whatever its matches were. */
export const MATCH_ALL: ParsedMatch = Object.freeze({
  match: Object.freeze({ headers: [], query: [] }),
  rank: [0, 0, 0, 0, 0],
});
