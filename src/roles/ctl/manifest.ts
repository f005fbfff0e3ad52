import { stringify } from "yaml";
import { describeError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import { COMPONENT_TITLES, inInstallOrder, render } from "./render.ts";
import type { CtlContext } from "./context.ts";
import { type InstallFlags, readFiles } from "./install_command.ts";
import { planInstallation, withPlatform } from "./install.ts";

export interface ManifestFlags extends Pick<InstallFlags, "filename" | "set" | "revision" | "force"> {
  output?: string;
  filter?: string[];
  clusterSpecific?: boolean;
}

/** `ctl manifest generate`: what an installation consists of, as YAML in the order of installation; needs no cluster. */
export async function manifestGenerateCommand(context: CtlContext, flags: ManifestFlags): Promise<number> {
  let options = {
    files: await readFiles(context, flags.filename),
    set: flags.set,
    revision: flags.revision,
    force: flags.force,
  };
  if (flags.clusterSpecific) {
    using client = await context.client();
    options = await withPlatform(client, options);
  }
  const installation = planInstallation(options);
  let components = render(installation);
  if (flags.filter) {
    const wanted = new Set(flags.filter.map((name) => name.toLowerCase()));
    const known = Object.entries(COMPONENT_TITLES).map(([name, [title]]) => [name, title.toLowerCase()]);
    const unknown = [...wanted].find((name) => !known.some((names) => names.includes(name)));
    if (unknown) {
      throw new CommandError(
        `unknown component "${unknown}"; the components are ${Object.keys(COMPONENT_TITLES).join(", ")}`,
      );
    }
    components = components.filter(({ name }) =>
      wanted.has(name) || wanted.has(COMPONENT_TITLES[name][0].toLowerCase())
    );
  }
  if (flags.output === undefined) {
    context.streams.out(documents(inInstallOrder(components)));
    return 0;
  }
  try {
    if (/\.ya?ml$/.test(flags.output)) {
      await Deno.writeTextFile(flags.output, documents(inInstallOrder(components)));
      return 0;
    }
    await Deno.mkdir(flags.output, { recursive: true });
    for (const component of components) {
      await Deno.writeTextFile(`${flags.output}/${component.name}.yaml`, documents(inInstallOrder([component])));
    }
  } catch (cause) {
    throw new CommandError(`cannot write the manifests to "${flags.output}": ${describeError(cause)}`);
  }
  return 0;
}

function documents(objects: readonly unknown[]): string {
  return objects.map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })).join("---\n");
}
