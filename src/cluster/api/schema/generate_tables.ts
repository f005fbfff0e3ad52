// Writes ./tables from what Kubernetes publishes: `deno run -A generate_tables.ts swagger.json MODULES`, where MODULES is a
// folder that holds the Go modules k8s.io/api, apimachinery, apiextensions-apiserver and kube-aggregator (for their
// generated.proto files). Only facts are taken over: names of types and fields, their types and numbers, and how lists
// merge. The notation is explained in notation.ts.

const GROUPS: Record<string, [prefix: string, file: string]> = {
  meta: ["io.k8s.apimachinery.pkg.apis.meta.v1", "meta"],
  core: ["io.k8s.api.core.v1", "core"],
  apps: ["io.k8s.api.apps.v1", "apps"],
  batch: ["io.k8s.api.batch.v1", "apps"],
  autoscaling: ["io.k8s.api.autoscaling.v2", "apps"],
  autoscalingv1: ["io.k8s.api.autoscaling.v1", "apps"],
  policy: ["io.k8s.api.policy.v1", "apps"],
  discovery: ["io.k8s.api.discovery.v1", "network"],
  networking: ["io.k8s.api.networking.v1", "network"],
  rbac: ["io.k8s.api.rbac.v1", "auth"],
  authentication: ["io.k8s.api.authentication.v1", "auth"],
  authorization: ["io.k8s.api.authorization.v1", "auth"],
  certificates: ["io.k8s.api.certificates.v1", "auth"],
  coordination: ["io.k8s.api.coordination.v1", "system"],
  events: ["io.k8s.api.events.v1", "system"],
  scheduling: ["io.k8s.api.scheduling.v1", "system"],
  node: ["io.k8s.api.node.v1", "system"],
  storage: ["io.k8s.api.storage.v1", "system"],
  admissionregistration: ["io.k8s.api.admissionregistration.v1", "system"],
  apiextensions: ["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1", "system"],
  apiregistration: ["io.k8s.kube-aggregator.pkg.apis.apiregistration.v1", "system"],
};

const SPECIAL: Record<string, string> = {
  "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "t",
  "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "mt",
  "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
  "io.k8s.apimachinery.pkg.runtime.RawExtension": "o",
  "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "o",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "j",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "j",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "j",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "j",
};
const SKIP = new Set(["APIGroup", "APIGroupList", "APIResource", "APIResourceList", "APIVersions", "Patch"]);

function typeOf(schema: any, group: string): string {
  if (schema.$ref) {
    const name = schema.$ref.slice("#/definitions/".length);
    if (SPECIAL[name]) return SPECIAL[name];
    const dot = name.lastIndexOf(".");
    const alias = Object.keys(GROUPS).find((key) => GROUPS[key][0] === name.slice(0, dot));
    if (!alias) throw new Error(`"${name}" is of a group that is not listed`);
    return alias === group ? name.slice(dot + 1) : `${alias}.${name.slice(dot + 1)}`;
  }
  if (schema.type === "array") return `[${typeOf(schema.items, group)}]`;
  if (schema.additionalProperties) return `{${typeOf(schema.additionalProperties, group)}}`;
  if (schema.type === "integer") return schema.format === "int32" ? "i" : "l";
  if (schema.type === "number") return "n";
  if (schema.type === "boolean") return "b";
  if (schema.type === "string") return schema.format === "byte" ? "y" : "s";
  return "o";
}

function fieldOf(name: string, schema: any, required: boolean, group: string, number: string | undefined): string {
  let text = `${name}${required ? "!" : ""}=${typeOf(schema, group)}${number === undefined ? "" : `:${number}`}`;
  if (schema["x-kubernetes-list-type"] === "map") text += `@${schema["x-kubernetes-list-map-keys"].join(",")}`;
  if (schema["x-kubernetes-list-type"] === "set") text += "+";
  if (schema["x-kubernetes-map-type"] === "atomic") text += "%";
  const strategy: string[] = (schema["x-kubernetes-patch-strategy"] ?? "").split(",");
  if (strategy.includes("merge")) text += `~${schema["x-kubernetes-patch-merge-key"] ?? ""}`;
  if (strategy.includes("retainKeys")) text += "^";
  return text;
}

