import { findProgram } from "./host.ts";

/** What an image turns into here: the image's own ENTRYPOINT, CMD and environment, to be overridden as a pod may. */
export interface Program {
  entrypoint: string[];
  cmd: string[];
  env: Record<string, string>;
  workingDir: string;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/ambientd/bin";

/** The curl image's own entry point: options go to curl, anything else is a command. */
const CURL_ENTRY = `if [ "\${1#-}" != "$1" ] || [ -z "$(command -v "$1")" ]; then set -- curl "$@"; fi; exec "$@"`;

/**
 * The host's Prometheus, which ambientd helps where it was built without Kubernetes, as Debian's is: asked to read a configuration
 * that is wrong anyway, it names the fields that it does not know.
 */
const prometheusEntry = (self: readonly string[]) =>
  `probe=$(mktemp)
echo '{ scrape_configs: [{ job_name: a, kubernetes_sd_configs: [{ role: pod }], neither: known }] }' > "$probe"
if prometheus --config.file="$probe" --storage.tsdb.path=/nowhere 2>&1 | grep -q 'field kubernetes_sd_configs not found'
then exec ${self.map(quoted).join(" ")} sample prometheus "$@"
else exec prometheus "$@"
fi`;

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

interface Known {
  /** Matches the repository without registry, tag and digest. */
  repository: RegExp;
  /** For the message that lists what there is. */
  example: string;
  /** Programs of the host that it needs. */
  needs?: string[];
  /** The command that installs them, where people may not know the package. */
  install?: string;
  program: (self: readonly string[], match: RegExpExecArray) => Partial<Program>;
}

const sample = (...args: string[]) => (self: readonly string[]): Partial<Program> => ({
  entrypoint: [...self, "sample", ...args],
});

/** First match wins. */
const KNOWN: Known[] = [
  { repository: /(?:^|\/)ambientd$/, example: "ambientd", program: (self) => ({ entrypoint: [...self] }) },
  {
    repository: /(?:^|\/)examples-bookinfo-(productpage|details|ratings|reviews)(?:-(v\d+|mysqldb|mongodb))?$/,
    example: "istio/examples-bookinfo-*",
    program: (self, [, name, version = "v1"]) => ({
      entrypoint: [...self, "sample", name, "--port", "9080", ...(name === "reviews" ? ["--version", version] : [])],
      cmd: [],
    }),
  },
  {
    repository: /(?:^|\/)(?:curl|sleep)$/,
    example: "curlimages/curl",
    needs: ["curl"],
    program: () => ({ entrypoint: ["/bin/sh", "-c", CURL_ENTRY, "curl"], cmd: ["curl", "--help"] }),
  },
  {
    repository: /(?:^|\/)(?:busybox|alpine|debian|ubuntu|bash|fedora|base|ubi\d*(?:-minimal)?|netshoot|toolbox|shell)$/,
    example: "busybox",
    program: () => ({ cmd: ["/bin/sh"] }),
  },
  {
    repository: /(?:^|\/)pause(?:-amd64|-arm64)?$/,
    example: "registry.k8s.io/pause",
    program: () => ({ cmd: ["sleep", "infinity"] }),
  },
  { repository: /(?:^|\/)go-httpbin$/, example: "mccutchen/go-httpbin", program: sample("httpbin", "--port", "8080") },
  { repository: /(?:^|\/)httpbin$/, example: "kennethreitz/httpbin", program: sample("httpbin", "--port", "80") },
  {
    repository: /(?:^|\/)nginx(?:-unprivileged)?$/,
    example: "nginx",
    program: sample("static", "--port", "80"),
  },
  { repository: /(?:^|\/)fortio$/, example: "fortio/fortio", program: sample("fortio") },
  { repository: /(?:^|\/)http-echo$/, example: "hashicorp/http-echo", program: sample("http-echo") },
  {
    repository: /gateway-api\/(echo-basic|echo-advanced)$/,
    example: "registry.k8s.io/gateway-api/echo-basic",
    program: (self, [, name]) => ({ entrypoint: [...self, "sample", name] }),
  },
  {
    repository: /(?:^|\/)(?:echo-server|echoserver|http-https-echo|tcp-echo-server|echo)$/,
    example: "ealen/echo-server",
    program: (self, match) => ({
      entrypoint: match[0].includes("tcp-echo") ? [...self, "sample", "tcp-echo"] : [...self, "sample", "echo"],
    }),
  },
  {
    repository: /(?:^|\/)kubectl$/,
    example: "bitnami/kubectl",
    needs: ["kubectl"],
    program: () => ({ entrypoint: ["kubectl"] }),
  },
  { repository: /(?:^|\/)kiali$/, example: "kiali/kiali", program: (self) => ({ entrypoint: [...self, "console"] }) },
  // Beside Prometheus in Istio's own add-on.
  {
    repository: /(?:^|\/)(?:prometheus-config-reloader|configmap-reload)$/,
    example: "prometheus-operator/prometheus-config-reloader",
    program: sample("config-reloader"),
  },
  {
    repository: /(?:^|\/)prometheus$/,
    example: "prom/prometheus",
    needs: ["prometheus"],
    install: "apt install prometheus",
    program: (self) => ({
      entrypoint: ["/bin/sh", "-c", prometheusEntry(self), "prometheus"],
      cmd: ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
    }),
  },
];

/** Where an image's program is found here, for those that tutorials call by its path. */
const MOVED: Record<string, string> = {
  "/usr/bin/fortio": "/opt/ambientd/bin/fortio",
  "/opt/kiali/kiali": "/opt/ambientd/bin/ambientd-console",
};

/** A command as it can be run here. */
export function runnable(command: readonly string[]): string[] {
  return Object.hasOwn(MOVED, command[0] ?? "") ? [MOVED[command[0]], ...command.slice(1)] : [...command];
}

/** An image reference without registry host, tag and digest: `docker.io/curlimages/curl:8` is `curlimages/curl`. */
export function repositoryOf(image: string): string {
  const parts = image.split("@")[0].split("/");
  if (parts.length > 1 && /[.:]|^localhost$/.test(parts[0])) parts.shift();
  const last = parts.length - 1;
  parts[last] = parts[last].split(":")[0];
  return parts.join("/");
}

/**
 * Finds the program that stands in for an image.
 *
 * @param self the command line of ambientd
 * @returns the program, or why there is none and what to do about it
 */
export function programOf(image: string, self: readonly string[]): { program: Program } | { problem: string } {
  const repository = repositoryOf(image);
  for (const known of KNOWN) {
    const match = known.repository.exec(repository);
    if (!match) continue;
    const missing = (known.needs ?? []).filter((name) => !findProgram(name));
    if (missing.length > 0) {
      return {
        problem: `Container image "${image}" runs the host's ${missing.join(", ")} here, which is not installed; ` +
          `${known.install === undefined ? "install it" : `install it (${known.install})`} and the pod starts`,
      };
    }
    return { program: { entrypoint: [], cmd: [], workingDir: "/", ...known.program(self, match), env: { PATH } } };
  }
  return {
    problem: `Container image "${image}" cannot be pulled: the embedded cluster runs programs built into ambientd or ` +
      `found on this machine. Known images: ${KNOWN.map((known) => known.example).join(", ")}. Use one of them with ` +
      `a "command" of your own (busybox runs any program of the host), or a cluster with a container runtime`,
  };
}
