// Strategic merge of an overlay into an object that this controller has made: lists of Kubernetes' types are merged by their keys.

type Json = Record<string, any>;

/** Merge keys by the list's name; lists that are not named here are replaced. `ports` differ by what has them. */
const MERGE_KEYS: Readonly<Record<string, string | undefined>> = {
  containers: "name",
  initContainers: "name",
  env: "name",
  volumes: "name",
  volumeMounts: "mountPath",
  volumeDevices: "devicePath",
  imagePullSecrets: "name",
  hostAliases: "ip",
  topologySpreadConstraints: "topologyKey",
  ownerReferences: "uid",
  secrets: "name",
};

function mergeKey(list: string, items: readonly unknown[]): string | undefined {
  if (list !== "ports") return Object.hasOwn(MERGE_KEYS, list) ? MERGE_KEYS[list] : undefined;
  return items.some((item) => isObject(item) && "containerPort" in item) ? "containerPort" : "port";
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `base` with `overlay` merged over it: null takes a field away, `$patch: delete|replace` does what Kubernetes does. Neither is changed. */
export function strategicMerge(base: Json, overlay: Json): Json {
  if (overlay.$patch === "replace") return without(overlay, "$patch");
  const result: Json = { ...base };
  for (const [field, value] of Object.entries(overlay)) {
    if (field === "$patch") continue;
    if (value === null) delete result[field];
    else if (isObject(value) && value.$patch === "delete") delete result[field];
    else if (isObject(value)) result[field] = strategicMerge(isObject(result[field]) ? result[field] : {}, value);
    else if (Array.isArray(value)) result[field] = mergeLists(field, result[field], value);
    else result[field] = value;
  }
  return result;
}

function mergeLists(field: string, base: unknown, overlay: readonly unknown[]): unknown[] {
  const key = mergeKey(field, overlay);
  const replaces = overlay.some((item) => isObject(item) && item.$patch === "replace");
  if (
    !Array.isArray(base) || key === undefined || replaces || !overlay.every((item) => isObject(item) && key in item)
  ) {
    return overlay.flatMap((item) => !isObject(item) ? [item] : "$patch" in item ? [] : [strategicMerge({}, item)]);
  }
  const result: unknown[] = [...base];
  for (const item of overlay as Json[]) {
    const at = result.findIndex((one) => isObject(one) && one[key] === item[key]);
    if (item.$patch === "delete") { if (at >= 0) result.splice(at, 1); }
    else if (at >= 0) result[at] = strategicMerge(result[at] as Json, item);
    else result.push(strategicMerge({}, item));
  }
  return result;
}

function without(object: Json, field: string): Json {
  const copy = { ...object };
  delete copy[field];
  return copy;
}
