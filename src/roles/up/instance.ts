import { CommandError } from "../../core/usage.ts";
import { type ClusterLayout, isRunning, processStartTime, readRunState, type RunState } from "../../cluster/layout.ts";
import { removeFromKubeconfig } from "../../cluster/kubeconfig.ts";
import { nameFlag } from "./summary.ts";

/** The right to run a cluster of one name, held for as long as the file stays open. */
export interface InstanceLock {
  release(): Promise<void>;
}

/**
 * Takes the lock of a cluster, after ending what a crashed run may have left.
 *
 * @throws CommandError when the cluster runs already, or the directory cannot be used
 */
export async function acquire(layout: ClusterLayout): Promise<InstanceLock> {
  try {
    await Deno.mkdir(layout.dataDir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new CommandError(
      `cannot keep the cluster in "${layout.dataDir}"; give another directory with --data-dir`,
      1,
      cause,
    );
  }
  let file: Deno.FsFile;
  try {
    file = await Deno.open(layout.lockFile, { create: true, write: true, read: true });
  } catch (cause) {
    throw new CommandError(`cannot write to "${layout.dataDir}"; give another directory with --data-dir`, 1, cause);
  }
  if (!await file.tryLock(true)) {
    file.close();
    const state = readRunState(layout);
    throw new CommandError(
      `cluster "${layout.name}" is running already${
        state ? ` (process ${state.pid}, context ${state.context})` : ""
      }; ` +
        `use it, stop it with \`ambientd down${nameFlag(layout.name)}\`, or start another with --name`,
    );
  }
  const leftover = readRunState(layout);
  if (leftover) await endEngine(leftover);
  return {
    async release() {
      await Deno.remove(layout.stateFile).catch(() => {});
      file.close();
    },
  };
}

export async function writeRunState(layout: ClusterLayout, state: RunState): Promise<void> {
  const temporary = `${layout.stateFile}.new`;
  await Deno.writeTextFile(temporary, JSON.stringify(state, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(temporary, layout.stateFile);
}

/** Ends the engine of a run whose `up` process is gone. Its PID namespace takes everything else with it. */
async function endEngine(state: RunState): Promise<void> {
  if (!isRunning(state.enginePid, state.engineStartTime)) return;
  Deno.kill(state.enginePid, "SIGKILL");
  for (let i = 0; i < 200 && isRunning(state.enginePid, state.engineStartTime); i++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/**
 * Stops a cluster that runs in another process and removes its context.
 *
 * @returns whether there was anything to stop
 */
export async function stopInstance(layout: ClusterLayout, graceMs: number): Promise<boolean> {
  const state = readRunState(layout);
  if (!state) return false;
  const wasRunning = isRunning(state.pid, state.startTime);
  if (wasRunning) {
    Deno.kill(state.pid, "SIGTERM");
    const deadline = Date.now() + graceMs;
    while (isRunning(state.pid, state.startTime) && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (isRunning(state.pid, state.startTime)) Deno.kill(state.pid, "SIGKILL");
  }
  await endEngine(state);
  await removeFromKubeconfig(state.kubeconfig, state.context);
  await Deno.remove(layout.stateFile).catch(() => {});
  return wasRunning || processStartTime(state.enginePid) !== undefined;
}
