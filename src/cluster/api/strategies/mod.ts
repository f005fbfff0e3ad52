import type { Strategy } from "../types.ts";
import { batchStrategies } from "./batch.ts";
import { configStrategies } from "./config.ts";
import { podStrategies } from "./pods.ts";
import { serviceStrategies } from "./services.ts";
import { workloadStrategies } from "./workloads.ts";

/** What is particular to built-in types, by `group/plural`. */
export const STRATEGIES: Record<string, Strategy> = {
  ...podStrategies,
  ...serviceStrategies,
  ...workloadStrategies,
  ...batchStrategies,
  ...configStrategies,
};
