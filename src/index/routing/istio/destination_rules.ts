import type { KubeObject } from "../../../kube/types.ts";
import { type Labels, selects } from "../../labels.ts";
import { covers, specificity } from "../hostname.ts";
import type { RoutableService } from "../services.ts";
import { type ParsedDestinationRule, readDestinationRule } from "./destination_rule.ts";
import { fullHost, isExported } from "./hosts.ts";

interface Entry {
  readonly host: string;
  readonly rule: ParsedDestinationRule;
}

/** All DestinationRules, by namespace. */
export class DestinationRules {
  /** Of each namespace, by host; rules with wildcards together under "*". */
  readonly #byNamespace = new Map<string, Map<string, Entry[]>>();
  /** Of rules that have been merged. */
  readonly #merged = new Map<string, ParsedDestinationRule>();

  constructor(
    objects: Iterable<KubeObject>,
    readonly domain: string,
    readonly rootNamespace: string,
    readonly defaults: readonly string[],
  ) {
    for (const object of objects) {
      const rule = readDestinationRule(object);
      if (rule.host === "") continue;
      const entry = { host: fullHost(rule.host, rule.namespace, domain), rule };
      let hosts = this.#byNamespace.get(rule.namespace);
      if (!hosts) this.#byNamespace.set(rule.namespace, hosts = new Map());
      const key = entry.host.startsWith("*") ? "*" : entry.host, list = hosts.get(key);
      if (list) list.push(entry);
      else hosts.set(key, [entry]);
    }
    for (const hosts of this.#byNamespace.values()) {
      for (const list of hosts.values()) list.sort((a, b) => a.rule.age < b.rule.age ? -1 : 1);
    }
  }

  /** The rule for a service as a proxy sees it: of its own namespace, else of the service's, else of the root namespace. */
  find(service: RoutableService, proxyNamespace: string, proxyLabels: Labels): ParsedDestinationRule | undefined {
    for (const namespace of new Set([proxyNamespace, service.namespace, this.rootNamespace])) {
      const rule = this.#in(namespace, service.hostname, proxyNamespace, proxyLabels);
      if (rule) return rule;
    }
    return undefined;
  }

  /** Whether any rule for a service has a subset, whoever sees it. */
  hasSubset({ hostname }: RoutableService, subset: string): boolean {
    for (const hosts of this.#byNamespace.values()) {
      for (const { host, rule } of [...hosts.get(hostname) ?? [], ...hosts.get("*") ?? []]) {
        if (covers(host, hostname) && rule.subsets.has(subset)) return true;
      }
    }
    return false;
  }

  #in(namespace: string, hostname: string, proxy: string, labels: Labels): ParsedDestinationRule | undefined {
    const hosts = this.#byNamespace.get(namespace);
    if (!hosts) return undefined;
    const usable = [...hosts.get(hostname) ?? [], ...hosts.get("*") ?? []].filter(({ host, rule }) =>
      covers(host, hostname) && isExported(rule.exportTo, this.defaults, namespace, proxy) &&
      // A rule for certain proxies is for those of its own namespace.
      (!rule.workloads || (namespace === proxy && selects(rule.workloads, labels)))
    );
    if (usable.length === 0) return undefined;
    const best = Math.max(...usable.map(({ host }) => specificity(host)));
    const same = usable.filter(({ host }) => specificity(host) === best).map(({ rule }) => rule);
    // One made for this proxy goes before those for all.
    const own = same.filter(({ workloads }) => workloads);
    return own.length > 0 ? own[0] : this.#merge(same);
  }

  /** Several rules for a host: the oldest one's policy, and all their subsets. */
  #merge(rules: readonly ParsedDestinationRule[]): ParsedDestinationRule {
    if (rules.length === 1) return rules[0];
    const key = rules.map(({ namespace, name }) => `${namespace}/${name}`).join(",");
    let merged = this.#merged.get(key);
    if (!merged) {
      const subsets = new Map(rules.toReversed().flatMap(({ subsets }) => [...subsets]));
      merged = { ...rules[0], policy: rules.find(({ policy }) => policy)?.policy, subsets };
      this.#merged.set(key, merged);
    }
    return merged;
  }
}
