import type { Command } from "commander";
import { UsageError } from "../../core/usage.ts";
import type { ProgramBuilder } from "./program_builder.ts";

/** Commands of istioctl that `ctl` lacks, and what to type in their place. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  admin: "istiod's log levels are set by --set values.global.logging.level=… of `ambientd ctl install`",
  analyze: "objects say what is wrong with them in their status: `kubectl describe <kind> <name>`",
  authz:
    "`ambientd ctl ztunnel-config policy` shows the policies of L4, `ambientd ctl proxy-config all -o json` those of L7",
  "bug-report": "`kubectl cluster-info dump -n istio-system` and `ambientd ctl ztunnel-config all` show the most",
  completion: "",
  "create-remote-secret": "several clusters are not supported yet",
  dashboard: "`kubectl port-forward -n istio-system svc/<name> <port>` opens a program of the mesh",
  "kube-inject":
    "pods join the mesh without a sidecar: `kubectl label namespace <name> istio.io/dataplane-mode=ambient`",
  "remote-clusters": "several clusters are not supported yet",
  tag: "name a revision itself, by `ambientd ctl install --revision` and the label istio.io/rev",
  validate: "the API server validates: `kubectl apply --dry-run=server -f <file>`",
};

const ELSEWHERE_EXPERIMENTAL: Readonly<Record<string, string>> = {
  authz: ELSEWHERE.authz,
  "check-inject": ELSEWHERE["kube-inject"],
  config: "defaults are read from ~/.istioctl/config.yaml and variables that begin with ISTIOCTL_",
  describe: "`ambientd ctl ztunnel-config all <pod>` shows what concerns a pod",
  injector: ELSEWHERE["kube-inject"],
  "internal-debug": "`ambientd ctl proxy-status -o json` shows the proxies of istiod",
  metrics: "Prometheus has them: istio_requests_total and its family",
  workload: "virtual machines are not supported yet",
};

const ALIASES: Readonly<Record<string, readonly string[]>> = { dashboard: ["dash", "d"], describe: ["des"] };

/** Says of a command that is istioctl's only what to do instead; the exit code is that of an unknown command. */
export function addElsewhere(builder: ProgramBuilder, experimental: Command): void {
  const add = (parent: Command, commands: Readonly<Record<string, string>>) => {
    for (const [name, instead] of Object.entries(commands)) {
      const command = parent.command(name, { hidden: true }).description(`Not part of ambientd. ${instead}`)
        .allowUnknownOption().allowExcessArguments();
      for (const alias of ALIASES[name] ?? []) command.alias(alias);
      builder.on(command, () => Promise.reject(unavailable(parent, name, instead)));
    }
  };
  add(builder.program, ELSEWHERE);
  add(experimental, ELSEWHERE_EXPERIMENTAL);
  const translate = "Helm values are those of `values` in the file; ambientd has no charts";
  const manifest = builder.program.commands.find((command) => command.name() === "manifest")!;
  add(manifest, { translate });
}

function unavailable(parent: Command, name: string, instead: string): UsageError {
  const group = parent.parent ? `${parent.name()} ` : "";
  return new UsageError(
    `"${group}${name}" is istioctl's and not part of ambientd${instead === "" ? "" : `: ${instead}`}`,
  );
}
