import type { ComponentName } from "../../../manifests/mod.ts";
import type { Palette } from "../../core/terminal.ts";
import { COMPONENT_TITLES } from "./render.ts";

/** What an installation tells while it runs. */
export type InstallEvent =
  /** Some components are under way; `waitingFor` names the objects that are not ready yet, as Kind/namespace/name. */
  | { type: "working"; components: readonly ComponentName[]; waitingFor: readonly string[] }
  | { type: "installed"; component: ComponentName }
  | { type: "failed"; component: ComponentName; error: string }
  | { type: "note"; text: string }
  /** The cluster has every object; what is left is to wait for them. */
  | { type: "applied" }
  /** What an earlier installation made and this one has no more goes now. */
  | { type: "pruning" }
  | { type: "removed"; text: string }
  | { type: "complete" };

export type InstallProgress = (event: InstallEvent) => void;

/** Where progress is shown. */
export interface Terminal {
  write(text: string): void;
  readonly live: boolean;
  readonly palette: Palette;
}

/**
 * Shows progress as istioctl does: on a terminal one live line above which finished components stay, otherwise a line for
 * each change.
 */
export function terminalProgress(terminal: Terminal): InstallProgress {
  const { palette } = terminal;
  let last = "";
  const clear = () => {
    if (terminal.live && last !== "") terminal.write("\r\x1b[K");
    last = "";
  };
  const line = (text: string) => {
    clear();
    terminal.write(text + "\n");
  };
  const working = (text: string) => {
    if (text === last) return;
    if (terminal.live) {
      clear();
      terminal.write(text);
    } else terminal.write(text + "\n");
    last = text;
  };
  return (event) => {
    switch (event.type) {
      case "working": {
        const titles = event.components.map((name) => COMPONENT_TITLES[name][0]).join(", ");
        const waiting = event.waitingFor.length > 0 ? ` Waiting for ${event.waitingFor.join(", ")}` : "";
        if (titles !== "") working(`- Processing resources for ${titles}.${waiting}`);
        return;
      }
      case "installed": {
        const [title, sign] = COMPONENT_TITLES[event.component];
        return line(`${palette.green("✔")} ${title} installed ${sign}`);
      }
      case "failed":
        return line(
          `${palette.red("✘")} ${COMPONENT_TITLES[event.component][0]} encountered an error: ${event.error}`,
        );
      case "note":
        return line(palette.yellow(event.text));
      case "pruning":
        return working("- Pruning removed resources");
      case "removed":
        return line(event.text);
      case "complete":
        return line(`${palette.green("✔")} Installation complete`);
    }
  };
}
