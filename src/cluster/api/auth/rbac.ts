import type { KubeObject } from "../../contracts.ts";
import type { ObjectStore } from "../../store/store.ts";
import type { UserInfo } from "../context.ts";

/** What somebody wants to do. */
export interface AccessRequest {
  user: UserInfo;
  verb: string;
  /** Resource requests. */
  group?: string;
  resource?: string;
  subresource?: string;
  namespace?: string;
  name?: string;
  /** Others. */
  path?: string;
}

/** A rule of a role, and where it comes from. */
interface Grant {
  rule: PolicyRule;
  reason: string;
}

export interface PolicyRule {
  verbs?: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

export interface AccessDecision {
  allowed: boolean;
  reason: string;
}

const GROUP = "rbac.authorization.k8s.io";
const SUPERUSERS = "system:masters";

/** Role-based access control over the roles and bindings in the store. */
export class RbacAuthorizer {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  authorize(request: AccessRequest): AccessDecision {
    if (request.user.groups.includes(SUPERUSERS)) return { allowed: true, reason: "" };
    for (const { rule, reason } of this.#grants(request.user, request.namespace)) {
      const allowed = request.path !== undefined
        ? allowsPath(rule, request.verb, request.path)
        : allowsResource(rule, request);
      if (allowed) return { allowed: true, reason };
    }
    return { allowed: false, reason: "" };
  }

  /** All rules that hold for a user, in the cluster and in one namespace: SelfSubjectRulesReview. */
  rules(user: UserInfo, namespace: string): PolicyRule[] {
    if (user.groups.includes(SUPERUSERS)) {
      return [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }, { verbs: ["*"], nonResourceURLs: ["*"] }];
    }
    return [...this.#grants(user, namespace)].map(({ rule }) => rule);
  }

  *#grants(user: UserInfo, namespace: string | undefined): Generator<Grant> {
    for (const binding of this.#store.values(`${GROUP}/clusterrolebindings`)) {
      if (!bindsUser(binding, user, undefined)) continue;
      const reason =
        `RBAC: allowed by ClusterRoleBinding "${binding.metadata.name}" of ClusterRole "${binding.roleRef?.name}"`;
      for (const rule of this.#clusterRoleRules(binding.roleRef?.name)) yield { rule, reason };
    }
    if (!namespace) return;
    for (const binding of this.#store.values(`${GROUP}/rolebindings`, namespace)) {
      if (!bindsUser(binding, user, namespace)) continue;
      const { kind, name } = binding.roleRef ?? {};
      const reason = `RBAC: allowed by RoleBinding "${binding.metadata.name}/${namespace}" of ${kind} "${name}"`;
      const rules = kind === "ClusterRole"
        ? this.#clusterRoleRules(name)
        : this.#store.get(`${GROUP}/roles`, namespace, name)?.rules ?? [];
      for (const rule of rules) yield { rule, reason };
    }
  }

  /** Rules of a cluster role, with those it gathers by labels. */
  #clusterRoleRules(name: string, seen = new Set<string>()): PolicyRule[] {
    if (seen.has(name)) return [];
    seen.add(name);
    const role = this.#store.get(`${GROUP}/clusterroles`, "", name);
    if (!role) return [];
    const selectors: any[] = role.aggregationRule?.clusterRoleSelectors ?? [];
    const gathered: PolicyRule[] = [];
    if (selectors.length > 0) {
      for (const other of this.#store.values(`${GROUP}/clusterroles`)) {
        const labels = other.metadata.labels ?? {};
        const chosen = selectors.some(({ matchLabels = {} }) =>
          Object.keys(matchLabels).length > 0 &&
          Object.entries(matchLabels).every(([key, value]) => labels[key] === value)
        );
        if (chosen) gathered.push(...this.#clusterRoleRules(other.metadata.name, seen));
      }
    }
    return [...role.rules ?? [], ...gathered];
  }
}

function bindsUser(binding: KubeObject, user: UserInfo, namespace: string | undefined): boolean {
  return (binding.subjects ?? []).some((subject: any) => {
    switch (subject.kind) {
      case "User":
        return subject.name === user.name;
      case "Group":
        return user.groups.includes(subject.name);
      case "ServiceAccount":
        return user.name === `system:serviceaccount:${subject.namespace || namespace}:${subject.name}`;
      default:
        return false;
    }
  });
}

function includes(list: string[] | undefined, wanted: string): boolean {
  return list !== undefined && (list.includes(wanted) || list.includes("*"));
}

function allowsResource(rule: PolicyRule, request: AccessRequest): boolean {
  const { group = "", resource = "", subresource, name } = request;
  if (!includes(rule.verbs, request.verb) || !includes(rule.apiGroups, group)) return false;
  const full = subresource ? `${resource}/${subresource}` : resource;
  const resources = rule.resources ?? [];
  const matches = resources.includes("*") || resources.includes(full) ||
    (subresource !== undefined && resources.includes(`*/${subresource}`));
  if (!matches) return false;
  return !rule.resourceNames?.length || (name !== undefined && rule.resourceNames.includes(name));
}

function allowsPath(rule: PolicyRule, verb: string, path: string): boolean {
  if (!includes(rule.verbs, verb)) return false;
  return (rule.nonResourceURLs ?? []).some((url) =>
    url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.slice(0, -1)))
  );
}

/** The text of a refusal, as kubectl users know it. */
export function describeRefusal(request: AccessRequest): string {
  const who = `User ${JSON.stringify(request.user.name)}`;
  if (request.path !== undefined) {
    return `forbidden: ${who} cannot ${request.verb} path ${JSON.stringify(request.path)}`;
  }
  const { resource = "", group = "", subresource, namespace, name, verb } = request;
  const qualified = group === "" ? resource : `${resource}.${group}`;
  const what = subresource ? `${resource}/${subresource}` : resource;
  const where = namespace ? ` in the namespace ${JSON.stringify(namespace)}` : " at the cluster scope";
  return `${qualified}${name ? ` ${JSON.stringify(name)}` : ""} is forbidden: ${who} cannot ${verb} resource ` +
    `${JSON.stringify(what)} in API group ${JSON.stringify(group)}${where}`;
}
