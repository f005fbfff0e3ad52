/** The full name of a host as an author in `namespace` means it: a name without dots is a Service there. */
export function fullHost(host: string, namespace: string, domain: string): string {
  if (host === "" || host.includes(".") || host.includes("*")) return host;
  return `${host}.${namespace}.svc.${domain}`;
}

/** Whether something of `owner`'s is visible in `namespace`. */
export function isExported(
  exportTo: readonly string[] | undefined,
  defaults: readonly string[],
  owner: string,
  namespace: string,
): boolean {
  const list = exportTo && exportTo.length > 0 ? exportTo : defaults;
  return list.some((one) => one === "*" || (one === "." ? owner : one) === namespace);
}

/** `mesh`, or `namespace/name`; a name alone is of the author's namespace. */
export function gatewayName(text: string, namespace: string): string {
  return text === "mesh" || text.includes("/") ? text : `${namespace}/${text}`;
}
