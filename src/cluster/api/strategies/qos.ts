/** Quality-of-service class of a pod, from the requests and limits of its containers. */
export function qosClass(spec: any): "Guaranteed" | "Burstable" | "BestEffort" {
  const containers: any[] = [...spec.containers ?? [], ...spec.initContainers ?? []];
  let any = false;
  let guaranteed = containers.length > 0;
  for (const container of containers) {
    const requests = container.resources?.requests ?? {};
    const limits = container.resources?.limits ?? {};
    for (const name of ["cpu", "memory"]) {
      const request = requests[name] ?? limits[name];
      if (request !== undefined && !isZero(request)) any = true;
      if (limits[name] === undefined || isZero(limits[name]) || String(request) !== String(limits[name])) {
        guaranteed = false;
      }
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

function isZero(quantity: unknown): boolean {
  return /^0+(\.0*)?[A-Za-z]*$/.test(String(quantity));
}