/** Fields of the messages in a generated.proto: message -> field -> [number, type]. */
function readProto(path: string): Map<string, Map<string, [number, string]>> {
  const messages = new Map<string, Map<string, [number, string]>>();
  let current: Map<string, [number, string]> | undefined;
  let text = "";
  try {
    text = Deno.readTextFileSync(path);
  } catch {
    console.error(`no ${path}`);
  }
  for (const line of text.split("\n")) {
    const message = /^message (\w+) \{/.exec(line);
    if (message) messages.set(message[1], current = new Map());
    const field = /^\s+(?:optional|repeated|required)?\s*(map<[^>]+>|[\w.]+) (\w+) = (\d+);/.exec(line);
    if (field && current) current.set(field[2], [Number(field[3]), field[1]]);
  }
  return messages;
}

function protoPath(prefix: string): string {
  const modules = Deno.args[1];
  if (prefix.startsWith("io.k8s.api.")) {
    return `${modules}/api/${prefix.slice(11).replaceAll(".", "/")}/generated.proto`;
  }
  if (prefix.startsWith("io.k8s.apimachinery")) return `${modules}/apimachinery/pkg/apis/meta/v1/generated.proto`;
  if (prefix.startsWith("io.k8s.kube-aggregator")) {
    return `${modules}/kube-aggregator/pkg/apis/apiregistration/v1/generated.proto`;
  }
  return `${modules}/apiextensions-apiserver/pkg/apis/apiextensions/v1/generated.proto`;
}

/** Numbers of a message's fields; those of embedded structs, which JSON has inline, behind the number of the struct. */
function numbersOf(
  proto: ReturnType<typeof readProto>,
  message: string,
  properties: string[],
  prefix = "",
): Record<string, string> {
  const numbers: Record<string, string> = {};
  for (const [field, [number, type]] of proto.get(message) ?? []) {
    const name = properties.find((property) =>
      property === field || property.replace(/\W/g, "").toLowerCase() === field.toLowerCase()
    );
    if (name && !numbers[name]) numbers[name] = `${prefix}${number}`;
    else if (!name && proto.has(type)) {
      Object.assign(numbers, numbersOf(proto, type, properties, `${prefix}${number}.`));
    }
  }
  return numbers;
}

const definitions = JSON.parse(Deno.readTextFileSync(Deno.args[0])).definitions;
const files = new Map<string, string[]>();
for (const [group, [prefix, file]] of Object.entries(GROUPS)) {
  const lines = files.get(file) ?? [];
  files.set(file, lines);
  lines.push(`# ${group} ${prefix}`);
  const proto = readProto(protoPath(prefix));
  for (const name of Object.keys(definitions).sort()) {
    const short = name.slice(prefix.length + 1);
    if (!name.startsWith(prefix + ".") || short.includes(".") || SPECIAL[name] || SKIP.has(short)) continue;
    const schema = definitions[name];
    const atomic = schema["x-kubernetes-map-type"] === "atomic" ? "%" : "";
    const numbers = numbersOf(proto, short, Object.keys(schema.properties ?? {}));
    const fields = Object.entries<any>(schema.properties ?? {}).map(([field, value]) =>
      fieldOf(field, value, (schema.required ?? []).includes(field), group, numbers[field])
    );
    const missing = Object.keys(schema.properties ?? {}).filter((field) =>
      !numbers[field] && !["apiVersion", "kind"].includes(field)
    );
    if (missing.length > 0) console.error(`${short} has no numbers for ${missing.join(", ")}`);
    lines.push(`${short}${atomic}: ${fields.join(" ")}`.trimEnd());
  }
}
for (const [file, lines] of files) {
  const text = `// Types of Kubernetes 1.32 in the notation of ../notation.ts; written by ../generate_tables.ts.

export const ${file.toUpperCase()}_TYPES = \`
${lines.join("\n").replaceAll("$", "\\$")}
\`;
`;
  Deno.writeTextFileSync(new URL(`./tables/${file}.ts`, import.meta.url), text);
}
